"""All runs of a comparison, put together: what each arm reached, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import frozen

from llmattn.comparing.arms import Arm
from llmattn.comparing.config import Course
from llmattn.comparing.references import Reference
from llmattn.comparing.statistics import TRUSTED, Estimate, conclude, estimate, gain
from llmattn.comparing.store import FinishedRun
from llmattn.training.text_size import TextSize
from llmattn.wording import counted

__all__ = ["ArmResult", "Results"]


@frozen
class ArmResult:
    """One arm: its chosen course, the validation loss that each one tried reached, and the runs at
    the chosen one by seed.
    """

    arm: Arm
    course: Course
    tried: Mapping[Course, float]
    runs: Mapping[int, FinishedRun]
    seconds: float = 0.0
    """Of all of its runs, those at other rates included."""

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.arm.name

    @property
    def losses(self) -> dict[int, float]:
        """Test loss by seed, nats a token."""
        return {seed: run.test_loss for seed, run in self.runs.items()}

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return next(iter(self.runs.values())).parameters

    @property
    def at_the_edge(self) -> bool:
        """Whether the chosen rate is the smallest or largest of several tried, so that one
        outside the grid might do better.
        """
        rates = {course.lr for course in self.tried}
        return len(rates) > 1 and self.lr in (min(rates), max(rates))

    @property
    def undertrained(self) -> bool:
        """Whether most runs had their best at the very end of their budget."""
        runs = [run for run in self.runs.values() if run.curve]
        late = [r.outcome == "finished" and r.best_step == r.curve[-1][0] for r in runs]
        return 2 * sum(late) > len(self.runs)

    @property
    def lr(self) -> float:
        """The chosen learning rate."""
        return self.course.lr

    @property
    def steps(self) -> int:
        """The chosen number of steps."""
        return self.course.steps


@frozen
class Results:
    """A whole comparison. ``against``: the baselines; ``about``: text, settings and versions.

    ``references``: what stands beside the arms. ``size``: what the test part takes to write.
    """

    arms: tuple[ArmResult, ...]
    against: tuple[str, ...]
    about: Mapping[str, Any]
    references: tuple[Reference, ...] = ()
    size: TextSize | None = None

    @property
    def seeds(self) -> int:
        """Seeds an arm."""
        return max(len(result.runs) for result in self.arms)

    def arm(self, name: str) -> ArmResult:
        """The result of the arm of this name."""
        return next(result for result in self.arms if result.name == name)

    def gain(self, name: str, baseline: str) -> Estimate:
        """How much lower the test loss of an arm is than a baseline's, paired by seed."""
        return gain(self.arm(name).losses, self.arm(baseline).losses)

    def gain_of(self, reference: Reference, baseline: str) -> Estimate:
        """The same of a reference, which has one loss for all seeds."""
        losses = self.arm(baseline).losses
        return gain(dict.fromkeys(losses, reference.test_loss), losses)

    def bits(self, result: ArmResult) -> float | None:
        """Mean bits a byte that write the test text to the byte, see ``TextSize.bits``."""
        if self.size is None:
            return None
        return self.size.bits(estimate(list(result.losses.values())).mean)

    def controls(self, result: ArmResult) -> list[str]:
        """Arms of this comparison that are as ``result`` but for the meaning of its scores; plain
        ``random`` where no noise is read by a model of the same shape.
        """
        own = result.arm
        if not (own.uses_scores or own.vectors) or own.is_control:
            return []
        noise = [r.name for r in self.arms if r.arm.reads_noise and r.arm.shape == result.arm.shape]
        noise = (noise or ["random"]) if own.uses_scores and not own.imitates else []
        wanted = {f"{result.name}/shuffled", f"{result.name}/averaged", *noise}
        like = [other.name for other in self.arms if _meant(other.arm, own) == own]
        names = [other.name for other in self.arms if other.arm.is_control]
        return [name for name in names if name in wanted or name in like]

    def sentences(self) -> list[str]:
        """What may be concluded: each arm against the first baseline; arms with external scores
        against every baseline and against their controls.
        """
        if self.seeds < TRUSTED:
            seeds = counted(self.seeds, "seed")
            return [
                f"With {seeds} no interval can be trusted, so nothing follows from the "
                f"differences: run at least {TRUSTED}, better 5 (--seeds)."
            ]
        said: list[str] = []
        for result in self.arms:
            against = list(self.against)
            if not (result.arm.uses_scores or result.arm.vectors) or result.arm.is_control:
                against = against[:1]
            said += [
                conclude(result.name, baseline, self.gain(result.name, baseline))
                for baseline in dict.fromkeys([*against, *self.controls(result)])
                if baseline != result.name
            ]
        return [*said, *self._beside_references()]

    def _beside_references(self) -> list[str]:
        """What an n-gram model would reach in the place of an arm, and the teacher by itself."""
        own = [r for r in self.arms if not r.arm.is_control]
        said = [
            conclude(r.name, reference.name, gain(r.losses, dict.fromkeys(r.losses, loss)))
            for reference in self.references
            if reference.same_tokens and math.isfinite(loss := reference.test_loss)
            for r in own
        ]
        best = min(own or self.arms, key=lambda r: estimate(list(r.losses.values())).mean)
        bits = self.bits(best)
        for teacher in self.references:
            if not teacher.same_tokens and bits is not None:
                verdict = (
                    "where it can be used itself, it is the better choice"
                    if teacher.bits_per_byte < bits
                    else "the student is better than it"
                )
                said.append(
                    f"{teacher.name} itself writes the test text at {teacher.bits_per_byte:.2f} "
                    f"bits a byte, {best.name} at {bits:.2f}, with {teacher.parameters:,} "
                    f"parameters beside {best.parameters:,}: {verdict}."
                )
        return said

    def warnings(self) -> list[str]:
        """What a reader must know before believing the table."""
        told = []
        edge = [f"{r.name} ({r.lr:g})" for r in self.arms if r.at_the_edge]
        if edge:
            told.append(
                "The best learning rate lies at the edge of the grid, and one beyond it may be "
                f"better (--lrs), for: {', '.join(edge)}."
            )
        longest = [
            f"{r.name} ({r.steps})"
            for r in self.arms
            if r.steps == max(c.steps for c in r.tried) > min(c.steps for c in r.tried)
        ]
        if longest:
            told.append(
                "The best number of steps is the largest that was tried, and more may be better "
                f"(--try-steps), for: {', '.join(longest)}."
            )
        late = [r.name for r in self.arms if r.undertrained]
        if late:
            told.append(
                "Best at the last step, so more --steps may make it better, and change the order: "
                f"{', '.join(late)}."
            )
        mixed = [
            r.name
            for r in self.arms
            if r.arm.mixes_by_layer and r.arm.uses_scores and not r.arm.is_control
        ]
        baselines = [self.arm(name).arm for name in self.against]
        if mixed and not any(b.mixes_by_layer and not b.uses_scores for b in baselines):
            told.append(
                "A distance bias of its own in each layer may be all of the gain of "
                f"{', '.join(mixed)}, and none of --against has one: add position/per-layer "
                "(--arms)."
            )
        counts = [result.parameters for result in self.arms]
        if max(counts) > 1.02 * min(counts):
            told.append(
                f"The models are not of one size ({min(counts):,} to {max(counts):,} parameters)."
            )
        return told

    def to_dict(self) -> dict[str, Any]:
        """Plain data for result.json."""
        return {
            "about": dict(self.about),
            "seeds": self.seeds,
            "against": list(self.against),
            "arms": [self._arm_dict(result) for result in self.arms],
            "references": [self._reference_dict(reference) for reference in self.references],
            "test_size": self.size and attrs.asdict(self.size),
            "conclusions": self.sentences(),
            "warnings": self.warnings(),
        }

    def _reference_dict(self, reference: Reference) -> dict[str, Any]:
        gains = {name: _estimate_dict(self.gain_of(reference, name)) for name in self.against}
        return {**attrs.asdict(reference), "gain_over": gains if reference.same_tokens else {}}

    def _arm_dict(self, result: ArmResult) -> dict[str, Any]:
        others = [name for name in (*self.against, *self.controls(result)) if name != result.name]
        return {
            "name": result.name,
            "arm": attrs.asdict(result.arm),
            "lr": result.lr,
            "steps": result.steps,
            "validation_loss_by_lr": {
                f"{lr:g}": _finite(min(v for c, v in result.tried.items() if c.lr == lr))
                for lr in dict.fromkeys(course.lr for course in result.tried)
            },
            "tried": [
                {
                    "lr": course.lr,
                    "steps": course.steps,
                    "validation_loss": _finite(loss),
                }
                for course, loss in result.tried.items()
            ],
            "parameters": result.parameters,
            "test_loss": _estimate_dict(estimate(list(result.losses.values()))),
            "gain_over": {
                name: _estimate_dict(self.gain(result.name, name)) for name in dict.fromkeys(others)
            },
            "bits_per_byte": self.bits(result),
            "seconds": result.seconds,
            "steps_of_runs": {
                str(seed): {"made": run.curve[-1][0] if run.curve else 0, "best": run.best_step}
                for seed, run in sorted(result.runs.items())
            },
            "undertrained": result.undertrained,
            "rate_at_the_edge": result.at_the_edge,
            "seconds_a_run": sum(r.seconds for r in result.runs.values()) / len(result.runs),
            "runs": {
                str(seed): {"key": run.key, **attrs.asdict(run)}
                for seed, run in sorted(result.runs.items())
            },
        }


def _meant(control: Arm, arm: Arm) -> Arm:
    """What ``control`` would be if its scores, word vectors and aims meant what those of ``arm``
    mean.
    """
    return attrs.evolve(
        control,
        name=arm.name,
        shuffled=False,
        averaged=False,
        vectors=control.vectors and arm.vectors,
        imitates=control.imitates and arm.imitates,
    )


def _finite(loss: float) -> float | None:
    """JSON knows no infinity."""
    return loss if math.isfinite(loss) else None


def _estimate_dict(value: Estimate) -> dict[str, Any]:
    return {"mean": value.mean, "half_width": value.half, "seeds": value.n}
