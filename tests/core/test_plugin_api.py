"""The one door: what `llmattn.plugin` offers and promises, and that our own plugins keep to it."""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path

import llmattn.plugin
import llmattn.testing
import pytest
from llmattn.errors import PluginError
from llmattn.untrusted import from_toml
from support_cli import run_process
from support_plugins import GOOD, install, listed

ROOT = Path(__file__).parents[2]
DOORS = {"llmattn.plugin", "llmattn.testing"}


def imported(path: Path) -> Iterator[str]:
    """The modules of the core that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            module = node.module
            yield from (
                (f"llmattn.{n.name}" for n in node.names) if module == "llmattn" else [module]
            )


@pytest.mark.parametrize("folder", ["plugins", "examples/llmattn-plugin-spelling"])
def test_our_plugins_import_of_the_core_what_a_strangers_may(folder: str) -> None:
    sources = list((ROOT / folder).rglob("*.py"))
    assert sources
    foreign = {
        str(path.relative_to(ROOT)): module
        for path in sources
        for module in imported(path)
        if module.split(".")[0] == "llmattn" and module not in DOORS
    }
    assert foreign == {}


def test_the_contract_names_every_plugin_of_ours() -> None:
    settings = from_toml(ROOT / "pyproject.toml")["tool"]
    packages = {path.name for path in (ROOT / "plugins").glob("*/src/*") if path.is_dir()}
    packages = {name for name in packages if not name.endswith(".egg-info")}
    _, door = settings["importlinter"]["contracts"]
    assert set(door["source_modules"]) == packages
    assert set(settings["importlinter"]["root_packages"]) == packages | {"llmattn"}


@pytest.mark.parametrize("module", [llmattn.plugin, llmattn.testing])
def test_each_name_is_there_and_type_checkers_see_the_same_ones(module: object) -> None:
    names: list[str] = module.__all__  # type: ignore[attr-defined]
    tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
    block = next(each for each in tree.body if isinstance(each, ast.If))
    seen = {
        name.name for each in block.body if isinstance(each, ast.ImportFrom) for name in each.names
    }
    assert set(names) - {"API_VERSION", "needs_api"} == seen
    for name in names:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_each_name_says_what_it_is() -> None:
    values = {"API_VERSION", "Half", "Numbers", "Pairs", "Scores", "WRONG_DATA", "hookimpl"}
    for name in set(llmattn.plugin.__all__) - values:
        said = inspect.getdoc(getattr(llmattn.plugin, name)) or ""
        assert len(said) >= 40, name


def test_the_door_is_light(tmp_path: Path) -> None:
    heavy = "{'torch', 'numpy', 'openai', 'lmdb', 'typer', 'rich', 'asyncio'}"
    code = f"import sys\nfrom llmattn.plugin import hookimpl\nprint({heavy} & set(sys.modules))"
    assert run_process(tmp_path, program=("-c", code)).stdout.strip() == "set()"


def test_a_deprecated_name_works_and_warns_of_its_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(llmattn.plugin._DEPRECATED, "Limit", ("Limits", "0.3"))
    with pytest.warns(
        DeprecationWarning, match=r"plugin\.Limit goes with llmattn-core 0\.3.*Limits"
    ):
        old = llmattn.plugin.Limit  # type: ignore[attr-defined]
    assert old is llmattn.plugin.Limits
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert llmattn.plugin.Limits is old


def test_every_deprecated_name_has_a_successor_and_is_offered_no_more() -> None:
    offered = set(llmattn.plugin.__all__)
    for old, (new, _) in llmattn.plugin._DEPRECATED.items():
        assert new in offered
        assert old not in offered


@pytest.mark.parametrize(
    ("wanted", "advice"),
    [
        ((1, 99), "upgrade llmattn-core"),
        ((2, 0), "upgrade llmattn-core"),
        ((0, 1), "newer version"),
    ],
)
def test_a_plugin_for_another_api_is_told_what_to_do(wanted: tuple[int, int], advice: str) -> None:
    with pytest.raises(PluginError, match=advice):
        llmattn.plugin.needs_api(*wanted)


def test_a_plugin_for_the_present_api_may_go_on() -> None:
    llmattn.plugin.needs_api(*llmattn.plugin.API_VERSION)
    llmattn.plugin.needs_api(llmattn.plugin.API_VERSION[0], 0)


def test_a_plugin_that_wants_a_newer_api_is_listed_as_incompatible(tmp_path: Path) -> None:
    newer = "from llmattn.plugin import needs_api\nneeds_api(1, 99)\n" + GOOD.format(name="newer")
    install(tmp_path, "newer-plugin", "newer", newer)
    lacking = "from llmattn.plugin import Telepathy\n" + GOOD.format(name="lacking")
    install(tmp_path, "lacking-plugin", "lacking", lacking)
    rows = listed(tmp_path)
    for name, told in (("newer", "1.99"), ("lacking", "Telepathy")):
        assert rows[name]["state"] == "incompatible"
        assert told in rows[name]["reason"]
        assert "upgrade llmattn-core" in rows[name]["reason"]
