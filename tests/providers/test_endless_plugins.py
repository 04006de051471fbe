"""A provider whose calls never end, or give what they must not, is named, and the run ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llmattn.cache.open import open_cache
from llmattn.errors import PluginError
from llmattn.identity import Identity
from llmattn.providers.protocol import Limits, Reply
from llmattn.providers.random import RandomProvider
from llmattn.providers.settings import RandomSettings
from llmattn.rows import Row, Scope, Scores
from llmattn.scoring.options import ScoringOptions
from llmattn.scoring.source import ScoreSource
from support_plugins import install, run

ROWS = [Row("cat", ("the", "cat")), Row("dog", ("the", "dog", "a"))]


class Provider(RandomProvider):
    """Sound but for what a test changes."""

    def __init__(self, **members: Any) -> None:
        super().__init__(RandomSettings())
        for name, value in members.items():
            setattr(self, name, value)


def scored(provider: Provider, timeout: float | None = None) -> None:
    options = ScoringOptions(quiet=True, provider_timeout=timeout)
    with ScoreSource("clever", provider, open_cache("memory"), options) as source:
        source.fill(ROWS)


def replying(scores: Callable[[Row], Any]) -> Provider:
    async def score(rows: list[Row]) -> Any:
        return Reply([scores(row) for row in rows])

    return Provider(score=score)


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (lambda row: [[0.5] * len(row.keys)], "list as scores of a row"),
        (
            lambda row: np.full((1, len(row.keys)), 0.5, np.complex64),
            "scores of the type complex64",
        ),
        (lambda row: np.full((1, len(row.keys)), True), "scores of the type bool"),
        (lambda row: np.full((1, len(row.keys)), 1), "scores of the type int64"),
        (lambda row: np.full((1, len(row.keys)), "1", object), "scores of the type object"),
        (lambda row: np.full((2, len(row.keys)), 0.5, np.float32), "scores of shapes"),
        (lambda row: np.full((1, len(row.keys)), 1.5, np.float32), r"outside \[0, 1\]"),
        (lambda row: None, "NoneType as scores"),
    ],
)
def test_scores_of_a_wrong_kind_are_the_plugins_fault(
    scores: Callable[[Row], Any], told: str
) -> None:
    with pytest.raises(PluginError, match=f"'clever|'random.*{told}"):
        scored(replying(scores))


@pytest.mark.parametrize("reply", [None, [], np.ones((1, 2), np.float32)])
def test_something_else_than_a_reply_is_the_plugins_fault(reply: object) -> None:
    async def score(rows: list[Row]) -> Any:
        return reply

    with pytest.raises(PluginError, match="where a Reply was asked for"):
        scored(Provider(score=score))


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), BaseException("gone")])
def test_what_would_end_the_process_ends_the_run_alone(error: BaseException) -> None:
    async def score(rows: list[Row]) -> Any:
        raise error

    with pytest.raises(PluginError, match=f"'clever' failed with {type(error).__name__}"):
        scored(Provider(score=score))


def of(scope: Scope = Scope.PAIR, channels: tuple[str, ...] = ("random",)) -> Identity:
    return Identity("random", 1, scope, channels)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("scope", "pair"),
        ("scope", None),
        ("channels", "random"),
        ("channels", (1, 2)),
        ("limits", {"timeout": 3}),
        ("limits", Limits(rows_per_request=2.5)),  # type: ignore[arg-type]
        ("identity", lambda: {"provider": "x"}),
        ("identity", lambda: None),
        ("identity", of()),
        ("identity", lambda: of(channels=("other",))),
        ("identity", lambda: of(scope=Scope.PREFIX)),
        ("identity", sys.exit),
        ("score", 5),
        ("aclose", None),
        ("local", "yes"),
        ("absent_score", 7),
    ],
)
def test_a_member_of_a_wrong_kind_is_the_plugins_fault(member: str, value: object) -> None:
    with pytest.raises(PluginError, match=r"The provider 'clever'.*fault of its plugin"):
        ScoreSource("clever", Provider(**{member: value}), open_cache("memory"))


async def forever(rows: object = None) -> Scores:
    await asyncio.sleep(3600)
    raise AssertionError


def test_a_request_that_never_ends_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        PluginError, match=r"'clever' has not ended a request in 0\.5 s.*--provider-t"
    ):
        scored(Provider(score=forever), timeout=0.5)


def test_the_limit_is_ten_minutes_or_twice_what_the_provider_says() -> None:
    from llmattn.scoring.calls import Calls

    assert Calls("any", Provider(), None).limit == 600
    assert Calls("any", Provider(limits=Limits(timeout=900)), None).limit == 1800
    assert Calls("any", Provider(limits=Limits(timeout=900)), 5).limit == 5


@pytest.mark.parametrize("end", ["raise RuntimeError('no luck')", "raise SystemExit"])
def test_closing_that_fails_is_told_and_loses_nothing(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def aclose() -> None:
        exec(end)

    scored(Provider(aclose=aclose))
    assert "Closing the provider 'clever' failed with" in caplog.text


ENDLESS = """
import asyncio, time
from attrs import frozen
from llmattn.plugin import hookimpl, Identity, Limits, Reply, Row, Scope, setting

@frozen
class Settings:
    mode: str = setting("", help="what never ends")

class Endless:
    scope, channels, limits = Scope.PAIR, ("one",), Limits()
    local, absent_score = True, None
    def __init__(self, settings): self.mode = settings.mode
    def identity(self): return Identity("endless", 1, self.scope, self.channels)
    async def score(self, rows):
        if self.mode == "blocks": time.sleep(3600)
        if self.mode == "thread": await asyncio.to_thread(time.sleep, 3600)
        import numpy as np
        return Reply([np.full((1, len(row.keys)), 0.5, np.float32) for row in rows])
    async def aclose(self):
        if self.mode == "close": time.sleep(3600)

@hookimpl
def llmattn_register_providers(registry):
    registry.add("endless", Endless, Settings, "for a test")
"""


@pytest.mark.parametrize(("mode", "code"), [("blocks", 1), ("thread", 1), ("close", 0)])
def test_a_command_ends_whatever_a_plugin_holds_on_to(tmp_path: Path, mode: str, code: int) -> None:
    install(tmp_path, "endless-plugin", "endless", ENDLESS)
    (tmp_path / "c.txt").write_text("a b\n" * 20)
    command = ("score", "c.txt", "--provider", "endless", "--cache", "memory")
    done = run(tmp_path, *command, "--option", f"mode={mode}", "--provider-timeout", "1")
    assert bool(done.returncode) is bool(code), done.stderr
    told = "Closing the provider" if mode == "close" else "--provider-timeout allows more"
    assert told in done.stderr
    assert "Traceback" not in done.stderr
