"""The check of a cache in a file: where it is, and what it does about damage."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmattn.cache.protocol import FileCache
from llmattn.errors import CacheError
from llmattn.rows import Row
from llmattn.testing.cache_subject import IDENTITIES
from llmattn.testing.findings import fail

__all__ = ["check_file_cache"]

_WHERE = "files"


def check_file_cache(kind: Any, settings: object) -> None:
    """Raise CheckFailed unless the file of a cache does what ``FileCache`` says.

    ``kind``: the class that is registered. ``settings``: those of a cache that is not there yet.
    """
    if not isinstance(kind, FileCache):
        lacking = [n for n in ("path", "compact", "locate", "verify") if not hasattr(kind, n)]
        fail(f"{kind!r} was looked at", f"it lacks {', '.join(lacking)}", "all four", _WHERE)
    file = kind.locate(settings)
    if file.exists():
        fail("locate() was called", f"it has made {file}", "that it makes nothing", _WHERE)
    try:
        kind.verify(settings)
    except CacheError:
        pass
    else:
        fail(
            "verify() was called of a file that is not there", "it went well", "CacheError", _WHERE
        )
    identity, gone = IDENTITIES[0], IDENTITIES[1]
    rows = [Row(f"query {n}", [f"key {n + k}" for k in range(20)]) for n in range(400)]
    scores = [np.full((1, 20), n / 512, np.float32) for n in range(400)]
    make: Any = kind
    cache = make(settings)
    _expect(
        cache.path.samefile(file), "The cache was opened", f"its path is {cache.path}", str(file)
    )
    cache.put(identity, rows, scores)
    cache.put(gone, rows, scores)
    cache.purge(gone.namespace)
    before, after = cache.compact()
    done = "A namespace was purged, and the file compacted"
    _expect(
        after < before, done, f"it has {after} bytes, and had {before}", "that room is given back"
    )
    _same(cache, rows, scores, done)
    cache.close()
    report = kind.verify(settings)
    done = "A sound file was verified"
    _expect(report.path.samefile(file), done, f"the report is of {report.path}", str(file))
    _expect(not report.problems and report.kept_copy is None, done, str(report), "no problem")
    damaged = bytearray(file.read_bytes())
    middle = slice(len(damaged) // 3, len(damaged) // 2)
    damaged[middle] = b"\xa5" * (middle.stop - middle.start)
    file.write_bytes(damaged)
    report = kind.verify(settings)
    done = "A sixth of the file was overwritten, and verify() called"
    _expect(bool(report.problems), done, "damage is not found", "a problem in the report")
    whole = report.kept_copy is None and file.read_bytes() == damaged
    _expect(whole, done, "looking has changed the file", "a file that is as it was")
    report = kind.verify(settings, drop=True)
    done = "A damaged file was verified with drop"
    copy = report.kept_copy
    kept = copy is not None and copy.read_bytes() == damaged
    _expect(kept, done, "what was damaged is not kept", "a copy of it, named in the report")
    _expect(not kind.verify(settings).problems, done, "damage is left", "a file that is well")
    cache = make(settings)
    for found, was in zip(cache.get(identity, rows), scores, strict=True):
        known = ~np.isnan(found)
        right = np.array_equal(found[known], was[known])
        _expect(right, done, "a score has become another", "each score as it was, or NaN")
    cache.put(identity, rows, scores)
    _same(cache, rows, scores, f"{done}, and the scores put again")
    cache.close()


def _same(cache: Any, rows: list[Row], scores: list[Any], done: str) -> None:
    right = np.array_equal(cache.get(IDENTITIES[0], rows), scores)
    _expect(right, done, "scores are others, or gone", "every score")


def _expect(right: bool, done: str, came: str, wanted: str) -> None:
    if not right:
        fail(done, came, wanted, _WHERE)
