"""Training time until the test loss that `learned` attention reaches at its best.

    python benchmarks/time_to_loss.py CORPUS [--quick] [--in-context] [--steps 600]
        [--rates 1e-3 2e-3 4e-3 8e-3 1.6e-2 3.2e-2]

The same words, width, depth, batches, their order and initialisation for all; each kind of
attention is trained with each rate of the grid. The target is the lowest test loss among the runs
of `learned`; each kind is given by its run that gets there first. The runs take turns from
evaluation to evaluation, so that a busy machine slows all of them; evaluations are not counted.
If the best rate of a kind is the first or the last of the grid, the table says so: give it more.
--in-context: `external` mixes, in each layer, the attention maps of SmolLM2 (llmattn-transformers);
"with reading" then counts the time in which that model read the text, too. It is that of training
and test together, as `begin` takes for an empty cache.
--quick is one rate and few steps: it shows that everything works, and no more.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from llmattn.comparing.text import first_words
from llmattn.model.config import ModelConfig
from llmattn.scoring.options import ScoreChoice
from llmattn.training.begin import begin
from llmattn.training.config import RunOptions, TrainConfig
from llmattn.training.evaluate import split_loss
from llmattn.training.interrupt import StopWish
from llmattn.training.loop import Report

SIDES: dict[str, dict[str, Any]] = {
    "learned": {"attention": "learned"},
    "learned + b": {"attention": "learned", "distance_bias": True},
    "position": {"attention": "position"},
    "external": {"attention": "external"},
}
READING: dict[str, float] = {}
RATES = [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2]
IN_CONTEXT = {
    **SIDES,
    "position": {"attention": "position", "per_layer": True},
    "external": {"attention": "external", "per_layer": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--provider", default="cooccurrence", help="of external's scores")
    parser.add_argument("--in-context", action="store_true", help="scores of words in context")
    parser.add_argument("--limit-words", type=int, help="of the corpus, the first ones")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--eval-every", type=int, default=20)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--block-size", type=int, default=128)
    parser.add_argument("--texts", type=int, default=16, help="a batch")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--min-count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.eval_every, options.rates = 40, 20, options.rates[2:3]
    if options.in_context:
        options.provider = "transformers"
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(prefix="llmattn-benchmark-") as folder:
        if options.limit_words:
            options.corpus = first_words(options.corpus, options.limit_words, Path(folder))
        runs = [Side(name, rate, options, Path(folder)) for name in SIDES for rate in options.rates]
        while any(not run.ended for run in runs):
            for run in runs:
                run.go_on()
    for run in runs:  # the first of a kind fills the cache
        READING[run.name] = max(READING.get(run.name, 0.0), run.reading)
    target = min(loss for run in runs if run.name == "learned" for _, loss in run.course)
    print(f"learned's best test loss: {target:.4f} nats a token")
    print("attention      rate  steps  seconds  ratio  ms/step best   with reading")
    first = {name: soonest([run for run in runs if run.name == name], target) for name in SIDES}
    for name, run in first.items():
        edge = len(options.rates) > 2 and run.rate in (options.rates[0], options.rates[-1])
        print(
            f"{name:<12} {run.rate:>6g} {run.told(target, first['learned'])}"
            + ("  the grid's end" if edge else "")
        )


class Side:
    """One kind of attention at one learning rate."""

    def __init__(self, name: str, rate: float, options: argparse.Namespace, folder: Path) -> None:
        self.name, self.rate = name, rate
        shape = dict(
            block_size=options.block_size,
            n_layer=options.layers,
            n_embd=options.width,
            dropout=options.dropout,
            **(IN_CONTEXT if options.in_context else SIDES)[name],
        )
        config = TrainConfig(
            steps=options.steps,
            batch_size=options.texts,
            lr=rate,
            eval_every=options.eval_every,
            min_count=options.min_count,
            seed=options.seed,
            val_fraction=0.03,
            test_fraction=0.05,
            stream=True,
        )
        before = time.perf_counter()
        run = begin(
            options.corpus,
            config,
            ModelConfig.from_options(**shape),
            ScoreChoice(providers=(options.provider,), cache_dir=folder / "scores"),
            RunOptions(out=folder / "model.pt", device="cpu"),
        )
        self.reading = time.perf_counter() - before
        """Seconds: long where the scores are not in the cache yet."""
        self.trainer, self.test_feed = run.trainer, run.feeds.test
        self.course: list[tuple[Report, float]] = []
        self.ended = False

    def go_on(self) -> None:
        """Train until the next evaluation."""
        if self.ended:
            return
        stop = StopWish()

        def note(report: Report) -> None:
            stop.wanted = report.step > 0  # a run that stops at step 0 would begin again
            self.course.append((report, self._test_loss()))

        outcome = self.trainer.run(on_report=note, save=_nothing, stop=stop)
        self.ended = outcome == "finished"

    def _test_loss(self) -> float:
        model, corpus = self.trainer.model, self.trainer.corpus
        assert corpus.test is not None
        assert self.test_feed is not None
        return split_loss(model, self.test_feed, corpus.test, pad_id=corpus.tokenizer.eol_id)

    def reached(self, target: float) -> Report | None:
        """The first evaluation with a test loss as low as the target."""
        return next((report for report, loss in self.course if loss <= target), None)

    def told(self, target: float, learned: Side) -> str:
        last = self.course[-1][0]
        best = min(loss for _, loss in self.course)
        pace = f"{last.train_seconds / last.step * 1e3:>8.0f} {best:.4f}"
        report, theirs = self.reached(target), learned.reached(target)
        if report is None or theirs is None:
            return f"{'never':>6} {'':>8} {'':>6} {pace}"
        ratio = theirs.train_seconds / report.train_seconds
        with_reading = report.train_seconds + READING.get(self.name, 0.0)
        return (
            f"{report.step:>6} {report.train_seconds:>8.1f} {ratio:>6.2f} {pace} "
            f"{with_reading:>8.1f} {theirs.train_seconds / with_reading:>6.2f}"
        )


def soonest(runs: list[Side], target: float) -> Side:
    def seconds(run: Side) -> float:
        report = run.reached(target)
        return report.train_seconds if report else float("inf")

    return min(runs, key=seconds)


def _nothing() -> None:
    pass


if __name__ == "__main__":
    main()
