"""Finding plugins: one that is broken never harms the others."""

from __future__ import annotations

import re
from pathlib import Path

import llmattn
import pytest
from llmattn.plugins import forget_plugins, load_plugins
from support_cli import run_cli, run_process
from support_plugins import GOOD, install, listed, run


def test_a_good_plugin_is_listed_with_its_distribution(tmp_path: Path) -> None:
    install(tmp_path, "good-plugin", "good", GOOD.format(name="good"))
    row = listed(tmp_path)["good"]
    assert (row["kind"], row["distribution"], row["version"], row["state"]) == (
        "provider",
        "good-plugin",
        "1.2",
        "loaded",
    )


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        ("raise RuntimeError('boom')", "failed", "RuntimeError: boom"),
        ("import no_such_module", "failed", "no_such_module"),
        ("def nothing(): pass", "incompatible", "no hook"),
        (
            "from llmattn.hookspecs import hookimpl\n"
            "@hookimpl\ndef llmattn_register_provider(registry): pass",
            "incompatible",
            "llmattn_register_provider",
        ),
        (
            "from llmattn.hookspecs import hookimpl\n"
            "@hookimpl\ndef llmattn_register_providers(registry, extra=1): pass",
            "incompatible",
            "default",
        ),
        (
            "from llmattn.hookspecs import hookimpl\n"
            "@hookimpl\ndef llmattn_register_providers(registry, other): pass",
            "incompatible",
            "other",
        ),
    ],
)
def test_a_broken_plugin_is_told_and_the_others_go_on(
    tmp_path: Path, code: str, state: str, reason: str
) -> None:
    install(tmp_path, "bad-plugin", "bad", code)
    install(tmp_path, "good-plugin", "good", GOOD.format(name="good"))
    rows = listed(tmp_path)
    assert rows["good"]["state"] == "loaded"
    assert rows["bad"]["state"] == state
    assert reason in rows["bad"]["reason"]


def test_a_plugin_for_another_core_is_incompatible(tmp_path: Path) -> None:
    install(tmp_path, "old-plugin", "old", GOOD.format(name="old"), "llmattn-core<0.0.1")
    assert listed(tmp_path)["old"]["state"] == "incompatible"


def test_a_disabled_plugin_is_not_imported(tmp_path: Path) -> None:
    install(tmp_path, "bad-plugin", "bad", "raise SystemExit('imported')")
    assert listed(tmp_path, LLMATTN_DISABLE_PLUGINS="bad")["bad"]["state"] == "disabled"
    assert listed(tmp_path, LLMATTN_DISABLE_PLUGINS="bad-plugin")["bad"]["state"] == "disabled"


def test_asking_for_a_failed_plugin_says_why(tmp_path: Path) -> None:
    install(tmp_path, "bad-plugin", "bad", "raise RuntimeError('boom')")
    (tmp_path / "c.txt").write_text("a b\n" * 20)
    done = run(tmp_path, "score", "c.txt", "--provider", "bad")
    assert done.returncode == 3
    assert "bad-plugin 1.2" in done.stderr
    assert "boom" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_plugins_with_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    install(tmp_path, "one-plugin", "one", GOOD.format(name="twice"))
    install(tmp_path, "two-plugin", "two", GOOD.format(name="twice"))
    (tmp_path / "c.txt").write_text("a b\n" * 20)
    assert listed(tmp_path)["twice"]["state"] == "clash"
    done = run(tmp_path, "score", "c.txt", "--provider", "twice")
    assert done.returncode == 3
    assert "one-plugin" in done.stderr
    assert "two-plugin" in done.stderr


def test_an_unknown_provider_names_the_installed_ones(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("a b\n" * 20)
    done = run(tmp_path, "score", "c.txt", "--provider", "nowhere")
    assert done.returncode == 3
    assert "'nowhere'" in done.stderr
    assert "cooccurrence" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["train", "--help"]])
def test_help_and_listings_import_neither_torch_nor_openai(
    tmp_path: Path, arguments: list[str]
) -> None:
    code = (
        "import sys\nfrom llmattn.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(sorted({'torch', 'openai', 'numpy.testing'} & set(sys.modules)))"
    )
    done = run_process(tmp_path, program=("-c", code))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")


def test_the_listing_says_what_each_one_is(tmp_path: Path) -> None:
    install(tmp_path, "good-plugin", "good", GOOD.format(name="good"))
    assert listed(tmp_path)["good"]["help"] == "for a test"
    assert "for a test" in run(tmp_path, "plugins").stdout


def test_the_core_names_no_plugin() -> None:
    source = Path(llmattn.__file__).parent
    plugins = load_plugins()
    entries = [*plugins.providers, *plugins.caches]
    foreign = [entry for entry in entries if entry.distribution != "llmattn-core"]
    names = {name for entry in foreign for name in (entry.name, entry.distribution)}
    assert {"openai", "cerebras", "custom", "transformers", "redis"} <= names
    named = re.compile(rf"\b({'|'.join(sorted(names))})\b")
    found = {path.name: named.findall(path.read_text()) for path in source.rglob("*.py")}
    assert {name: words for name, words in found.items() if words} == {}


def test_entry_points_are_read_once_and_anew_when_there_may_be_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_plugins()
    assert load_plugins() is first
    monkeypatch.setenv("LLMATTN_DISABLE_PLUGINS", "random")
    assert load_plugins() is not first
    monkeypatch.delenv("LLMATTN_DISABLE_PLUGINS")
    monkeypatch.syspath_prepend(tmp_path)
    assert "once" not in load_plugins().providers.names()
    install(tmp_path, "once-plugin", "once", GOOD.format(name="once"))
    assert "once" not in load_plugins().providers.names()
    forget_plugins()
    assert "once" in load_plugins().providers.names()


def test_names_of_options_are_whole_on_a_narrow_terminal_and_in_a_pipe(tmp_path: Path) -> None:
    for environ in ({"COLUMNS": "80"}, {"COLUMNS": ""}):
        shown = run_cli(tmp_path, "plugins", "--options", **environ).stdout
        for name in ("cerebras.reasoning_effort", "cerebras.reasoning_tokens"):
            assert f"\n{name}  (" in shown
        assert "…" not in shown
