"""What a reply to one request has to be: types, shapes, range, and what NaN may stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import evolve

from llmattn.providers.protocol import AttentionProvider, RateHint, Reply
from llmattn.rows import Row
from llmattn.testing.findings import fail, shown
from llmattn.usage import Usage

__all__ = ["check_reply"]

_WHERE = "what-a-reply-must-be"


def check_reply(provider: AttentionProvider, request: Sequence[Row], reply: Any) -> Reply:
    """A copy of ``reply``; raises CheckFailed if it is none to these rows."""
    done = f"score() was asked for {len(request)} rows in one request"
    if not isinstance(reply, Reply):
        fail(done, f"{shown(reply)} came", "a Reply (llmattn.Reply)", _WHERE)
    if (
        not isinstance(reply.usage, Usage)
        or min(reply.usage.requests, reply.usage.prompt_tokens, reply.usage.completion_tokens) < 0
    ):
        fail(done, f"its usage is {shown(reply.usage)}", "a Usage of whole numbers", _WHERE)
    if not isinstance(reply.model, (str, type(None))):
        fail(done, f"its model is {shown(reply.model)}", "the model's name, or None", _WHERE)
    if not isinstance(reply.rate, (RateHint, type(None))):
        fail(done, f"its rate is {shown(reply.rate)}", "a RateHint, or None", _WHERE)
    if len(reply.scores) != len(request):
        came = f"{len(reply.scores)} arrays came"
        fail(done, came, "one array a row, in the order asked", _WHERE)
    for number, (row, scores) in enumerate(zip(request, reply.scores, strict=True), 1):
        _check_scores(provider, f"{done}; row {number} has {len(row.keys)} keys", row, scores)
    return evolve(reply, scores=[scores.copy() for scores in reply.scores])


def _check_scores(provider: AttentionProvider, done: str, row: Row, scores: Any) -> None:
    channels = tuple(provider.channels)
    shape = (len(channels), len(row.keys))
    if not isinstance(scores, np.ndarray):
        came = f"its scores are a {type(scores).__name__}: {shown(scores)}"
        fail(done, came, f"a NumPy array of float32, (channels, keys), here {shape}", _WHERE)
    if scores.shape != shape:
        came = f"its scores have the shape {scores.shape}"
        fail(done, came, f"the shape (channels, keys), here {shape}", _WHERE)
    if scores.dtype != np.float32:
        came = f"its scores are of type {scores.dtype}"
        fail(done, came, "float32: scores.astype(np.float32)", _WHERE)
    outside = ~np.isnan(scores) & ~((scores >= 0) & (scores <= 1))
    if outside.any():
        channel, key = np.argwhere(outside)[0]
        fail(
            done,
            f"the score of {shown(row.keys[key], 30)} (key {key}) for {shown(row.query, 30)} is "
            f"{scores[channel, key]}, outside [0, 1], in channel {channels[channel]!r}",
            "a score in [0, 1], or NaN where nothing is known",
            _WHERE,
        )
    unknown = np.isnan(scores)
    torn = unknown.any(axis=0) & ~unknown.all(axis=0)
    if torn.any():
        key = int(np.flatnonzero(torn)[0])
        names = [name for name, nan in zip(channels, unknown[:, key], strict=True) if nan]
        fail(
            done,
            f"the score of {shown(row.keys[key], 30)} for {shown(row.query, 30)} is NaN in channel "
            f"{', '.join(names)} and known in others",
            "a score in every channel, or NaN in all: a pair is kept only when all are known, "
            "and would be asked for, and paid, again and again",
            _WHERE,
        )
