"""What is said of a cache that lacks something and cannot be written: nobody is asked for it."""

from __future__ import annotations

from llmattn.cache.protocol import FileCache, ScoreCache
from llmattn.errors import CacheError
from llmattn.scoring.report import FillReport

__all__ = ["check_nothing_lacks", "not_stored"]


def check_nothing_lacks(name: str, cache: ScoreCache, report: FillReport) -> None:
    """Raise CacheError if ``report``, of what a read-only cache holds, has pairs left."""
    if report.left:
        raise not_stored(
            name,
            cache,
            f"{report.left:,} of {report.pairs:,} pairs are not in the cache, and",
        )


def not_stored(name: str, cache: ScoreCache, what: str) -> CacheError:
    """The error that ``what`` could not be stored, with the remedy."""
    where = cache.path if isinstance(cache, FileCache) else "the cache"
    return CacheError(
        f"{name}: {what} could not be stored: {where} can be read, but not written. Nothing was "
        "asked. Copy its folder to one of your own (cp -r), and name that with --cache-dir or "
        "LLMATTN_CACHE_DIR."
    )
