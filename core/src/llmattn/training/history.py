"""How a run has gone so far, kept in its checkpoint to be shown: it sets nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from attrs import define, field, frozen

from llmattn.data.corpus import Corpus
from llmattn.scoring.source import ScoreSource
from llmattn.untrusted import build

__all__ = ["History", "Part", "Report", "Spent", "add_spent", "parts_of", "read_report"]

_MOST_REPORTS, _MOST_SAMPLES = 2000, 200
"""Kept of a run; of a longer one every other goes, and again."""


@frozen
class Report:
    """One evaluation. Losses are nats a token; ``train_loss`` is the mean since the last
    evaluation (None before the first step). From the start count ``tokens``, ``seconds`` (that
    passed) and ``train_seconds`` (of these, what the steps took, without evaluations).
    """

    step: int
    train_loss: float | None
    val_loss: float
    lr: float
    tokens: int
    seconds: float
    is_best: bool
    train_seconds: float  # last, so that a resumed log keeps the columns it began with

    def metrics(self) -> dict[str, float]:
        """Its curves by the names that TensorBoard shows, for a tracker of runs."""
        found = {"loss/validation": self.val_loss, "learning_rate": self.lr}
        if self.train_loss is not None:
            found["loss/training"] = self.train_loss
        return found


@frozen
class Part:
    """A part of the text: its lines, the tokens to predict, and which share of them is <unk>."""

    name: str
    lines: int
    tokens: int
    unknown_share: float


@frozen
class Spent:
    """What a run has asked a provider for, itself: the cache may have had more. ``dollars`` mean
    nothing unless ``priced``.
    """

    provider: str
    requests: int
    tokens: int
    dollars: float
    priced: bool

    @classmethod
    def of(cls, source: ScoreSource) -> Spent:
        """What was asked of a source since it was opened."""
        usage = source.spent
        tokens = usage.prompt_tokens + usage.completion_tokens
        priced = source.local or source.price is not None
        return cls(source.name, usage.requests, tokens, usage.cost, priced)


@define
class History:
    """``samples``: what the model wrote at a step, from the start of a line on. ``command``: what
    began the run, without keys. ``versions``: of what it was made with. ``test_loss``: nats a token
    of the best weights, once it has ended.
    """

    reports: list[Report] = field(factory=list)
    samples: list[tuple[int, str]] = field(factory=list)
    parts: tuple[Part, ...] = ()
    spent: tuple[Spent, ...] = ()
    command: str = ""
    versions: Mapping[str, str] = field(factory=dict)
    test_loss: float | None = None

    def add(self, report: Report, sample: str | None) -> None:
        """One evaluation more, and what the model wrote then."""
        self.reports.append(report)
        if sample is not None:
            self.samples.append((report.step, sample))
        for kept, most in ((self.reports, _MOST_REPORTS), (self.samples, _MOST_SAMPLES)):
            if len(kept) > most:
                del kept[1:-1:2]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which :meth:`from_dict` reads back."""
        return {
            "reports": [list(attrs.astuple(each)) for each in self.reports],
            "samples": [list(each) for each in self.samples],
            "parts": [attrs.asdict(each) for each in self.parts],
            "spent": [attrs.asdict(each) for each in self.spent],
            "command": self.command,
            "versions": dict(self.versions),
            "test_loss": self.test_loss,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> History:
        """Raises LookupError, TypeError or ValueError if ``data`` is no such description."""
        if not data:  # of a checkpoint from before there was one
            return cls()
        names = [each.name for each in attrs.fields(Report)]
        texts = [data["command"], *data["versions"], *data["versions"].values()]
        samples = [(step, text) for step, text in data["samples"]]
        loss = data["test_loss"]
        if not all(isinstance(text, str) for text in (*texts, *(text for _, text in samples))):
            raise TypeError("what it tells of its run is no text")
        if any(type(step) is not int or step < 0 for step, _ in samples):
            raise ValueError("a step of it is none")
        if loss is not None and (type(loss) is not float or not math.isfinite(loss)):
            raise ValueError("its test loss is no number")
        return cls(
            reports=[read_report(dict(zip(names, each, strict=True))) for each in data["reports"]],
            samples=samples,
            parts=tuple(build(Part, each) for each in data["parts"]),
            spent=tuple(build(Spent, each) for each in data["spent"]),
            command=data["command"],
            versions=dict(data["versions"]),
            test_loss=loss,
        )


def read_report(data: Mapping[str, Any]) -> Report:
    """A report from plain values. Raises LookupError, TypeError or ValueError."""
    report = build(Report, data)
    loss = report.train_loss
    if loss is not None and (type(loss) is not float or not math.isfinite(loss)):
        raise ValueError("a training loss of it is no number")
    if min(report.step, report.tokens, report.seconds, report.train_seconds) < 0:
        raise ValueError("a number of it is below 0")
    return report


def parts_of(corpus: Corpus) -> tuple[Part, ...]:
    """The parts of a text, as far as there are."""
    named = zip(("train", "validation", "test"), corpus.splits, strict=False)
    return tuple(
        Part(name, len(split), split.targets, split.unknown_share) for name, split in named
    )


def add_spent(first: Sequence[Spent], more: Sequence[Spent]) -> tuple[Spent, ...]:
    """Both, one for each provider."""
    found: dict[str, Spent] = {}
    for each in (*first, *more):
        before = found.get(each.provider)
        if before:
            each = attrs.evolve(
                each,
                requests=before.requests + each.requests,
                tokens=before.tokens + each.tokens,
                dollars=before.dollars + each.dollars,
                priced=before.priced and each.priced,
            )
        found[each.provider] = each
    return tuple(found.values())
