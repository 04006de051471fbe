"""The test kit for authors of providers: call `check_provider` in a test of your plugin.

For a provider that asks an OpenAI-compatible server there is `check_faults` as well.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence

import numpy as np

from llmattn.errors import ProviderError
from llmattn.feeds.windows import window_rows
from llmattn.identity import Identity
from llmattn.providers.protocol import AttentionProvider, Limits, NeedsText, Reply
from llmattn.rows import Row, Scope, Scores, pair_rows, prefix_rows
from llmattn.scoring.planner import merge_rows, pack
from llmattn.testing.faults import FAULTS, FaultPlan
from llmattn.testing.server import ScoreServer

__all__ = ["PIECES", "TEXT", "check_faults", "check_provider"]

_SENTENCE = "the cat that the dog chased eats a fish , and the dog 's bowl is empty ."
TEXT = tuple(_SENTENCE.split())
"""The tokens that the checks ask a provider of PAIR scope about, unless they are given others."""

_WRITTEN = "\n|The| cat| that| the| dog| chased|,| eats| a| fish|,| and| it|'s| gone|."
PIECES = tuple(_WRITTEN.split("|"))
"""The same for PREFIX scope: pieces of a text as it was written."""

_FUTURES = ((" bananas", " fly", "!", "\n"), ("s", "'t", "...", "--", "1", "\n"))
"""Other ways for a text to go on; the second sticks to what stands before it."""


def check_provider(
    make: Callable[[], AttentionProvider],
    *,
    text: Sequence[str] | None = None,
    secrets: Sequence[str] = (),
    deterministic: bool = True,
    tolerance: float = 0.0,
) -> None:
    """Raise AssertionError, saying what is wrong, unless ``make()`` gives a sound provider.

    Checked are: the protocol; an identity that is the same each time and holds none of
    ``secrets``; shapes and range of the scores; that they don't depend on the order of the
    rows, on their neighbours in the request, or on what comes after a query (causality); a
    life in more than one event loop. A model that samples is not ``deterministic``: then
    scores are not compared. ``tolerance``: by how much a score may differ between requests, for
    a model whose sums are rounded otherwise in a request of another size.
    """
    text = text or _text_for(make())
    provider = _ready(make, text)
    _check_protocol(provider)
    _check_identity(provider, _ready(make, text), secrets)
    rows = _rows(provider.scope, text)
    scores = asyncio.run(_ask(provider, rows))
    asyncio.run(_closed_unused(_ready(make, text)))
    if not deterministic:
        return
    again = asyncio.run(_ask(_ready(make, text), rows))
    _same(scores, again, "another instance in another event loop", tolerance)
    backwards = asyncio.run(_ask(_ready(make, text), rows[::-1]))
    _same(scores, backwards, "asking the rows in another order", tolerance)
    alone = asyncio.run(_ask(_ready(make, text), rows[-1:]))
    _same(scores, alone, "asking a row without the others", tolerance)
    _check_causality(make, text, scores, tolerance)


def check_faults(
    make: Callable[[str], AttentionProvider], *, text: Sequence[str] | None = None
) -> None:
    """Raise AssertionError unless every fault of a server ends in scores or a ProviderError.

    ``make(base_url)`` gives a provider that asks an OpenAI-compatible server; let it wait
    for a reply no longer than a second or so.
    """
    with ScoreServer() as server:
        for fault, what in FAULTS.items():
            server.change(faults=FaultPlan({fault: 1.0}))
            provider = make(server.url)
            rows = _rows(provider.scope, text or _text_for(provider))
            try:
                asyncio.run(_ask(provider, rows))
            except ProviderError:
                continue
            except Exception as error:
                raise AssertionError(
                    f"the fault {fault!r} ({what}) made the provider raise "
                    f"{type(error).__name__}: {error}; it should be a ProviderError"
                ) from error


def _text_for(provider: object) -> tuple[str, ...]:
    return PIECES if getattr(provider, "scope", None) is Scope.PREFIX else TEXT


def _ready(make: Callable[[], AttentionProvider], text: Sequence[str]) -> AttentionProvider:
    provider = make()
    if isinstance(provider, NeedsText):
        provider.read_text([text])
    return provider


def _check_protocol(provider: AttentionProvider) -> None:
    assert isinstance(provider, AttentionProvider), (
        f"{type(provider).__name__} lacks a member of AttentionProvider: scope, channels, "
        "limits, identity(), score(), aclose()"
    )
    assert isinstance(provider.scope, Scope), f"scope is {provider.scope!r}, not a Scope"
    assert isinstance(provider.limits, Limits), f"limits are {provider.limits!r}, not Limits"
    channels = provider.channels
    assert isinstance(channels, tuple), f"channels are {channels!r}, not a tuple"
    assert channels, "a provider has at least one channel"


def _check_identity(
    provider: AttentionProvider, other: AttentionProvider, secrets: Sequence[str]
) -> None:
    identity = provider.identity()
    assert isinstance(identity, Identity), f"identity() gives {identity!r}, not an Identity"
    assert identity.scope is provider.scope, "identity and provider differ in scope"
    assert identity.channels == provider.channels, "identity and provider differ in channels"
    assert identity == other.identity(), (
        "two providers with the same settings have different identities, so that what one has "
        f"paid for is lost to the other: {identity} and {other.identity()}"
    )
    shown = json.dumps(identity.to_dict()) + repr(provider)
    for secret in secrets:
        assert secret not in shown, "the identity or the repr shows a secret"


def _rows(scope: Scope, text: Sequence[str]) -> list[Row]:
    return prefix_rows(text) if scope is Scope.PREFIX else pair_rows(text)


async def _ask(provider: AttentionProvider, rows: Sequence[Row]) -> dict[Row, Scores]:
    """The scores of ``rows``, packed as the provider's limits allow, each reply checked."""
    (found,) = await _ask_in_turn(provider, [rows])
    return found


async def _ask_in_turn(
    provider: AttentionProvider, questions: Sequence[Sequence[Row]]
) -> list[dict[Row, Scores]]:
    answers = []
    try:
        for rows in questions:
            found: dict[Row, Scores] = {}
            for request in pack(rows, provider.limits, provider.scope):
                reply = await provider.score(request)
                _check_reply(provider, request, reply)
                found.update(zip(request, reply.scores, strict=True))
            answers.append(found)
    finally:
        await provider.aclose()
    return answers


def _check_reply(provider: AttentionProvider, request: Sequence[Row], reply: Reply) -> None:
    assert isinstance(reply, Reply), f"score() gives {reply!r}, not a Reply"
    shapes = [scores.shape for scores in reply.scores]
    wanted = [(len(provider.channels), len(row.keys)) for row in request]
    assert shapes == wanted, f"scores have shapes {shapes}, (channels, keys) is {wanted}"
    for row, scores in zip(request, reply.scores, strict=True):
        known = scores[~np.isnan(scores)]
        assert ((known >= 0) & (known <= 1)).all(), f"{row.query!r} has scores outside [0, 1]"


async def _closed_unused(provider: AttentionProvider) -> None:
    await provider.aclose()


def _pairs(scores: dict[Row, Scores]) -> dict[tuple[object, ...], Scores]:
    """One entry a score, of shape (C,), whatever parts the rows were asked in."""
    return {
        (row.query, row.keys[i], row.context, i if row.context else 0): values[:, i]
        for row, values in scores.items()
        for i in range(len(row.keys))
    }


def _same(scores: dict[Row, Scores], other: dict[Row, Scores], what: str, tolerance: float) -> None:
    """What both hold is the same in both."""
    ours, theirs = _pairs(scores), _pairs(other)
    for pair in ours.keys() & theirs.keys():
        np.testing.assert_allclose(
            ours[pair],
            theirs[pair],
            rtol=0,
            atol=tolerance,
            err_msg=f"{what} changes the score of {pair[1]!r} for {pair[0]!r}",
        )


def _check_causality(
    make: Callable[[], AttentionProvider],
    text: Sequence[str],
    scores: dict[Row, Scores],
    tolerance: float,
) -> None:
    """Another text after position i leaves the rows up to i as they were.

    Rows of a text are asked together, as far as the limits allow, and so are those of two windows
    that follow each other: a provider that lets the whole of it into its scores is found out,
    whether it sees it in one request or in several.
    """
    scope = make().scope
    questions: list[Sequence[Row]] = []
    for cut, future in itertools.product({1, len(text) // 2, len(text) - 1}, _FUTURES):
        rows = _rows(scope, (*text[:cut], *future))
        # From the end, so that a provider which keeps what it has seen has seen the future; then
        # beside the text itself, in the order in which it is asked in earnest.
        questions += [rows[::-1], merge_rows([*rows, *_rows(scope, text)])]
        if scope is Scope.PREFIX:
            # A window and the next one of the same text, as a corpus is asked for.
            questions.append(_two_windows((*text[:cut], *future), cut))
    for other in asyncio.run(_ask_in_turn(_ready(make, text), questions)):
        _same(scores, other, "another word after the query", tolerance)


def _two_windows(text: Sequence[str], cut: int) -> list[Row]:
    """The rows of ``text[:cut]``, and those of the window that begins there."""
    return [
        row
        for start, end in ((0, cut), (cut, len(text)))
        for row in window_rows(text, start, end - start)
    ]
