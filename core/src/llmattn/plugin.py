"""The one module that a plugin imports. What it promises: docs/plugin-promises.md.

A name is loaded when it is used, so that a plugin which only registers itself costs next to
nothing. Everything else of llmattn may change from one version to the next.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmattn.allowance import one_more
    from llmattn.cache.bulk import load_pairs
    from llmattn.cache.checks import (
        Half,
        checked_halves,
        has_positions,
        key_counts,
        nothing_known,
    )
    from llmattn.cache.claims import this_process
    from llmattn.cache.exchange.transfer import contents, copy_into
    from llmattn.cache.lmdb.cache import LmdbCache
    from llmattn.cache.protocol import (
        BulkCache,
        Claims,
        FileCache,
        MaybeReadOnly,
        NamespaceInfo,
        Numbers,
        Pairs,
        ScoreCache,
        SharedCache,
        Taken,
        VerifyReport,
    )
    from llmattn.cache.settings import LmdbSettings
    from llmattn.causes import Cause
    from llmattn.devices import choose_device
    from llmattn.errors import (
        BadReply,
        BudgetExceeded,
        CacheDamaged,
        CacheError,
        ConfigError,
        Forgotten,
        LlmattnError,
        MissingSetting,
        PluginError,
        ProviderError,
        ProviderRejected,
        ProviderUnavailable,
        RateLimited,
        TooLarge,
        WorkerLost,
    )
    from llmattn.executors.carrying import carry_out
    from llmattn.executors.protocol import Executor, Work, still_wanted, wanted_while
    from llmattn.hookspecs import hookimpl
    from llmattn.identity import Identity
    from llmattn.notices import notify, notify_once, warn, warn_once
    from llmattn.paths import user_path
    from llmattn.providers.chat import ChatProvider, Completion
    from llmattn.providers.chat_settings import (
        ChatSettings,
        base_url,
        dimensions,
        embedding_model,
        server_name,
    )
    from llmattn.providers.prices import Price
    from llmattn.providers.prompt import Prompt
    from llmattn.providers.protocol import (
        AttentionProvider,
        BatchProvider,
        BatchStatus,
        ChannelChooser,
        Estimator,
        Forecast,
        Forecaster,
        Limits,
        LocalProvider,
        MapProvider,
        NamedServer,
        NeedsText,
        OwnServer,
        PartProvider,
        RateHint,
        Reply,
        StandIn,
        VectorProvider,
        VectorReply,
    )
    from llmattn.providers.reply import bad_reply, excerpt
    from llmattn.registry import CacheRegistry, ExecutorRegistry, ProviderRegistry
    from llmattn.rows import Row, Scope, Scores, pair_rows, prefix_rows
    from llmattn.secrets import Secret, redact, strip_credentials
    from llmattn.settings import identity_details, setting
    from llmattn.untrusted import WRONG_DATA, from_json
    from llmattn.usage import Usage

__all__ = [
    "API_VERSION",
    "WRONG_DATA",
    "AttentionProvider",
    "BadReply",
    "BatchProvider",
    "BatchStatus",
    "BudgetExceeded",
    "BulkCache",
    "CacheDamaged",
    "CacheError",
    "CacheRegistry",
    "Cause",
    "ChannelChooser",
    "ChatProvider",
    "ChatSettings",
    "Claims",
    "Completion",
    "ConfigError",
    "Estimator",
    "Executor",
    "ExecutorRegistry",
    "FileCache",
    "Forecast",
    "Forecaster",
    "Forgotten",
    "Half",
    "Identity",
    "Limits",
    "LlmattnError",
    "LmdbCache",
    "LmdbSettings",
    "LocalProvider",
    "MapProvider",
    "MaybeReadOnly",
    "MissingSetting",
    "NamedServer",
    "NamespaceInfo",
    "NeedsText",
    "Numbers",
    "OwnServer",
    "Pairs",
    "PartProvider",
    "PluginError",
    "Price",
    "Prompt",
    "ProviderError",
    "ProviderRegistry",
    "ProviderRejected",
    "ProviderUnavailable",
    "RateHint",
    "RateLimited",
    "Reply",
    "Row",
    "Scope",
    "ScoreCache",
    "Scores",
    "Secret",
    "SharedCache",
    "StandIn",
    "Taken",
    "TooLarge",
    "Usage",
    "VectorProvider",
    "VectorReply",
    "VerifyReport",
    "Work",
    "WorkerLost",
    "bad_reply",
    "base_url",
    "carry_out",
    "checked_halves",
    "choose_device",
    "contents",
    "copy_into",
    "dimensions",
    "embedding_model",
    "excerpt",
    "from_json",
    "has_positions",
    "hookimpl",
    "identity_details",
    "key_counts",
    "load_pairs",
    "needs_api",
    "nothing_known",
    "notify",
    "notify_once",
    "one_more",
    "pair_rows",
    "prefix_rows",
    "redact",
    "server_name",
    "setting",
    "still_wanted",
    "strip_credentials",
    "this_process",
    "user_path",
    "wanted_while",
    "warn",
    "warn_once",
]

API_VERSION = (1, 1)
"""Of the names above: the first number is raised when one is taken away or means something else,
the second when one is added.
"""

_HOMES: Mapping[str, str] = {
    "allowance": "one_more",
    "cache.bulk": "load_pairs",
    "cache.checks": "Half checked_halves has_positions key_counts nothing_known",
    "cache.claims": "this_process",
    "cache.exchange.transfer": "contents copy_into",
    "cache.lmdb.cache": "LmdbCache",
    "cache.protocol": "BulkCache Claims FileCache MaybeReadOnly NamespaceInfo Numbers Pairs "
    "ScoreCache SharedCache Taken VerifyReport",
    "cache.settings": "LmdbSettings",
    "causes": "Cause",
    "devices": "choose_device",
    "errors": "BadReply BudgetExceeded CacheDamaged CacheError ConfigError Forgotten LlmattnError "
    "MissingSetting PluginError ProviderError ProviderRejected ProviderUnavailable RateLimited "
    "TooLarge WorkerLost",
    "executors.carrying": "carry_out",
    "executors.protocol": "Executor Work still_wanted wanted_while",
    "hookspecs": "hookimpl",
    "identity": "Identity",
    "notices": "notify notify_once warn warn_once",
    "paths": "user_path",
    "providers.chat": "ChatProvider Completion",
    "providers.chat_settings": "ChatSettings base_url dimensions embedding_model server_name",
    "providers.prices": "Price",
    "providers.prompt": "Prompt",
    "providers.protocol": "AttentionProvider BatchProvider BatchStatus ChannelChooser "
    "Estimator Forecast Forecaster Limits LocalProvider MapProvider NamedServer NeedsText "
    "OwnServer PartProvider RateHint Reply StandIn VectorProvider VectorReply",
    "providers.reply": "bad_reply excerpt",
    "registry": "CacheRegistry ExecutorRegistry ProviderRegistry",
    "rows": "Row Scope Scores pair_rows prefix_rows",
    "secrets": "Secret redact strip_credentials",
    "settings": "identity_details setting",
    "untrusted": "WRONG_DATA from_json",
    "usage": "Usage",
}
_HOME = {name: f"llmattn.{home}" for home, names in _HOMES.items() for name in names.split()}

_DEPRECATED: dict[str, tuple[str, str]] = {}
"""Names that are going: what stands in each one's place, and the version without it. They are no
more in ``__all__``, and warn for at least one minor version.
"""


def needs_api(major: int, minor: int) -> None:
    """Say, before anything else in a plugin's module, which API it was written for.

    Raises PluginError where this llmattn-core has another one, or an older one; ``llmattn
    plugins`` then lists the plugin as incompatible, with what to do.
    """
    from llmattn.errors import IncompatiblePlugin

    ours = ".".join(map(str, API_VERSION))
    if major != API_VERSION[0] or minor > API_VERSION[1]:
        newer = (major, minor) > API_VERSION
        advice = "upgrade llmattn-core" if newer else "look for a newer version of it"
        raise IncompatiblePlugin(
            f"it was made for the plugin API {major}.{minor}, and this llmattn-core has {ours}: "
            f"{advice}."
        )


if not TYPE_CHECKING:  # or a type checker would believe any name

    def __getattr__(name: str) -> object:
        asked = name
        if name in _DEPRECATED:
            name, gone = _DEPRECATED[name]
            warnings.warn(
                f"llmattn.plugin.{asked} goes with llmattn-core {gone}: use llmattn.plugin.{name}.",
                DeprecationWarning,
                stacklevel=2,
            )
        if name not in _HOME:
            raise AttributeError(f"module 'llmattn.plugin' has no attribute {asked!r}")
        from importlib import import_module

        found = getattr(import_module(_HOME[name]), name)
        if name == asked:
            globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
