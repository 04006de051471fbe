"""A plugin that loads badly harms nobody: it is named, with the reason and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support_cli import FAILED, Done
from support_plugins import GOOD, install, listed, run

HOOK = "from llmattn.plugin import hookimpl\nfrom attrs import frozen\n"
ADDING = HOOK + (
    "from llmattn.plugin import setting\n"
    "@frozen\nclass Settings:\n    {field}\n"
    "@hookimpl\ndef llmattn_register_{kind}s(registry):\n"
    "    registry.add({name!r}, 'nowhere:Nothing', Settings, 'for a test')\n"
)

BAD = {
    "exit": ("import sys\nsys.exit()", "SystemExit"),
    "exit-code": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "base": ("class Gone(BaseException): pass\nraise Gone('no luck')", "Gone: no luck"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "mute": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
        "Mute: (its text cannot be shown)",
    ),
    "lines": ("raise ValueError('one\\ntwo\\x1b[2J three')", "ValueError: one two\\x1b[2J three"),
    "asks": ("input('name? ')", "reads standard input"),
    "hook-exits": (
        f"{HOOK}@hookimpl\ndef llmattn_register_caches(registry): raise SystemExit(0)",
        "SystemExit: 0",
    ),
    "takes-a-provider": (
        ADDING.format(field="pass", kind="provider", name="cooccurrence"),
        "'cooccurrence', a name that llmattn-core has",
    ),
    "takes-a-cache": (
        ADDING.format(field="pass", kind="cache", name="lmdb"),
        "'lmdb', a name that llmattn-core has",
    ),
    "plain-field": (
        ADDING.format(field="size: int = 3", kind="provider", name="plain"),
        "Settings.size is not made with llmattn.plugin.setting()",
    ),
    "unknown-type": (
        ADDING.format(field="size: 'Size' = setting(3, help='x')", kind="provider", name="odd"),
        "the types in Settings cannot be found",
    ),
    "odd-name": (ADDING.format(field="pass", kind="provider", name=7), "identifier"),
    "module": ("import llmattn.no_such_module", "upgrade llmattn-core"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them beside a plugin that is sound."""
    folder = tmp_path_factory.mktemp("site")
    for name, (code, _) in BAD.items():
        install(folder, f"{name}-plugin", name, code)
    install(folder, "good-plugin", "good", GOOD.format(name="good"))
    install(
        folder, "empty-plugin", "empty", f"{HOOK}@hookimpl\ndef llmattn_register_caches(): pass"
    )
    noisy = "print('hello', flush=True)\nimport os\nos.system('echo from a shell')\n"
    install(folder, "noisy-plugin", "noisy", noisy + GOOD.format(name="noisy"))
    (folder / "c.txt").write_text("a b\n" * 20)
    return folder


@pytest.fixture(scope="module")
def rows(site: Path) -> dict[str, dict[str, str]]:
    return listed(site)


@pytest.mark.parametrize("name", BAD)
def test_it_is_listed_with_its_reason_in_one_line(
    rows: dict[str, dict[str, str]], name: str
) -> None:
    assert rows[name]["state"] in ("failed", "incompatible")
    assert rows[name]["distribution"] == f"{name}-plugin"
    assert BAD[name][1] in rows[name]["reason"]
    assert rows[name]["reason"].isprintable()


def test_the_others_are_there(rows: dict[str, dict[str, str]]) -> None:
    for name in ("good", "noisy", "cooccurrence", "lmdb"):
        assert rows[name]["state"] == "loaded"
    assert rows["cooccurrence"]["distribution"] == rows["lmdb"]["distribution"] == "llmattn-core"


def test_one_that_prints_leaves_the_output_whole_and_is_told(
    rows: dict[str, dict[str, str]],
) -> None:
    assert "prints" in rows["noisy"]["reason"]
    assert "hello" in rows["noisy"]["reason"]


def test_one_that_registers_nothing_is_listed(rows: dict[str, dict[str, str]]) -> None:
    assert (rows["empty"]["state"], rows["empty"]["kind"]) == ("loaded", "plugin")
    assert "registers nothing" in rows["empty"]["reason"]


def test_options_are_listed_for_all_others_and_debug_shows_where_it_failed(site: Path) -> None:
    done = run(site, "plugins", "--options", "--debug")
    assert done.returncode == 0, done.stderr
    assert "cooccurrence.window" in done.stdout
    assert "LLMATTN_DISABLE_PLUGINS=mute" in done.stdout
    assert "\x1b[2J" not in done.stdout + done.stderr
    assert "Traceback" in done.stderr
    assert "mute_plugin.py" in done.stderr
    assert "Traceback" not in run(site, "plugins").stderr


def test_commands_go_on_without_them(site: Path) -> None:
    command = ("score", "c.txt", "--provider", "cooccurrence", "--cache", "memory")
    done = run(site, *command, HOME=str(site))
    assert done.returncode == 0, done.stderr
    assert "hello" not in done.stdout + done.stderr


def failed(done: Done) -> str:
    assert done.returncode in FAILED
    assert "Traceback" not in done.stderr
    assert "fault in llmattn" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("named", ["mute", "mute-plugin", "Mute_Plugin"])
def test_one_that_is_chosen_says_why_it_failed_and_what_to_do(site: Path, named: str) -> None:
    told = failed(run(site, "score", "c.txt", "--provider", named))
    assert "mute-plugin 1.2" in told
    assert "its text cannot be shown" in told
    assert "LLMATTN_DISABLE_PLUGINS=mute" in told


def test_a_name_that_nobody_has_tells_who_did_not_load(site: Path) -> None:
    told = failed(run(site, "score", "c.txt", "--provider", "plain"))
    assert "did not load" in told
    assert "Settings.size" in told
    assert "ninstall llmattn-core" not in told


def test_strictly_whatever_did_not_load_is_a_failure(site: Path) -> None:
    command = ("score", "c.txt", "--provider", "cooccurrence", "--cache", "memory")
    told = failed(run(site, *command, LLMATTN_STRICT_PLUGINS="1"))
    assert "'exit' (exit-plugin 1.2) is failed: SystemExit" in told
    done = run(site, "plugins", "--json", LLMATTN_STRICT_PLUGINS="1")
    assert "'exit' (exit-plugin 1.2)" in failed(done)
    assert json.loads(done.stdout)
    everything = ",".join(BAD)
    done = run(site, "plugins", LLMATTN_STRICT_PLUGINS="1", LLMATTN_DISABLE_PLUGINS=everything)
    assert done.returncode == 0, done.stderr


def test_plugins_are_disabled_in_any_spelling_and_unknown_names_are_told(tmp_path: Path) -> None:
    install(tmp_path, "my-bad-plugin", "bad", "raise RuntimeError")
    done = run(tmp_path, "plugins", "--json", LLMATTN_DISABLE_PLUGINS=" My_Bad.Plugin ,nobody")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["bad"]["state"] == "disabled"
    assert "names 'nobody'" in done.stderr
    assert "My_Bad" not in done.stderr


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("entry_points.txt", b"[llmattn]\nno entry at all\n"),
        ("entry_points.txt", b"[llmattn]\nbad = \xff\xfe\n"),
        ("METADATA", b"Name: \xff\xfe\n"),
        ("METADATA", None),
    ],
)
def test_metadata_that_cannot_be_read_is_told_and_can_be_left_out(
    tmp_path: Path, file: str, content: bytes | None
) -> None:
    install(tmp_path, "spoilt-plugin", "spoilt", GOOD.format(name="spoilt"))
    path = tmp_path / "spoilt_plugin-1.2.dist-info" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    rows = {row["distribution"]: row for row in listed(tmp_path).values()}
    assert "llmattn-core" in rows
    row = rows.get("spoilt-plugin") or rows["spoilt"]
    out = listed(tmp_path, LLMATTN_DISABLE_PLUGINS="spoilt-plugin")
    assert "disabled" in {each["state"] for each in out.values()}
    assert row["state"] in ("failed", "loaded")


@pytest.mark.parametrize(
    "code", ["import time\ntime.sleep(3600)", "while True:\n    pass", "import os\nos.read(0, 1)"]
)
def test_one_that_never_ends_loading_is_waited_for_not_long_and_told(
    tmp_path: Path, code: str
) -> None:
    install(tmp_path, "endless-plugin", "endless", code)
    done = run(tmp_path, "plugins", "--json", LLMATTN_PLUGIN_TIMEOUT="4")
    assert done.returncode == 0, done.stderr
    row = next(r for r in json.loads(done.stdout) if r["name"] == "endless")
    if "read" in code:  # standard input is empty meanwhile
        assert "no hook" in row["reason"]
        return
    assert row["state"] == "failed"
    assert "longer than 4 s" in row["reason"]
    assert "LLMATTN_PLUGIN_TIMEOUT" in row["reason"]
    assert "Waiting for the plugin 'endless' (endless-plugin)" in done.stderr
    assert "LLMATTN_DISABLE_PLUGINS=endless" in done.stderr


def test_a_time_that_is_none_is_told(tmp_path: Path) -> None:
    told = failed(run(tmp_path, "plugins", LLMATTN_PLUGIN_TIMEOUT="soon"))
    assert "LLMATTN_PLUGIN_TIMEOUT takes a number of seconds" in told
