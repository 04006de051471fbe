"""The built wheels in a fresh environment, as a user gets them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from support_wheels import Environment

pytestmark = pytest.mark.wheels


def test_each_wheel_carries_types_licence_and_no_tests(wheels: Path) -> None:
    found = sorted(wheels.glob("*.whl"))
    assert len(found) >= 4
    for wheel in found:
        names = zipfile.ZipFile(wheel).namelist()
        assert any(name.endswith("/py.typed") for name in names), wheel.name
        assert any("licenses/LICENSE" in name for name in names), wheel.name
        assert not any(name.startswith("tests/") for name in names), wheel.name


def test_the_core_carries_what_its_pages_are_made_of(wheels: Path) -> None:
    (wheel,) = wheels.glob("llmattn_core-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assets = Path(__file__).parents[2] / "core/src/llmattn/view/assets"
    for asset in assets.iterdir():
        assert f"llmattn/view/assets/{asset.name}" in names


def test_core_alone_works_offline_and_then_plugins_join_it(
    environment: Environment, tmp_path: Path
) -> None:
    """One story in one environment, since installing torch twice would take minutes."""
    listed = environment.run("llmattn", "plugins", "--json", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    names = {row["name"] for row in json.loads(listed.stdout)}
    assert names == {"cooccurrence", "random", "lmdb", "memory", "local"}
    absent = environment.run("python", "-c", "import openai", cwd=tmp_path)
    assert "ModuleNotFoundError" in absent.stderr

    (tmp_path / "corpus.txt").write_text("the cat eats fish .\nthe dog eats meat .\n" * 20)
    trained = environment.run(
        *("python", "-m", "llmattn.train", "--corpus", "corpus.txt", "--steps", "20"),
        *("--cache-dir", "cache"),
        cwd=tmp_path,
    )
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "checkpoint.pt").exists()
    sampled = environment.run(
        "python", "-m", "llmattn.sample", "--prompt", "the cat", "--seed", "1", cwd=tmp_path
    )
    assert sampled.returncode == 0, sampled.stderr
    assert sampled.stdout.startswith("the cat")

    unknown = environment.run("llmattn", "score", "corpus.txt", "-p", "openai", cwd=tmp_path)
    assert "Others are plugins" in unknown.stderr

    environment.install("llmattn-custom")
    listed = environment.run("llmattn", "plugins", "--json", cwd=tmp_path)
    states = {row["name"]: row["state"] for row in json.loads(listed.stdout)}
    # llmattn-custom stands on llmattn-openai, so both are there, and cerebras is not.
    assert states["custom"] == states["openai"] == "loaded"
    assert "cerebras" not in states
    missing = environment.run("llmattn", "score", "corpus.txt", "-p", "openai", cwd=tmp_path)
    assert missing.returncode == 3
    assert "OPENAI_API_KEY" in missing.stderr
    assert "Traceback" not in missing.stderr
