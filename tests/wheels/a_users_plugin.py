"""A plugin as its author writes it: a provider, a chat provider and a cache, with their tests.

Type checkers read it against the built wheels; nothing runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from attrs import frozen, validators
from llmattn.plugin import (
    API_VERSION,
    AttentionProvider,
    BadReply,
    CacheRegistry,
    Cause,
    ChatProvider,
    ChatSettings,
    Completion,
    Identity,
    Limits,
    NamespaceInfo,
    Price,
    Prompt,
    ProviderRegistry,
    RateLimited,
    Reply,
    Row,
    Scope,
    ScoreCache,
    Scores,
    Secret,
    Usage,
    checked_halves,
    hookimpl,
    identity_details,
    needs_api,
    nothing_known,
    notify,
    prefix_rows,
    setting,
)
from llmattn.testing import (
    FaultPlan,
    ScoreServer,
    check_cache,
    check_faults,
    check_provider,
    load_plugins,
)

needs_api(*API_VERSION)


@frozen
class LengthSettings:
    most: int = setting(9, env="LENGTH_MOST", help="longest word", validator=validators.ge(1))


class LengthProvider:
    scope = Scope.PREFIX
    channels = ("length",)
    limits = Limits(nested_rows=True)
    local = True
    absent_score = None
    transform = "log"
    normalised = False

    def __init__(self, settings: LengthSettings) -> None:
        self.settings = settings

    def identity(self) -> Identity:
        return Identity("length", 1, self.scope, self.channels, identity_details(self.settings))

    async def score(self, rows: Sequence[Row]) -> Reply:
        return Reply([self._scores(row) for row in rows])

    async def aclose(self) -> None:
        pass

    def _scores(self, row: Row) -> Scores:
        lengths = [min(len(key), self.settings.most) / self.settings.most for key in row.keys]
        return np.array([lengths], np.float32)


@frozen(kw_only=True)
class MineSettings(ChatSettings):
    api_key: Secret = setting(env="MINE_API_KEY", harmless=True, help="key of an account")


class MineProvider(ChatProvider):
    name = "mine"

    async def complete(self, prompt: Prompt) -> Completion:
        if prompt.max_output_tokens > 10_000:
            raise RateLimited("mine: slower", retry_after=3.0)
        if not prompt.user:
            raise BadReply("mine: nothing", cause=Cause.EMPTY)
        return Completion(prompt.system, Usage(1, 20, 30))

    async def aclose(self) -> None:
        notify("closed")


@frozen
class FolderSettings:
    dir: Path = setting(Path("scores"), help="where it lies")


class FolderCache:
    def __init__(self, settings: FolderSettings) -> None:
        self.settings = settings
        self._kept: dict[tuple[str, Row], Scores] = {}

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        nothing = (nothing_known(identity, row) for row in rows)
        kept = (self._kept.get((identity.namespace, row)) for row in rows)
        return [none if one is None else one for none, one in zip(nothing, kept, strict=True)]

    def put(
        self,
        identity: Identity,
        rows: Sequence[Row],
        scores: Sequence[Scores],
        usage: Usage = Usage(),
    ) -> None:
        assert checked_halves(identity, rows, scores).dtype == np.float16
        self._kept.update({(identity.namespace, r): s for r, s in zip(rows, scores, strict=True)})

    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        yield from ((row, s) for (name, row), s in self._kept.items() if name == namespace)

    def namespaces(self) -> list[NamespaceInfo]:
        return []

    def purge(self, namespace: str) -> None:
        self._kept.clear()

    def close(self) -> None:
        pass


@hookimpl
def llmattn_register_providers(registry: ProviderRegistry) -> None:
    registry.add("length", LengthProvider, LengthSettings, "how long words are")
    registry.add(
        *("mine", MineProvider, MineSettings),
        prices={"large": Price(2.5, 15.0)},
        chosen_when="MINE_API_KEY",
    )


@hookimpl
def llmattn_register_caches(registry: CacheRegistry) -> None:
    registry.add("folder", f"{__name__}:FolderCache", FolderSettings)


def test_the_provider() -> None:
    provider: AttentionProvider = LengthProvider(LengthSettings())
    assert prefix_rows(["a", "b"])[0].query == "a"
    check_provider(lambda: provider)


def test_the_chat_provider() -> None:
    def make(url: str) -> AttentionProvider:
        return MineProvider(MineSettings(api_key=Secret("k"), model=url))

    check_faults(make)
    with ScoreServer(latency=0.05, faults=FaultPlan({"rate_limit": 0.1})) as server:
        assert server.url.startswith("http")


def test_the_cache(tmp_path: Path) -> None:
    cache: ScoreCache = FolderCache(FolderSettings(dir=tmp_path))
    check_cache(lambda: lambda: cache, persistent=False)
    assert "length" in load_plugins().providers.names()
