"""The whole examination, in the order in which one fault explains the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmattn.doctor.cache import examine_cache
from llmattn.doctor.finding import Finding
from llmattn.doctor.machine import examine_machine
from llmattn.doctor.reach import examine_reach
from llmattn.doctor.settings import (
    choose,
    examine_files,
    examine_keys,
    examine_plugins,
    examine_provider,
)
from llmattn.environment import environment
from llmattn.errors import ConfigError
from llmattn.plugins import load_plugins

__all__ = ["examine"]


def examine(
    *,
    provider: str | None = None,
    cache: str = "lmdb",
    cache_dir: Path | None = None,
    reach: bool = False,
) -> Iterator[Finding]:
    """What there is to be said, one by one. Nothing is made or mended, and without ``reach``
    nothing is sent to anybody.

    ``provider``: another than the one that commands would choose.
    """
    yield from examine_machine()
    yield from examine_files()
    try:
        environ, plugins = environment(), load_plugins()
    except ConfigError:  # as the files have told: nothing more can be known
        return
    yield from examine_plugins(plugins)
    yield from examine_keys(plugins, environ)
    chosen = choose(plugins, environ, provider)
    if isinstance(chosen, Finding):
        yield chosen
    else:
        found = list(examine_provider(chosen, environ, plugins, provider))
        yield from found
        local = chosen.local if not _problems(found) else True
        if reach and not local:
            yield from examine_reach(chosen, environ)
    yield from examine_cache(cache, cache_dir)


def _problems(findings: list[Finding]) -> bool:
    return any(each.state == "problem" for each in findings)
