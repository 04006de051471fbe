"""The check that another process, on another day, gives the same scores under the same identity."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any

from llmattn.errors import ConfigError, ProviderRejected
from llmattn.identity import Identity
from llmattn.providers.protocol import AttentionProvider, NeedsText
from llmattn.rows import Row, Scores
from llmattn.testing.elsewhere import elsewhere
from llmattn.testing.findings import NotChecked, fail
from llmattn.testing.identities import difference, variations
from llmattn.testing.subject import Made, Subject

__all__ = ["check_another_process"]


def check_another_process(subject: Subject) -> None:
    """Another process, with the settings in another order: the same scores, the same identity."""
    made, rows = subject.made, subject.probes()
    try:
        taken = (one for _, _, one in variations(subject) if _is_taken(subject, one))
        varied = list(islice(taken, 12))
    except NotChecked:
        varied = []
    calls = [made, *varied]
    jobs = [(call, [list(r) for r in subject.packed(rows)]) for call in calls]
    answers, error = elsewhere(ask_all, jobs[::-1], subject.lines(), seconds=2 * subject.patience)
    done = "The same rows were asked in another process, on another day"
    if error:
        fail(done, f"there came: {error}", "scores, as in this process", "the-provider")
    for (call, requests), (identity, there) in zip(jobs, answers[::-1], strict=True):
        here = subject.new(call)
        if here.identity() != identity:
            came = f"the identity differs: {difference(here.identity(), identity)}"
            wanted = "an identity that is made of the settings alone"
            fail(done, came, wanted, "what-belongs-in-the-identity")
        if call is made:
            subject.compare(requests, there, done)
            continue
        local = Subject(call, **_like(subject))
        local.learn(requests, local.ask(requests, provider=subject.new(call)))
        local.compare(
            requests,
            there,
            "The rows were asked under several settings, here in one order and in another process "
            "in the opposite one",
        )


def _is_taken(subject: Subject, made: Made) -> bool:
    """Whether a provider takes a setting, of which some say so only when they are asked."""
    refusals = ConfigError, ProviderRejected
    try:
        subject.ask(
            subject.packed(subject.probes()[:1]), provider=subject.new(made), refusals=refusals
        )
    except refusals:
        return False
    return True


def _like(subject: Subject) -> dict[str, Any]:
    names = ("text", "deterministic", "tolerance", "patience", "seed")
    return {name: getattr(subject, name) for name in names}


def ask_all(
    jobs: Sequence[tuple[Made, list[list[Row]]]], lines: Sequence[Sequence[str]]
) -> list[tuple[Identity, list[tuple[Scores, ...]]]]:
    """Identity and scores of each provider."""
    return [_ask(made(), requests, lines) for made, requests in jobs]


def _ask(
    provider: AttentionProvider, requests: list[list[Row]], lines: Sequence[Sequence[str]]
) -> tuple[Identity, list[tuple[Scores, ...]]]:
    if isinstance(provider, NeedsText):
        provider.read_text(lines)

    async def conversation() -> list[tuple[Scores, ...]]:
        try:
            return [(await provider.score(request)).scores for request in requests]
        finally:
            await provider.aclose()

    return provider.identity(), asyncio.run(conversation())
