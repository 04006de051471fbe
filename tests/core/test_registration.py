"""What a provider says of itself when it is registered: its prices, and when it is chosen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from llmattn.errors import PluginError
from llmattn.plugins import Plugins, load_plugins
from llmattn.providers.prices import Price, price_of
from llmattn.registry import CacheRegistry, ProviderRegistry
from llmattn.scoring.find_provider import choose_provider
from llmattn.secrets import Secret
from llmattn.settings import setting, settings_help
from support_cli import FAILED, run_cli
from support_plugins import install

CHEAP = Price(1.0, 2.0)


@frozen
class Settings:
    key: Secret = setting(env="MINE_API_KEY", harmless=True, help="key of an account")


@frozen
class Plain:
    size: int = setting(1, env="PLAIN_SIZE", help="any")


def offering(*names: str, settings: type = Settings, **more: Any) -> Plugins:
    registry = ProviderRegistry()
    for name in names:
        registry.add(name, "nowhere:Nothing", settings, "for a test", **more)
    return Plugins((), registry, CacheRegistry())


@pytest.mark.parametrize(
    ("environ", "chosen"),
    [
        ({}, "cooccurrence"),
        ({"MINE_API_KEY": "k"}, "mine"),
        ({"LLM_PROVIDER": "mine"}, "mine"),
    ],
)
def test_a_strangers_provider_is_chosen_when_its_variable_is_set(
    environ: dict[str, str], chosen: str
) -> None:
    plugins = offering("mine", chosen_when="MINE_API_KEY")
    assert choose_provider(plugins, environ).name == chosen


def test_a_provider_that_does_not_ask_for_it_is_never_chosen_by_itself() -> None:
    assert choose_provider(offering("mine"), {"MINE_API_KEY": "k"}).name == "cooccurrence"


def test_each_variable_must_be_set() -> None:
    plugins = offering("mine", settings=Plain, chosen_when=("PLAIN_URL", "PLAIN_MODEL"))
    assert choose_provider(plugins, {"PLAIN_URL": "u"}).name == "cooccurrence"
    assert choose_provider(plugins, {"PLAIN_URL": "u", "PLAIN_MODEL": "m"}).name == "mine"


def test_one_whose_settings_are_not_complete_is_passed_over() -> None:
    plugins = offering("mine", chosen_when="LLM_MODEL")
    assert choose_provider(plugins, {"LLM_MODEL": "m"}).name == "cooccurrence"


def test_the_least_order_comes_first_and_equal_ones_go_by_name() -> None:
    registry = ProviderRegistry()
    for name, order in (("a", 60), ("c", 50), ("b", 50), ("d", 1)):
        registry.add(name, "nowhere:Nothing", Plain, chosen_when="X", order=order)
    assert [entry.name for entry in registry.automatic()] == ["d", "b", "c", "a"]
    plugins = Plugins((), registry, CacheRegistry())
    assert choose_provider(plugins, {"X": "x"}).name == "d"


def test_a_name_that_two_claim_is_not_chosen() -> None:
    plugins = offering("mine", "mine", chosen_when="MINE_API_KEY")
    assert choose_provider(plugins, {"MINE_API_KEY": "k"}).name == "cooccurrence"


def test_prices_are_a_mapping_or_a_function_or_where_one_of_them_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_prices.py").write_text(
        "from llmattn.providers.prices import Price\n"
        "PRICES = {'m': Price(1.0, 2.0)}\n"
        "def prices():\n    return PRICES\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    stated: list[Any] = [{"m": CHEAP}, lambda: {"m": CHEAP}]
    stated += ["mine_prices:PRICES", "mine_prices:prices"]
    for prices in stated:
        registered = offering("mine", prices=prices).provider("mine")
        assert price_of(registered, "m") == CHEAP
        assert price_of(registered, "m-2026-03-17") == CHEAP
        assert price_of(registered, "m-large") is None


def test_prices_are_imported_only_when_one_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_prices.py").write_text("PRICES = {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    registered = offering("mine", prices="late_prices:PRICES").provider("mine")
    assert "late_prices" not in sys.modules
    assert price_of(registered, "m") is None
    assert "late_prices" in sys.modules


def _broken() -> Mapping[str, Price]:
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("prices", "why"),
    [
        ("no_such_module:PRICES", "no_such_module"),
        ("llmattn.usage:PRICES", "PRICES"),
        ("nothing", "nothing"),
        (_broken, "RuntimeError: boom"),
        (lambda: [CHEAP], "list is no mapping"),
        ({"m": 5.0}, "5.0 is no Price"),
        (lambda: {"m": Price(-1.0, 0.0)}, "must be 0 or more"),
        (lambda: {"m": Price(float("nan"), 0.0)}, "must be 0 or more"),
    ],
)
def test_prices_that_cannot_be_read_are_the_plugins_fault(prices: Any, why: str) -> None:
    registered = offering("mine", prices=prices).provider("mine")
    with pytest.raises(PluginError, match=why):
        price_of(registered, "m")


@pytest.mark.parametrize(
    "more", [{"prices": 5}, {"chosen_when": [""]}, {"chosen_when": [3]}, {"order": "first"}]
)
def test_what_makes_no_sense_is_refused_when_it_is_registered(more: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(more))):
        offering("mine", **more)


def test_a_cache_has_neither_prices_nor_an_order() -> None:
    registry: Any = CacheRegistry()
    with pytest.raises(TypeError, match="chosen_when"):
        registry.add("mine", "nowhere:Nothing", Plain, "", chosen_when="X")


@pytest.mark.parametrize("name", ["openai", "cerebras"])
def test_the_default_models_of_the_plugins_beside_the_core_have_prices(name: str) -> None:
    registered = load_plugins().provider(name)
    model = {name: default for name, _, default, _ in settings_help(registered.settings)}["model"]
    assert price_of(registered, model) is not None


PAID = """
import numpy as np
from attrs import frozen
from llmattn.hookspecs import hookimpl
from llmattn.identity import Identity
from llmattn.providers.prices import Price
from llmattn.providers.protocol import Limits, Reply
from llmattn.rows import Scope
from llmattn.settings import setting
from llmattn.usage import Usage

@frozen
class Settings:
    model: str = setting("large", env="PAID_MODEL", help="which")

class Provider:
    scope, channels, limits = Scope.PAIR, ("c",), Limits()

    def __init__(self, settings):
        self.settings = settings

    def identity(self):
        return Identity("paid", 1, self.scope, self.channels, {"model": self.settings.model})

    def estimate(self, rows):
        return Usage(1, 1000, 1000)

    expect = estimate

    async def score(self, rows):
        scores = [np.linspace(0.1, 0.9, len(row.keys), dtype=np.float32)[None] for row in rows]
        return Reply(scores, Usage(1, 1000, 1000))

    async def aclose(self):
        pass

@hookimpl
def llmattn_register_providers(registry):
    registry.add(
        "paid", Provider, Settings, "for a test",
        prices={"large": Price(100.0, 400.0)}, chosen_when="PAID_MODEL",
    )
"""


def test_a_strangers_prices_tell_the_cost_of_a_command_that_chose_it_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "paid-plugin", "paid", PAID)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "c.txt").write_text("a b\n" * 20)
    done = run_cli(tmp_path, "score", "c.txt", "--max-cost", "5", PAID_MODEL="large")
    assert done.returncode == 0, done.stderr
    assert "$1.5000" in done.stdout + done.stderr
    unpriced = run_cli(tmp_path, "score", "c.txt", "--max-cost", "5", PAID_MODEL="small")
    assert unpriced.returncode in FAILED
    assert "price of paid small is not known" in unpriced.stderr
