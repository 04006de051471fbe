"""The kit on an installed plugin, by the name that it registered: ``llmattn check-plugin``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import attrs

from llmattn.cache.protocol import ScoreCache
from llmattn.errors import ConfigError
from llmattn.registry import Registered
from llmattn.settings import resolve, secret_settings
from llmattn.testing import caches, providers, server_faults
from llmattn.testing.cache_subject import CacheSubject
from llmattn.testing.findings import Result, results
from llmattn.testing.server import ScoreServer
from llmattn.testing.server_faults import Asking
from llmattn.testing.subject import Made, Subject

__all__ = ["check_installed_cache", "check_installed_provider"]

_KEY = "kit-planted-key-4711"


def check_installed_provider(
    registered: Registered, options: Mapping[str, str], *, may_cost: bool = False, seed: int = 0
) -> Iterator[Result]:
    """The results of all checks of a provider with these settings, one after the other.

    The environment is not read, and no key of the user's is used. A setting ``base_url`` is that of
    a server on loopback, unless it is given. Raises ConfigError for a provider that may cost money.
    """
    fields = {each.name for each in attrs.fields(cast(Any, registered.settings))}
    with ScoreServer(models=()) as server, ExitStack() as stack:
        here = "base_url" in fields and "base_url" not in options
        given = _filled(registered, options, server.url)
        if not (here or may_cost or registered.local):
            raise ConfigError(
                f"{registered.name} may ask a server that costs money: it has no setting base_url "
                "that could be the kit's own, and does not say local = True. --yes asks it all the "
                "same, some thousand scores."
            )
        stack.callback(server.reset)
        settings = _settings(registered, given)
        made = Made(registered.load(), (settings,))
        yield from results(providers.CHECKS, Subject(made, made_with=made, seed=seed))
        if here:
            quick = {**given, "timeout": "0.5"} if "timeout" in fields else given

            def asker(url: str) -> Any:
                return registered.build(_settings(registered, {**quick, "base_url": url}))

            asking = Asking(asker, server, secrets=[_KEY])
            yield from results(server_faults.FAULT_CHECKS, asking)


def check_installed_cache(
    registered: Registered, options: Mapping[str, str], *, seed: int = 0
) -> Iterator[Result]:
    """The results of all checks of a cache. One with a setting ``dir`` is given empty folders; any
    other must be empty, and is again at the end. Raises ConfigError if it is not.
    """
    fields = {each.name for each in attrs.fields(cast(Any, registered.settings))}
    with tempfile.TemporaryDirectory() as top:

        def fresh() -> Callable[[], ScoreCache]:
            given = dict(options)
            if "dir" in fields:
                given["dir"] = tempfile.mkdtemp(dir=top)
            made = Made(registered.load(), (_settings(registered, given),))
            _emptied(made())
            return made

        persistent = bool(fields)
        if persistent:
            _must_be_empty(registered, fresh, options, Path(top), "dir" in fields)
        subject = CacheSubject(fresh, persistent, seed=seed)
        yield from results(caches.CHECKS, subject)
        fresh()


def _must_be_empty(
    registered: Registered, fresh: Any, options: Mapping[str, str], top: Path, has_folder: bool
) -> None:
    given = {**options, "dir": str(top / "first")} if has_folder else dict(options)
    cache = registered.build(_settings(registered, given))
    listed = cache.namespaces()
    cache.close()
    if listed:
        raise ConfigError(
            f"{registered.name} holds scores of {listed[0].identity.provider!r} and others; the "
            "kit purges what it finds, so name an empty store with -o."
        )


def _emptied(cache: Any) -> None:
    for info in cache.namespaces():
        cache.purge(info.namespace)
    cache.close()


def _filled(registered: Registered, options: Mapping[str, str], url: str) -> dict[str, str]:
    """The options, with stand-ins for an address, keys and a model."""
    fields = attrs.fields(cast(Any, registered.settings))
    names = {each.name for each in fields}
    given = {"base_url": url, "model": "test-model"}
    given.update(dict.fromkeys(secret_settings(registered.settings), _KEY))
    return {**{name: text for name, text in given.items() if name in names}, **options}


def _settings(registered: Registered, given: Mapping[str, str]) -> Any:
    return resolve(registered.settings, owner=registered.name, options=given, environ={})
