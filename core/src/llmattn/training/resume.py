"""A run taken up again from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from llmattn.data.corpus import Corpus, load_corpus
from llmattn.devices import choose_device
from llmattn.errors import CheckpointDamaged, CheckpointError, CorpusError
from llmattn.feeds.channels import reads_texts
from llmattn.feeds.feed import Feeds, NoScores
from llmattn.feeds.trained import reopen_feeds, settings_in_context, with_users_provider
from llmattn.model.attn_gpt import AttnGPT
from llmattn.notices import notify
from llmattn.scoring.options import SETTINGS, ScoreChoice
from llmattn.training.checkpoint import Checkpoint, check_writable, load_checkpoint
from llmattn.training.config import RunOptions, TrainConfig
from llmattn.training.distributed import ALONE, Launch, Team
from llmattn.training.fitting import check_state
from llmattn.training.imitation import Imitation, load_imitated
from llmattn.training.output import Output, check_space
from llmattn.training.own_text import own_text
from llmattn.training.ready import check_ready
from llmattn.training.run import Run, from_first, new_trainer
from llmattn.training.sharding import place

__all__ = ["is_of_this_launch", "resume"]


def resume(
    options: RunOptions,
    *,
    corpus_path: Path | None = None,
    given: Mapping[str, Any] | None = None,
    scores: ScoreChoice = ScoreChoice(),
    team: Team = ALONE,
) -> Run:
    """Take up the run whose checkpoint is ``options.out``; its further course is that of an
    unbroken run.

    ``given``: settings that the user states again, by the names of the command's options; only
    ``steps`` may differ. ``scores``: the cache and settings of providers whose scores are not in
    the checkpoint, since they score words in context (``Run.reads_texts``). The checkpoint sets
    none of them, and the path of the text that it names is read only where ``own_text`` lets it.
    Raises CheckpointError if another setting differs, or the corpus has changed.
    """
    out, chosen = options.out, choose_device(options.device)

    def reload() -> _Reloaded:
        checkpoint = load_checkpoint(out, device=chosen)
        check_writable(out)
        check_space(out, checkpoint.model_config, checkpoint.table)
        _check_state(out, checkpoint)
        imitated = None
        if "imitated" in checkpoint.taken:
            imitated = load_imitated(out, checkpoint, device=chosen)
        reader = imitated or checkpoint
        config = _agreed(checkpoint, given or {}, reader)
        check_ready(options, chosen, config.precision)
        path = corpus_path or own_text(out, checkpoint)
        corpus = _same_corpus(out, checkpoint, path)
        choice = scores
        if reads_texts(reader.scored):
            choice = with_users_provider(choice)
        feeds = reopen_feeds(reader, corpus, choice)
        return _Reloaded(checkpoint, config, corpus, feeds, str(path), imitated)

    def without_state(made: _Reloaded) -> _Reloaded:
        """The other processes of a split model get their parts of its state later."""
        last = {**made.checkpoint.last, "model": {}, "optimizer": {}}
        return attrs.evolve(made, checkpoint=attrs.evolve(made.checkpoint, weights={}, last=last))

    made = from_first(
        team, reload, lambda made: made.feeds, without_state if team.sharded else None
    )
    checkpoint, feeds, imitation = made.checkpoint, made.feeds, None
    if made.imitated is not None:
        imitation = Imitation.of(
            made.imitated.model_config,
            made.imitated.weights,
            feeds.train,
            checkpoint.taken["imitated"]["weight"],
            made.imitated.scored,
            chosen,
        )
        feeds = Feeds(*(NoScores(),) * 3)
    model = place(AttnGPT(checkpoint.model_config), chosen, team)
    trainer = new_trainer(model, made.corpus, made.config, feeds, options.compile, team, imitation)
    trainer.load_state(checkpoint.last, {**checkpoint.best, "weights": dict(checkpoint.weights)})
    asked = checkpoint.last.get("asked", {})
    return Run(
        trainer, Output(out), made.path, feeds, checkpoint.scored, asked, taken=checkpoint.taken
    )


@frozen(eq=False)
class _Reloaded:
    """What a run goes on with. ``imitated``: the model whose attention it imitates."""

    checkpoint: Checkpoint
    config: TrainConfig
    corpus: Corpus
    feeds: Feeds
    path: str
    imitated: Checkpoint | None


def _check_state(out: Path, checkpoint: Checkpoint) -> None:
    """Raise CheckpointError unless the training of ``out`` can be taken up again."""
    try:
        check_state(checkpoint.model_config, checkpoint.last)
    except CheckpointError as error:
        raise CheckpointDamaged(f"{out}: {error}; train anew without --resume.") from None


def is_of_this_launch(out: Path) -> bool:
    """Whether the checkpoint ``out`` was written by processes that torchrun has since restarted."""
    launch = Launch.from_environment()
    if not launch.name or not out.exists():
        return False
    try:
        checkpoint = load_checkpoint(out)
        _check_state(out, checkpoint)
        return launch.goes_on(checkpoint.last["launch"])
    except CheckpointError:
        return False


def _same_corpus(out: Path, checkpoint: Checkpoint, path: Path) -> Corpus:
    """The corpus that ``out`` was trained on. Raises CheckpointError if it has changed."""
    try:
        corpus = load_corpus(path, checkpoint.train_config, tokenizer=checkpoint.tokenizer)
    except CorpusError as error:
        raise CheckpointError(f"{out} was trained on {checkpoint.corpus!r}. {error}") from None
    if corpus.digest != checkpoint.corpus_digest:
        raise CheckpointError(
            f"{path} is not the text that {out} was trained on: name that one with --corpus, or "
            "train anew without --resume."
        )
    return corpus


def _agreed(checkpoint: Checkpoint, given: Mapping[str, Any], reader: Checkpoint) -> TrainConfig:
    """The checkpoint's settings, with another number of steps if one is given. ``reader``: itself,
    or the model that it imitates, which is the one that options describe.
    """
    known = {**attrs.asdict(reader.model_config), **attrs.asdict(checkpoint.train_config)}
    known.update(checkpoint.last.get("asked", {}))
    known["provider"] = sorted(scored.identity.provider for scored in reader.scored)
    # A provider that is opened again, and has such a setting, tells itself if its scores differ.
    told_by_providers = settings_in_context(reader) & {"model", *SETTINGS}
    for name, value in given.items():
        if name in told_by_providers:
            continue
        if name not in known:
            raise CheckpointError(
                f"The checkpoint does not tell with which --{name.replace('_', '-')} it was "
                "trained, so nothing can be held against it: leave the option out."
            )
        # The checkpoint's channels have an order of their own, which no user need know.
        stated = sorted(value or ()) if name == "provider" else value
        if name != "steps" and stated != known[name]:
            option = name.replace("_", "-")
            raise CheckpointError(
                f"--{option} {_shown(value)} contradicts the checkpoint, which was trained with "
                f"{_shown(known[name])}: leave it out, or train anew without --resume."
            )
    steps = given.get("steps", checkpoint.train_config.steps)
    done = int(checkpoint.last.get("step", 0))
    if steps < done:
        raise CheckpointError(
            f"--steps {steps} is less than the {done} that the checkpoint has behind it."
        )
    if steps != checkpoint.train_config.steps:
        notify(
            f"The run now ends at step {steps} instead of {checkpoint.train_config.steps}; the "
            "learning rate falls along the longer curve from here on."
        )
    return attrs.evolve(checkpoint.train_config, steps=steps)


def _shown(value: Any) -> str:
    if value is None:
        return "the default"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
