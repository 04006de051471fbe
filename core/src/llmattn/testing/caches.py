"""The test kit for authors of caches: call `check_cache` in a test of your plugin, and if the cache
is a ``FileCache``, `check_file_cache` in another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from llmattn.testing.cache_files import check_file_cache
from llmattn.testing.cache_rows import (
    check_large_puts,
    check_namespaces_apart,
    check_purging,
    check_reading_all,
    check_texts_apart,
    check_words_apart,
)
from llmattn.testing.cache_scores import (
    check_closing,
    check_compacting,
    check_interrupted_put,
    check_merging,
    check_refusals,
    check_scores_bit_by_bit,
)
from llmattn.testing.cache_sharing import (
    check_another_process,
    check_broken_store,
    check_folder,
    check_other_thread,
    check_partial_puts,
    check_second_instance,
    check_threads,
)
from llmattn.testing.cache_subject import CacheSubject, Opener
from llmattn.testing.cache_walk import check_random_calls
from llmattn.testing.findings import CheckFailed, run_all

__all__ = ["CHECKS", "CheckFailed", "Opener", "check_cache", "check_file_cache"]

CHECKS: tuple[Callable[[CacheSubject], None], ...] = (
    check_scores_bit_by_bit,
    check_merging,
    check_words_apart,
    check_texts_apart,
    check_namespaces_apart,
    check_purging,
    check_reading_all,
    check_refusals,
    check_interrupted_put,
    check_closing,
    check_compacting,
    check_other_thread,
    check_threads,
    check_second_instance,
    check_folder,
    check_broken_store,
    check_large_puts,
    check_another_process,
    check_partial_puts,
    check_random_calls,
)
"""What is looked at, in this order: fixed cases, the same each time, then random calls."""


def check_cache(
    fresh: Callable[[], Opener],
    *,
    persistent: bool = True,
    examples: int = 25,
    steps: int = 25,
    patience: float = 60.0,
    seed: int = 0,
    skip: Collection[str] = (),
) -> None:
    """Raise CheckFailed, an AssertionError that says in a sentence what was done, what came and
    what is expected, unless the cache does what ``ScoreCache`` says.

    ``fresh``: called before each case; makes an empty store and returns a function that opens the
    same one each time it is called, be it while another has it open. ``persistent``: what was put
    is still there after closing, and other processes see it. ``examples`` of so many ``steps``:
    how many random calls are made, from ``seed``. ``patience``: seconds that a call in a thread or
    process may last. ``skip``: names of checks that are left out, such as ``"partial puts"``.
    """
    subject = CacheSubject(fresh, persistent, patience, seed, examples, steps)
    run_all(CHECKS, subject, skip)
