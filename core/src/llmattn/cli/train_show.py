"""How a training run is shown: a line on corpus and model, a line an evaluation, the end."""

from __future__ import annotations

import math

from llmattn.cli.again import Again
from llmattn.cli.output import ask_for_place, echo
from llmattn.data.corpus import Split
from llmattn.notices import notify
from llmattn.training.config import RunOptions
from llmattn.training.history import Report
from llmattn.training.interrupt import StopWish
from llmattn.training.loop import Trainer
from llmattn.training.records import open_records
from llmattn.training.run import Run
from llmattn.training.taken import taken_words
from llmattn.wording import counted

__all__ = ["run_and_show"]

_CHANNELS_SHOWN = 8


def run_and_show(run: Run, again: Again, options: RunOptions = RunOptions()) -> str:
    """Train, printing as it goes, as ``options`` say of time, saving and records.

    ``again`` makes the commands that go on from the run.
    Returns what ended the run. Of several processes only the first one prints and writes.
    """
    trainer = run.trainer
    limit = math.inf if options.max_time is None else 60 * options.max_time
    if not trainer.team.is_first:
        with StopWish(quiet=True) as stop:
            outcome = trainer.run(
                on_report=lambda _: None, save=run.save, stop=stop, max_seconds=limit
            )
        if outcome != "interrupted":
            run.test_loss()
        return outcome
    records = open_records(options, after=trainer.step)
    _show_start(run)
    if run.output.other:
        notify(f"{run.out} holds the checkpoint of another run; that will be kept beside it.")
    if trainer.step:
        echo(f"going on after step {trainer.step:,} of {trainer.config.steps:,}")
    echo(f"{'step':>7}{'train':>9}{'validation':>12}{'tokens/s':>11}{'left':>8}")
    speed = _Speed(trainer)

    def show(report: Report) -> None:
        echo(_line(report, speed, trainer.config.steps))
        run.note(report)
        for record in records:
            record.add(report)

    with StopWish() as stop:
        outcome = trainer.run(
            on_report=show,
            save=lambda: run.save(ask_for_place),
            save_on_the_way=run.save_on_the_way,
            stop=stop,
            max_seconds=limit,
            save_every=options.save_every,
        )
    for record in records:
        record.close()
    _show_end(run, again, outcome)
    return outcome


class _Speed:
    """Tells the pace since the last evaluation."""

    def __init__(self, start: Trainer) -> None:
        self._last: Trainer | Report = start

    def take(self, now: Report) -> tuple[float, float]:
        """Tokens a second of training alone; seconds a step with its share of evaluations."""
        last, self._last = self._last, now
        trained = max(1e-9, now.train_seconds - last.train_seconds)
        passed = (now.seconds - last.seconds) / max(1, now.step - last.step)
        return (now.tokens - last.tokens) / trained, passed


def _show_start(run: Run) -> None:
    corpus, config = run.trainer.corpus, run.trainer.model.config
    unit = "words" if corpus.tokenizer.tokens_are_words else "pieces of words"
    tested = "" if corpus.test is None else f", {len(corpus.test):,} to test"
    unknown = f"{corpus.train.unknown_share:.1%} of the training text"
    unknown += f" and {corpus.val.unknown_share:.1%} of the validation text"
    if corpus.test is not None:
        unknown += f" and {corpus.test.unknown_share:.1%} of the test text"
    echo(
        f"corpus  {counted(len(corpus.train), 'line')} to train on, {len(corpus.val):,} to validate"
        f"{tested}; "
        f"{len(corpus.tokenizer):,} {unit} ({unknown} outside them)"
    )
    if channels := run.feeds.channels:
        names = ", ".join(channels[:_CHANNELS_SHOWN])
        more = len(channels) - _CHANNELS_SHOWN
        names += f" and {more} more" if more > 0 else ""
        echo(f"scores  {names}: {run.feeds.coverage:.1%} of the attention is scored")
    team = run.trainer.team
    split = f", split among {team.world} processes" if team.sharded else ""
    echo(
        f"model   {config.attention} attention, {counted(config.n_layer, 'layer')}, "
        f"{counted(config.n_head, 'head')}, "
        f"width {config.n_embd}: {run.trainer.model.parameter_count():,} parameters{split}"
    )
    for sentence in taken_words(run.taken):
        echo(f"taken   {sentence}")


def _line(report: Report, speed: _Speed, steps: int) -> str:
    tokens_a_second, seconds_a_step = speed.take(report)
    train = "" if report.train_loss is None else f"{report.train_loss:.4f}"
    line = f"{report.step:>7}{train:>9}{report.val_loss:>12.4f}"
    if report.step:
        left = _clock((steps - report.step) * seconds_a_step)
        line += f"{tokens_a_second:>11,.0f}{left:>8}"
        line += "  best" if report.is_best else ""
    return line


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def _show_end(run: Run, again: Again, outcome: str) -> None:
    trainer, out = run.trainer, run.out
    if outcome in ("interrupted", "time"):
        resume = again.resume(out, run.corpus_path, reads_texts=run.reads_texts)
    if outcome == "interrupted":
        notify(f"Stopped after step {trainer.step}; {out} is written. Go on with: {resume}")
        if run.output.other:
            notify("The checkpoint of another run, which is further trained, is as it was.")
        return
    if outcome == "time":
        echo(f"The time is up after step {trainer.step}. Go on with: {resume}")
    if outcome == "patience":
        evaluations = counted(trainer.config.patience, "evaluation")
        echo(f"No new best in {evaluations}: stopped early (--patience).")
    if outcome == "finished" and trainer.best_step < trainer.step / 2:
        echo(
            f"Nothing after step {trainer.best_step:,} of {trainer.step:,} was better: fewer "
            "--steps, or a lower --lr, would do."
        )
    echo(
        f"Best validation loss: {trainer.best_loss:.4f} nats a token (perplexity "
        f"{math.exp(trainer.best_loss):.1f}{_unknown(trainer.corpus.val)}), at step "
        f"{trainer.best_step}; kept in {out}"
    )
    test_loss = run.test_loss()
    run.note_test_loss(test_loss)
    if test_loss is not None and trainer.corpus.test is not None:
        echo(
            f"Test loss of these weights: {test_loss:.4f} nats a token (perplexity "
            f"{math.exp(test_loss):.1f}{_unknown(trainer.corpus.test)}), on "
            f"{counted(len(trainer.corpus.test), 'line')}"
        )
    echo(f"Now try: {again.sample(out, uses_scores=bool(run.scored))}")


def _unknown(split: Split) -> str:
    """What a loss over ``split`` leaves open, if it does."""
    share = split.unknown_share
    return f"; {share:.1%} of the tokens are <unk>" if share else ""
