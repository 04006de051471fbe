"""What one process needs to make any run of a comparison: the text, the models, the training."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import evolve
from packaging.requirements import Requirement

from llmattn import __version__
from llmattn.comparing.arm_scores import OTHER_WINDOWS, ArmScores, ArmStarts, Scores
from llmattn.comparing.arms import Arm
from llmattn.comparing.config import SHARED, CompareConfig, Course
from llmattn.comparing.references import Reference, n_gram
from llmattn.comparing.score_sets import ScoreSet, score_sets
from llmattn.comparing.store import FinishedRun, settings_key
from llmattn.comparing.text import first_words
from llmattn.data.corpus import Split, load_corpus
from llmattn.devices import choose_device
from llmattn.errors import ConfigError, LlmattnError
from llmattn.feeds.feed import Feeds, NoScores
from llmattn.model.attn_gpt import match_parameters
from llmattn.model.config import ModelConfig
from llmattn.model.shapes import parameter_count
from llmattn.reading.files import is_pipe
from llmattn.training.checkpoint import load_checkpoint
from llmattn.training.imitation import Imitation
from llmattn.training.interrupt import StopWish
from llmattn.training.loop import Trainer
from llmattn.training.output import Output
from llmattn.training.ready import check_precision
from llmattn.training.run import Run, new_model
from llmattn.training.text_size import TextSize, text_size
from llmattn.training.word_vectors import WordStart
from llmattn.untrusted import from_json
from llmattn.writing import make_folder

__all__ = ["Runner"]

FORMAT = 2
"""Raised when runs made before must not stand beside new ones."""


class Runner:
    """Makes runs. ``alone``: False in a worker, which asks no provider and prints nothing."""

    def __init__(self, config: CompareConfig, *, alone: bool = True) -> None:
        """Reads the text. Raises CorpusError or ConfigError."""
        self.config = config
        said, train = config.experiment, config.train
        self.device = choose_device(said.device)
        if said.threads:
            torch.set_num_threads(said.threads)
        check_precision(self.device, train.precision)
        make_folder(said.out / "runs")
        if said.keep_checkpoints:
            make_folder(said.out / "checkpoints")
        if any(arm.imitates for arm in config.arms):
            make_folder(said.out / "imitated")
        self.path = config.corpus
        if is_pipe(self.path):
            raise ConfigError(
                f"{self.path} is a pipe, which can be read once, and a comparison reads its text "
                "more often: write it to a file, and name that."
            )
        if said.limit_words is not None:
            self.path = first_words(self.path, said.limit_words, said.out, preset=train.tokenizer)
        self.corpus = load_corpus(self.path, train, hint=alone)
        if self.corpus.test is None:
            raise ConfigError(
                "A comparison is reported on a test part that nothing was chosen by: give a "
                "--test-fraction above 0."
            )
        self.test: Split = self.corpus.test
        self._sets = score_sets(config.arms, config.scores)
        self._aims = {
            arm.imitated.name: evolve(self._sets[arm.name], shuffled=False, averaged=False)
            for arm in config.arms
            if arm.imitates and arm.name in self._sets
        }
        """The scores of models that are imitated, by their names."""
        self._models: dict[str, ModelConfig] = {}
        self._arm_scores = ArmScores(config, self.corpus, self.device, asks=alone)
        self._starts = ArmStarts(config.scores, self.corpus, asks=alone)

    def prepare(self) -> dict[str, Scores]:
        """Ask for what every arm needs, before the first run; what there is of it, by arm.

        Raises what scoring raises.
        """
        self._arm_scores.check({**self._sets, **self._aims})
        for arm in self.config.arms:
            self.model_config(arm)
        for arm in self.config.arms:
            self._start(arm)
            if arm.imitates and (aims := self._aims.get(arm.imitated.name)):
                self._arm_scores.scores(aims)
        return {name: self._arm_scores.scores(chosen) for name, chosen in self._sets.items()}

    def model_config(self, arm: Arm) -> ModelConfig:
        """The arm's model. Raises ConfigError if it cannot be as large as the others."""
        if arm.name not in self._models:
            self._models[arm.name] = self._model_config(arm)
        return self._models[arm.name]

    def _model_config(self, arm: Arm) -> ModelConfig:
        chosen = self._set(arm)
        size = len(self.corpus.tokenizer)
        channels = self._arm_scores.channels(chosen) if chosen and not arm.imitates else ()
        config = self.config.model_of(arm).fitted(size, channels)
        if not self.config.experiment.match_params:
            return config
        learned = self.config.model.fitted(size, (), attention="learned")
        return match_parameters(config, learned)

    def parameters(self, arm: Arm) -> int:
        """How many numbers the arm's model learns."""
        return parameter_count(self.model_config(arm))

    def settings(self, arm: Arm, course: Course, seed: int) -> dict[str, Any]:
        """Everything that the result of a run depends on, as plain data."""
        start = self._start(arm)
        return _plain(
            {
                "format": FORMAT,
                "llmattn": __version__,
                "text_sha256": self.corpus.digest,
                "model": attrs.asdict(self.model_config(arm)),
                "train": attrs.asdict(self.config.course_of(course, seed)),
                "scores": self._scores_settings(arm),
                # Only where they hold, as everything that came later.
                **({"word_vectors": start.to_dict()} if start else {}),
                **(
                    {"imitates": self._imitated_settings(arm, course, seed)} if arm.imitates else {}
                ),
            }
        )

    def _imitated_settings(self, arm: Arm, course: Course, seed: int) -> dict[str, Any]:
        weight = self.config.imitation.imitate_weight
        return {"weight": weight, "settings": self.settings(arm.imitated, course, seed)}

    def is_whole(self, run: FinishedRun) -> bool:
        """Whether a run kept from before has all that is wanted of it."""
        return (
            not self.config.experiment.keep_checkpoints or self._checkpoint(run.settings).exists()
        )

    def train(self, arm: Arm, course: Course, seed: int) -> FinishedRun:
        """Make one run, with that of the model that it imitates if there is none yet."""
        settings = self.settings(arm, course, seed)
        try:
            imitation = self._imitation(arm, course, seed) if arm.imitates else None
        except LlmattnError as error:
            if type(error) is not LlmattnError:
                raise
            return self._diverged(arm, settings)
        run = self._run(arm, course, seed, self._checkpoint(settings), imitation)
        trainer = run.trainer
        curve: list[tuple[int, float | None, float]] = []
        val_loss = test_loss = math.inf
        try:
            outcome = trainer.run(
                on_report=lambda r: curve.append((r.step, r.train_loss, r.val_loss)),
                save=run.save if self.config.experiment.keep_checkpoints else _nothing,
                stop=StopWish(),
            )
        except LlmattnError as error:
            if type(error) is not LlmattnError:
                raise
            outcome = "diverged"  # the loss is no longer a number: too high a rate for this arm
        else:
            val_loss, found = trainer.best_loss, run.test_loss()
            assert found is not None  # there is a test part
            test_loss = found
        return FinishedRun(
            settings=settings,
            place=self._place(),
            test_loss=test_loss,
            val_loss=val_loss,
            best_step=trainer.best_step,
            outcome=outcome,
            tokens=trainer.tokens,
            seconds=trainer.seconds,
            parameters=trainer.model.parameter_count(),
            curve=tuple(curve),
        )

    def _diverged(self, arm: Arm, settings: Mapping[str, Any]) -> FinishedRun:
        """A run that cannot begin, since what it would imitate has no loss."""
        return FinishedRun(
            settings=settings,
            place=self._place(),
            test_loss=math.inf,
            val_loss=math.inf,
            best_step=0,
            outcome="diverged",
            tokens=0,
            seconds=0.0,
            parameters=self.parameters(arm),
            curve=(),
        )

    def _run(
        self, arm: Arm, course: Course, seed: int, out: Path, imitation: Imitation | None = None
    ) -> Run:
        """A run that has not begun."""
        chosen = None if arm.imitates else self._set(arm)
        feeds = self._arm_scores.feeds(chosen) if chosen else Feeds(*(NoScores(),) * 3)
        train, start = self.config.course_of(course, seed), self._start(arm)
        trainer = Trainer(
            new_model(self.model_config(arm), train, start, self.device),
            self.corpus,
            train,
            train_feed=feeds.train,
            val_feed=feeds.val,
            imitation=imitation,
        )
        taken: dict[str, Any] = {"word_vectors": start.to_dict()} if start else {}
        if imitation:
            taken["imitated"] = imitation.to_dict()
        scored = self._arm_scores.scores(chosen).scored if chosen else ()
        control = chosen.control if chosen else ""
        return Run(
            trainer, Output(out), str(self.path), feeds, scored, control=control, taken=taken
        )

    def _imitation(self, arm: Arm, course: Course, seed: int) -> Imitation:
        """What a run aims at: a model of the same course and seed, kept for other arms."""
        key = settings_key(self.settings(arm.imitated, course, seed))
        path = self.config.experiment.out / "imitated" / f"{key}.pt"
        if not path.exists():
            first = self._run(arm.imitated, course, seed, path)
            first.trainer.run(
                on_report=lambda _: None,
                save=first.save,
                stop=StopWish(),
                save_every=math.inf,  # what is there must be whole
            )
        found = load_checkpoint(path, device=self.device)
        aims = self._set(arm)
        feed = self._arm_scores.feeds(aims).train if aims else NoScores()
        weight = self.config.imitation.imitate_weight
        return Imitation.of(
            found.model_config, found.weights, feed, weight, found.scored, self.device
        )

    def _set(self, arm: Arm) -> ScoreSet | None:
        return self._sets.get(arm.name) or self._aims.get(arm.name)

    def _start(self, arm: Arm) -> WordStart | None:
        width = self.config.model_of(arm).n_embd
        return self._starts.start(arm, self._set(arm), width) if arm.vectors else None

    def test_size(self) -> TextSize:
        """What the test part takes to write."""
        return text_size(self.test)

    def references(self, size: TextSize) -> tuple[Reference, ...]:
        """What stands beside the arms: an n-gram model of the same tokens, and the teachers."""
        folder = self.config.experiment.out / "runs"
        teachers = self._arm_scores.teachers(self._sets, size, folder)
        return (n_gram(self.corpus, size), *teachers)

    def summary(self) -> str:
        """The text, in one line."""
        splits = (self.corpus.train, self.corpus.val, self.test)
        train, val, test = (f"{split.targets:,}" for split in splits)
        unknown = ", ".join(f"{split.unknown_share:.1%}" for split in splits)
        return (
            f"{self.path.name}: {train} tokens to train on, {val} to validate, {test} to test; "
            f"a vocabulary of {len(self.corpus.tokenizer):,}, outside which {unknown} of them are "
            "(<unk>)"
        )

    def about(self, command: str) -> dict[str, Any]:
        """Text, settings, scores and versions, for the report."""
        scores = {}
        for name, chosen in self._sets.items():
            found = self._arm_scores.scores(chosen)
            identities = [scored.identity for scored in found.scored]
            scores[name] = {
                "identities": [{**i.to_dict(), "namespace": i.namespace} for i in identities],
                "coverage": found.coverage,
                "crc32": found.checksum,
            }
        config, unknown = self.config, self.test.unknown_share
        return _plain(
            {
                "summary": self.summary(),
                "unknown_share": {"val": self.corpus.val.unknown_share, "test": unknown},
                "command": command,
                "text": str(self.path),
                "text_sha256": self.corpus.digest,
                "shape": {name: getattr(config.model, name) for name in SHARED},
                "train": attrs.asdict(config.train),
                "lrs": config.experiment.rates,
                "steps": config.experiment.try_steps or (config.train.steps,),
                "imitate_weight": config.imitation.imitate_weight,
                "match_params": config.experiment.match_params,
                "scores": scores,
                "seeds": list(range(config.experiment.seeds)),
                "versions": _versions(),
                "place": self._place(),
            }
        )

    def _scores(self, arm: Arm) -> Scores | None:
        chosen = self._set(arm)
        return self._arm_scores.scores(chosen) if chosen else None

    def _scores_settings(self, arm: Arm) -> dict[str, Any] | None:
        scores = self._scores(arm)
        if scores is None:
            return None
        return {
            "scored": [scored.to_dict() for scored in scores.scored],
            # A cache that was filled further gives other scores under the same identities.
            "coverage": round(scores.coverage, 6),
            "asked_coverage": self.config.scores.coverage,
            "min_pair_count": self.config.scores.min_pair_count,
            "shuffled": OTHER_WINDOWS if arm.shuffled else None,
            # Only where it holds: for any other arm it would make a hash that no kept run has.
            **({"averaged": True} if arm.averaged else {}),
        }

    def _checkpoint(self, settings: Mapping[str, Any]) -> Path:
        return self.config.experiment.out / "checkpoints" / f"{settings_key(settings)}.pt"

    def _place(self) -> dict[str, Any]:
        """Where a run is made."""
        return {
            "llmattn": __version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "jobs": self.config.jobs,
        }


def _versions() -> dict[str, str]:
    """Of every installed distribution that a score or a loss can depend on."""
    installed = {(d.metadata["Name"] or "").lower(): d for d in metadata.distributions()}
    ours = {name: d for name, d in installed.items() if name.startswith(("llmattn", "llm-"))}
    required = {Requirement(text).name.lower() for d in ours.values() for text in d.requires or ()}
    return {name: installed[name].version for name in sorted({*ours, *required} & set(installed))}


def _nothing() -> None:
    """Saves no checkpoint."""


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON reads them back, so that a kept run is found by the same hash."""
    plain: dict[str, Any] = from_json(json.dumps(value))
    return plain
