"""A plugin's settings are listed, and stand in a printed configuration."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import Factory, frozen
from llmattn.settings import setting, settings_help
from support_cli import run_cli

CONFIG = ("train", "--corpus", "c.txt", "--cache-dir", "cache", "--print-config")


def test_a_printed_configuration_tells_the_settings_of_the_plugins_in_use(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("a b\n" * 20)
    done = run_cli(tmp_path, *CONFIG, "--provider", "cooccurrence", "--option", "window=3")
    assert done.returncode == 0, done.stderr
    assert "# cooccurrence.window = 3  (option window: how many tokens" in done.stdout
    assert "# lmdb.dir = cache  (option dir: folder" in done.stdout
    assert "# lmdb.sync = True  (default: flush" in done.stdout
    (tmp_path / "c.toml").write_text(done.stdout)
    again = run_cli(tmp_path, "train", "--config", "c.toml", "--print-config")
    assert again.stdout == done.stdout


def test_it_tells_where_each_comes_from_and_no_key(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("a b\n" * 20)
    key = "sk-planted-in-settings"
    environ = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": "http://me:secret@localhost:1/v1"}
    done = run_cli(tmp_path, *CONFIG, "-p", "openai", "--model", "large", **environ)
    assert done.returncode == 0, done.stderr
    assert "# openai.model = large  (option model: " in done.stdout
    assert "# openai.api_key = (a key)  (OPENAI_API_KEY: " in done.stdout
    assert "localhost:1/v1  (OPENAI_BASE_URL: " in done.stdout
    assert key not in done.stdout + done.stderr
    assert "me:secret" not in done.stdout + done.stderr


def test_the_listing_has_settings_for_programs_too(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "plugins", "--options", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout) if row["kind"] == "provider"}
    (window,) = rows["cooccurrence"]["options"]
    assert window["option"] == "cooccurrence.window"
    assert window["default"] == "10"
    assert "neighbours" in window["help"]


def test_a_default_that_cannot_be_made_spoils_no_listing() -> None:
    @frozen
    class Settings:
        size: int = setting(Factory(lambda: 1 // 0), help="any")
        half: int = setting(Factory(lambda self: self.size, takes_self=True), help="any")

    assert [row[2] for row in settings_help(Settings)] == ["(made when it is needed)"] * 2
