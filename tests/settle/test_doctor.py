"""``llmattn doctor`` on set-ups that are broken, each in another way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from llmattn.testing.server import ScoreServer
from support_plugins import GOOD, install
from support_settle import command, own_folder, process, write
from support_trust import KEYS


def examined(folder: Path, *words: str, code: int, **environ: str) -> list[dict[str, Any]]:
    """The findings that are problems; each has its remedy."""
    done = command(folder, "doctor", "--json", *words, **environ)
    assert done.returncode == code, done.stdout + done.stderr
    assert not [key for key in KEYS.values() if key in done.stdout + done.stderr]
    found = json.loads(done.stdout)
    assert found["ok"] is (code == 0)
    assert all(each["remedy"] for each in found["findings"] if each["state"] != "ok")
    return [each for each in found["findings"] if each["state"] == "problem"]


def test_a_set_up_that_works_has_no_problem_and_nothing_is_made(tmp_path: Path) -> None:
    assert examined(tmp_path, code=0, **KEYS) == []
    assert not (tmp_path / "scores").exists()
    done = command(tmp_path, "doctor", OPENAI_API_KEY=KEYS["OPENAI_API_KEY"])
    assert done.returncode == 0
    assert "No problem was found." in done.stdout
    assert "openai: OPENAI_API_KEY, from OPENAI_API_KEY" in done.stdout
    assert "https://api.openai.com/v1, from the default" in done.stdout


def test_a_misspelt_provider_is_traced_to_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / ".env", "LLM_PROVIDER=opnai\n")
    (problem,) = examined(tmp_path, code=3)
    assert problem["about"] == "provider"
    assert f"LLM_PROVIDER in {path}" in problem["says"]


def test_a_key_that_lacks_is_told_with_how_to_store_it(tmp_path: Path) -> None:
    (problem,) = examined(tmp_path, code=3, LLM_PROVIDER="openai")
    assert "OPENAI_API_KEY" in problem["says"]
    assert "llmattn keys set" in problem["says"]


def test_files_that_are_not_read_or_cannot_be_are_told_each(tmp_path: Path) -> None:
    env = write(tmp_path / ".env", "LLM_PROVIDER=openai\n")
    env.chmod(0o666)
    own = write(own_folder(tmp_path) / "llmattn.toml", "provider = \n")
    found = examined(tmp_path, code=3)
    assert [each["about"] for each in found] == ["settings", "settings"]
    assert f"{env} is not read" in found[0]["says"]
    assert f"chmod go-w {env}" in found[0]["remedy"]
    assert f"{own} cannot be read" in found[1]["says"]


def test_a_damaged_cache_is_told_with_its_own_code(tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "scores.mdb").write_bytes(b"noise" * 9000)
    (problem,) = examined(tmp_path, code=6)
    assert problem["about"] == "cache"
    assert "cache verify --drop" in problem["remedy"]


def test_a_cache_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "scores").write_text("no folder")
    (problem,) = examined(tmp_path, code=3)
    assert problem["about"] == "disk"


@pytest.mark.parametrize("fault", ["none", "wrong key", "wrong model", "nobody there", "no list"])
def test_the_server_is_asked_only_on_wish_and_for_nothing_that_costs(
    tmp_path: Path, fault: str
) -> None:
    models = {"wrong model": ("other",), "no list": ()}.get(fault, ("test-model",))
    key = "another" if fault == "wrong key" else KEYS["CUSTOM_API_KEY"]
    with ScoreServer(api_key=key, models=models) as server:
        url = "http://127.0.0.1:9/v1" if fault == "nobody there" else server.url
        own = {**KEYS, "CUSTOM_BASE_URL": url, "LLM_MODEL": "test-model"}
        assert examined(tmp_path, "-p", "custom", code=0, **own) == []
        assert not server.log.paths
        well = fault in ("none", "no list")
        found = examined(tmp_path, "-p", "custom", "--reach", code=0 if well else 4, **own)
        assert [each["about"] for each in found] == ([] if well else ["server"])
        assert server.log.paths == ([] if fault == "nobody there" else ["/v1/models"])
        assert not server.log.requests


def test_an_address_that_all_can_read_is_noted(tmp_path: Path) -> None:
    own = {"CUSTOM_BASE_URL": "http://203.0.113.7/v1", "LLM_MODEL": "m"}
    done = command(tmp_path, "doctor", "-p", "custom", **own)
    assert done.returncode == 0
    assert "note    address  http://203.0.113.7/v1, from CUSTOM_BASE_URL" in done.stdout


def test_broken_plugins_and_a_torch_that_cannot_be_loaded_do_not_stop_it(tmp_path: Path) -> None:
    install(tmp_path, "bad-plugin", "bad", "raise RuntimeError('boom')")
    install(tmp_path, "one-plugin", "one", GOOD.format(name="twice"))
    install(tmp_path, "two-plugin", "two", GOOD.format(name="twice"))
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so is missing')")
    done = process(tmp_path, "doctor", "--json", PYTHONPATH=str(tmp_path))
    assert done.returncode == 3, done.stderr
    said = [f for f in json.loads(done.stdout)["findings"] if f["state"] == "problem"]
    assert [each["about"] for each in said[:3]] == ["torch", "plugin", "plugin"]
    assert "libcudart.so is missing" in said[0]["says"]
    assert "boom" in said[1]["says"]
    assert "'twice' is offered by one-plugin, two-plugin" in said[2]["says"]
    assert all(each["remedy"] for each in said)
