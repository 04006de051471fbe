"""The test kit for authors of word vectors: call `check_vectors` in a test of your plugin."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from llmattn.providers.protocol import VectorProvider, VectorReply

__all__ = ["WORDS", "check_vectors"]

WORDS = (" the", " cat", " bowl", "'s", ",", " unseeable", "ing", " the cat")


def check_vectors(
    make: Callable[[], VectorProvider],
    *,
    words: Sequence[str] = WORDS,
    secrets: Sequence[str] = (),
    tolerance: float = 0.0,
) -> None:
    """Raise AssertionError, saying what is wrong, unless ``make()`` gives sound word vectors.

    Checked are: the protocol; an identity that is the same each time and holds none of ``secrets``;
    the shape; that all numbers are finite; that they don't depend on the order of the words or on
    their neighbours, but for ``tolerance``; a life in more than one event loop.
    """
    provider = make()
    assert isinstance(provider, VectorProvider), (
        f"{type(provider).__name__} lacks a member of VectorProvider: dimensions, "
        "words_per_request, requests_at_once, timeout, identity(), vectors(), aclose()"
    )
    own = provider.identity()
    assert own == make().identity(), (
        "two with the same settings have different identities, so that what one has paid for is "
        "lost to the other"
    )
    shown = json.dumps(own.to_dict()) + repr(provider)
    for secret in secrets:
        assert secret not in shown, "the identity or the repr shows a secret"
    found = _ask(provider, words)
    told = provider.dimensions
    assert told in (0, found.shape[1]), (
        f"dimensions says {told}, and a vector has {found.shape[1]} numbers"
    )
    _same(found, _ask(make(), words), "another instance in another event loop", tolerance)
    backwards = _ask(make(), words[::-1])[::-1]
    _same(found, backwards, "asking the words in another order", tolerance)
    _same(found[-1:], _ask(make(), words[-1:]), "asking a word without the others", tolerance)


def _ask(provider: VectorProvider, words: Sequence[str]) -> NDArray[np.float32]:
    async def once() -> list[VectorReply]:
        size = provider.words_per_request
        parts = [words[start : start + size] for start in range(0, len(words), size)]
        try:
            return [await provider.vectors(part) for part in parts]
        finally:
            await provider.aclose()

    replies = asyncio.run(once())
    assert all(isinstance(reply, VectorReply) for reply in replies), "a reply is no VectorReply"
    found = np.concatenate([np.asarray(reply.vectors, np.float32) for reply in replies])
    assert found.ndim == 2, f"vectors have the shape {found.shape}, not (words, numbers)"
    assert len(found) == len(words), f"{len(words)} words have {len(found)} vectors"
    assert np.isfinite(found).all(), "some numbers are not finite"
    return found


def _same(
    one: NDArray[np.float32], other: NDArray[np.float32], what: str, tolerance: float
) -> None:
    assert np.allclose(one, other, rtol=0, atol=tolerance), (
        f"{what} changes a vector by {np.abs(one - other).max():g}"
    )
