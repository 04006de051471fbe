"""Fixtures for the tests of plugins: pytest finds them by itself once llmattn-core is installed.

Nothing of llmattn is imported before a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llmattn.cache.protocol import ScoreCache
    from llmattn.testing.server import ScoreServer


@pytest.fixture
def llmattn_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A clean environment: no variable that any installed plugin's settings read, none of
    llmattn's, no proxy, no ``.env`` above; a home and a cache folder of its own. Gives the folder,
    which is the working directory.
    """
    import attrs

    from llmattn.plugins import forget_plugins, load_plugins

    found = load_plugins()
    read = {
        each.metadata.get("env")
        for registry in found.registries
        for entry in registry
        for each in attrs.fields(entry.settings)
    }
    for name in list(os.environ):
        if name in read or name.startswith(("LLM_", "LLMATTN_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LLMATTN_CACHE_DIR", str(tmp_path / "scores"))
    (tmp_path / ".env").touch(mode=0o600)  # the nearest: none above it is read
    monkeypatch.chdir(tmp_path)
    forget_plugins()
    return tmp_path


@pytest.fixture
def llmattn_cache(tmp_path: Path) -> Iterator[ScoreCache]:
    """A scratch cache in a file of its own, closed at the end."""
    from llmattn.cache.lmdb.cache import LmdbCache
    from llmattn.cache.settings import LmdbSettings

    cache = LmdbCache(LmdbSettings(dir=tmp_path / "scratch", map_size_gb=0.25, sync=False))
    yield cache
    cache.close()


@pytest.fixture
def llmattn_server() -> Iterator[ScoreServer]:
    """The scripted server on loopback, which takes any model and key: ``llmattn_server.url``;
    ``llmattn_server.change(faults=..., script=...)`` says how it behaves.
    """
    from llmattn.testing.server import ScoreServer

    with ScoreServer(models=()) as server:
        yield server
