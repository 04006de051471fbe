"""A provider that is under examination: made again and again, with other settings too, and asked
within a time, each reply looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast
from unittest import mock

import attrs
import numpy as np
from attrs import define, field, frozen

from llmattn.errors import LlmattnError, ProviderError
from llmattn.providers.protocol import AttentionProvider, NeedsText, Reply
from llmattn.rows import Row, Scope, Scores
from llmattn.scoring.planner import pack
from llmattn.testing.findings import CheckFailed, NotChecked, Steps, fail, in_time, shown
from llmattn.testing.material import PIECES, TEXT, WORDS, long_text, rows_of
from llmattn.testing.replies import check_reply

__all__ = ["Made", "Subject", "about", "made_by"]

Requests = Sequence[Sequence[Row]]


@frozen
class Made:
    """The call by which an object was made: a class with its arguments."""

    cls: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(factory=dict)

    @property
    def settings(self) -> Any:
        """The settings object among the arguments, or None."""
        return next((v for v in (*self.args, *self.kwargs.values()) if attrs.has(type(v))), None)

    def with_settings(self, new: Any) -> Made:
        """The same call with other settings."""
        old = self.settings
        return Made(
            self.cls,
            tuple(new if value is old else value for value in self.args),
            {name: new if value is old else value for name, value in self.kwargs.items()},
        )

    def __call__(self) -> Any:
        return self.cls(*self.args, **self.kwargs)


def made_by(make: Callable[[], Any]) -> Made:
    """Call ``make`` once more, and see with what it calls the class of what it gives."""
    cls = type(make())
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
    real: Any = cls.__init__

    def recorded(self: Any, *args: Any, **kwargs: Any) -> None:
        calls.append((self, args, kwargs))
        if real is not object.__init__:
            real(self, *args, **kwargs)

    with mock.patch.object(cls, "__init__", recorded):
        result = make()
    for one, args, kwargs in calls:
        if one is result:
            return Made(cls, args, kwargs)
    raise NotChecked(f"how {cls.__name__} is made could not be seen")


@define(eq=False)
class Subject:
    """A provider under examination. ``make`` gives a new one, with the same settings each time."""

    make: Callable[[], AttentionProvider]
    text: tuple[str, ...] | None = None
    """What it is asked about; None: the kit's own texts."""
    secrets: Sequence[str] = ()
    deterministic: bool = True
    tolerance: float = 0.0
    rows: int = 1000
    patience: float = 30.0
    seed: int = 0
    made_with: Made | None = None
    _texts: dict[tuple[str, ...], Scores] = field(factory=dict)
    _pairs: dict[tuple[str, str], Scores] = field(factory=dict)
    """The scores of texts (C, keys), and of pairs (C,), as they were when nothing that came later
    had been asked.
    """

    @property
    def made(self) -> Made:
        """The class and the settings. Raises NotChecked where they cannot be seen."""
        if self.made_with is None:
            self.made_with = made_by(self.make)
        return self.made_with

    def new(self, make: Callable[[], AttentionProvider] | None = None) -> AttentionProvider:
        """A new provider, which has read the training text if it wants one."""
        try:
            provider = (make or self.make)()
            if isinstance(provider, NeedsText):
                provider.read_text(self.lines())
        except Exception as error:
            fail(
                "The provider was made",
                f"and {type(error).__name__} was raised: {shown(str(error), 200)}",
                "an object, or one of llmattn's errors where the settings are wrong",
                "the-provider",
            )
        return provider

    @property
    def scope(self) -> Scope:
        return self.make().scope

    def lines(self) -> list[tuple[str, ...]]:
        """The training text of a provider that reads one."""
        return [self.text] if self.text else [TEXT, WORDS[:40], TEXT[::-1], PIECES]

    def texts(self) -> list[tuple[str, ...]]:
        """The texts that are asked about."""
        if self.text:
            return [self.text]
        if self.scope is Scope.PAIR:
            return [TEXT, WORDS[:60]]
        return [PIECES, long_text(600, self.seed), long_text(160, self.seed + 1)]

    def probes(self) -> list[Row]:
        """Some rows, for what is compared under many settings."""
        if self.scope is Scope.PAIR:
            return rows_of(Scope.PAIR, self.text or WORDS[:24])
        return [row for text in self.texts() for row in rows_of(Scope.PREFIX, text)[:24]]

    def ask(
        self,
        requests: Requests,
        *,
        provider: AttentionProvider | None = None,
        at_once: bool = False,
        done: str = "score() was asked",
        refusals: tuple[type[LlmattnError], ...] = (),
    ) -> list[tuple[Scores, ...]]:
        """The scores of each request, asked of one provider (a new one) in turn or ``at_once``,
        which is closed then. Each reply is checked, and is a copy. ``refusals``: errors that
        are raised as they are, not as failures.
        """
        asked = provider if provider is not None else self.new()

        steps = Steps(self.patience)

        async def one(request: Sequence[Row]) -> Reply:
            doing = f"{done} for {about(request)}"
            try:
                return await steps.take(doing, asked.score(request))
            except (Exception, SystemExit) as error:
                if isinstance(error, (CheckFailed, *refusals)):
                    raise
                none_of_ours = "" if isinstance(error, ProviderError) else ", or a ProviderError"
                fail(
                    doing,
                    f"{type(error).__name__} was raised: {shown(str(error), 200)}",
                    f"scores{none_of_ours}",
                    "what-a-reply-must-be",
                )

        async def conversation() -> list[Reply]:
            try:
                if at_once:
                    return list(await asyncio.gather(*map(one, requests)))
                return [check_reply(asked, request, await one(request)) for request in requests]
            finally:
                await steps.take("aclose() was called", asked.aclose())

        replies = in_time(steps, conversation())
        if at_once:
            pairs = zip(requests, replies, strict=True)
            replies = [check_reply(asked, request, reply) for request, reply in pairs]
        return [reply.scores for reply in replies]

    def packed(self, rows: Sequence[Row]) -> list[tuple[Row, ...]]:
        """Requests as llmattn makes them."""
        provider = self.make()
        return pack(rows, provider.limits, provider.scope)

    def learn(self, requests: Requests, answers: Sequence[Sequence[Scores]]) -> None:
        """Remember the scores as those that all others have to equal."""
        for request, scores in zip(requests, answers, strict=True):
            for row, values in zip(request, scores, strict=True):
                if row.context:
                    self._texts.setdefault(row.keys, values)
                    continue
                for i, key in enumerate(row.keys):
                    self._pairs.setdefault((row.query, key), values[:, i])

    def known(self, row: Row, values: Scores) -> Scores:
        """The scores of a row as they were; where they are not known yet, ``values``."""
        if row.context:
            return self._texts.get(row.keys, values)
        found = [self._pairs.get((row.query, k), values[:, i]) for i, k in enumerate(row.keys)]
        return np.stack(found, axis=1)

    def compare(self, requests: Requests, answers: Sequence[Sequence[Scores]], done: str) -> None:
        """Raise CheckFailed unless what is known of these rows has the same scores here."""
        for row, i, was, now in self.changed(requests, answers):
            self._differs(row, i, was, now, done)

    def changed(
        self, requests: Requests, answers: Sequence[Sequence[Scores]]
    ) -> Iterator[tuple[Row, int, Scores, Scores]]:
        """Rows of which a score is not what it was: the number of its key, then and now."""
        if not self.deterministic:
            return
        for request, scores in zip(requests, answers, strict=True):
            for row, now in zip(request, scores, strict=True):
                was = self.known(row, now)
                if was.tobytes() == now.tobytes():
                    continue
                alike = np.isclose(was, now, rtol=0, atol=self.tolerance, equal_nan=True)
                for i in np.flatnonzero(~alike.all(axis=0))[:1]:
                    yield row, int(i), was[:, i], now[:, i]

    def _differs(self, row: Row, i: int, was: Scores, now: Scores, done: str) -> None:
        what = f"the score of {shown(row.keys[i], 30)} for {shown(row.query, 30)}"
        if row.context:
            what += f" (key {i} of {len(row.keys)})"
        only = "the two words" if self.scope is Scope.PAIR else "the text up to the query"
        fail(
            done,
            f"which changes the score: {what} is {_numbers(now)}, and was {_numbers(was)} when it "
            f"was first asked (seed {self.seed})",
            f"the same score, since with {self.scope.name} scope it depends on {only} alone; "
            "tolerance= allows for rounding, deterministic=False is for a model that samples",
            "what-a-score-may-depend-on",
        )


def _numbers(scores: Scores) -> str:
    text = ", ".join(f"{score:.6g}" for score in scores[:4].tolist())
    return text if len(scores) < 5 else f"{text}, ..."


def about(request: Sequence[Row]) -> str:
    """A request in a few words."""
    rows = f"{len(request)} rows" if len(request) > 1 else "the row"
    first = request[0]
    return f"{rows} ({shown(first.query, 30)} and {len(first.keys)} keys)"


def settings_of(subject: Subject) -> Any:
    """The settings that the provider is made with. Raises NotChecked if it has none."""
    settings = subject.made.settings
    if settings is None:
        raise NotChecked("the class is made without a settings object")
    return settings


def rebuilt(subject: Subject, **changes: Any) -> Made | None:
    """The call with other settings; None where they, or the provider, are refused."""
    made = subject.made
    try:
        new = made.with_settings(attrs.evolve(cast(Any, settings_of(subject)), **changes))
        new()
    except (LlmattnError, ValueError, TypeError):
        return None
    return new
