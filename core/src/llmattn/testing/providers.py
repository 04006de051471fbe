"""The test kit for authors of providers: call `check_provider` in a test of your plugin, and
`check_faults` too if it asks a server.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from llmattn.providers.protocol import AttentionProvider
from llmattn.testing.findings import Check, CheckFailed, run_all
from llmattn.testing.identities import (
    check_identity,
    check_secrets,
    check_settings_in_identity,
)
from llmattn.testing.material import PIECES, TEXT
from llmattn.testing.members import (
    check_members,
    check_optional_members,
    check_readings,
    check_settings_class,
)
from llmattn.testing.processes import check_another_process
from llmattn.testing.sameness import (
    check_at_once,
    check_earlier_texts,
    check_future,
    check_large_requests,
    check_neighbours,
    check_random_rows,
    check_replies,
    check_unused,
)
from llmattn.testing.server_faults import check_faults
from llmattn.testing.subject import Made, Subject

__all__ = ["CHECKS", "PIECES", "TEXT", "CheckFailed", "check_faults", "check_provider"]

CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_members,
    check_optional_members,
    check_settings_class,
    check_identity,
    check_secrets,
    check_unused,
    check_replies,
    check_large_requests,
    check_neighbours,
    check_future,
    check_earlier_texts,
    check_at_once,
    check_readings,
    check_random_rows,
    check_settings_in_identity,
    check_another_process,
)
"""What is looked at, in this order: fixed cases, the same each time, then random ones."""


def check_provider(
    make: Callable[..., AttentionProvider],
    *,
    settings: Any = None,
    text: Sequence[str] | None = None,
    secrets: Sequence[str] = (),
    deterministic: bool = True,
    tolerance: float = 0.0,
    rows: int = 1000,
    patience: float = 30.0,
    seed: int = 0,
    skip: Collection[str] = (),
) -> None:
    """Raise CheckFailed, an AssertionError that says in a sentence what was done, what came and
    what is expected, unless ``make()`` gives a sound provider. The same provider gets the same
    verdict each time.

    ``make`` is called many times, and has to use the same settings each time; where ``settings``
    are given, it is called with them, and with others of their class. ``text``: pieces to ask
    about instead of the kit's own, for a model that is slow; so does a smaller number of random
    ``rows``. ``secrets``: texts that must not be shown; settings of type Secret are tried without.
    A model that samples is not ``deterministic``: then scores are not compared. ``tolerance``: by
    how much a score may differ between requests, for a model whose sums are rounded otherwise in
    a request of another size. ``patience``: seconds that asking may last in all. ``seed``: of
    the random rows. ``skip``: names of checks that are left out, such as ``"another process"``.
    """
    made = None if settings is None else Made(make, (settings,))
    subject = Subject(
        made or make,
        text=None if text is None else tuple(text),
        secrets=tuple(secrets),
        deterministic=deterministic,
        tolerance=tolerance,
        rows=rows,
        patience=patience,
        seed=seed,
        made_with=made,
    )
    run_all(CHECKS, subject, skip)


def names() -> list[str]:
    """The names of the checks, as ``skip`` takes them."""
    return [Check(check).name for check in CHECKS]
