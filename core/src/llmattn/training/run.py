"""A run: a trainer with what its checkpoint says besides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from attrs import field, frozen

from llmattn.data.corpus import Corpus
from llmattn.feeds.channels import Scored, reads_texts
from llmattn.feeds.feed import Feeds
from llmattn.model.attn_gpt import AttnGPT
from llmattn.model.config import ModelConfig
from llmattn.training.checkpoint import Checkpoint
from llmattn.training.config import TrainConfig
from llmattn.training.distributed import ALONE, Launch, Team
from llmattn.training.evaluate import split_loss
from llmattn.training.imitation import Imitation
from llmattn.training.loop import Trainer
from llmattn.training.output import Ask, Output
from llmattn.training.sharding import load_whole_weights, place
from llmattn.training.word_vectors import WordStart, start_words
from llmattn.unfinished import scratch_folder

__all__ = ["Run", "from_first", "new_model", "new_trainer"]

T = TypeVar("T")


@frozen(eq=False)
class Run:
    """A trainer with what its checkpoint says besides."""

    trainer: Trainer
    output: Output
    corpus_path: str
    feeds: Feeds
    scored: tuple[Scored, ...]
    asked: Mapping[str, Any] = field(factory=dict)
    """Options that its checkpoint would not tell otherwise, so that a resumed run can differ in
    none of them.
    """
    control: str = ""
    """As in Checkpoint."""
    taken: Mapping[str, Any] = field(factory=dict)
    """As in Checkpoint."""
    start: WordStart | None = None
    """The word vectors that the model started from, as far as they are at hand."""

    @property
    def out(self) -> Path:
        """Where its checkpoint is."""
        return self.output.path

    @property
    def reads_texts(self) -> bool:
        """Whether training reads scores in context, which no checkpoint holds."""
        imitation = self.trainer.imitation
        return reads_texts(imitation.scored if imitation else self.scored)

    def test_loss(self) -> float | None:
        """Nats a token of the best weights on the test part; None if no part is held apart.

        The whole team must call it.
        """
        trainer, feed = self.trainer, self.feeds.test
        if trainer.corpus.test is None or feed is None:
            return None
        device = trainer.model.token_embedding.weight.device
        model = place(AttnGPT(trainer.model.config), device, trainer.team)
        load_whole_weights(model, trainer.best_weights, trainer.team)
        pad_id = trainer.corpus.tokenizer.eol_id
        return split_loss(model, feed, trainer.corpus.test, pad_id=pad_id, team=trainer.team)

    def save(self, ask: Ask | None = None) -> None:
        """Write the checkpoint, elsewhere if need be, see ``Output.save``. Raises CheckpointError.

        The processes of a split model must call it together; the first one writes.
        """
        if (checkpoint := self._checkpoint()) is not None:
            self.output.save(checkpoint, ask)

    def save_on_the_way(self) -> None:
        """The same where that is not the last time: if it fails, training goes on."""
        if (checkpoint := self._checkpoint()) is not None:
            self.output.try_to_save(checkpoint)

    def _checkpoint(self) -> Checkpoint | None:
        """What the first process writes; None in the others."""
        trainer = self.trainer
        last = {**trainer.state(), "launch": Launch.from_environment().to_dict()}
        last["asked"] = dict(self.asked)
        if not trainer.team.is_first:
            return None
        return Checkpoint(
            model_config=trainer.model.config,
            train_config=trainer.config,
            tokenizer=trainer.corpus.tokenizer,
            weights=trainer.best_weights,
            best={"loss": trainer.best_loss, "step": trainer.best_step},
            last=last,
            table=self.feeds.table,
            scored=self.scored,
            coverage=self.feeds.coverage,
            corpus=self.corpus_path,
            corpus_digest=trainer.corpus.digest,
            control=self.control,
            taken=self.taken,
        )


def new_model(
    shape: ModelConfig,
    config: TrainConfig,
    start: WordStart | None,
    device: torch.device,
    team: Team = ALONE,
) -> AttnGPT:
    """An untrained model, whose words start from ``start`` if there are vectors."""
    torch.manual_seed(config.seed)
    model = AttnGPT(shape)
    start_words(model, start)
    return place(model, device, team)


def from_first(
    team: Team,
    make: Callable[[], T],
    feeds_of: Callable[[T], Feeds],
    for_others: Callable[[T], T] | None = None,
) -> T:
    """``team.from_first``; the processes of a machine hold the score table in memory once."""

    def make_shared() -> T:
        made = make()
        table = feeds_of(made).table
        if team.world > 1 and table is not None:
            table.share(folder)
        return made

    with scratch_folder() as folder:
        made = team.from_first(make_shared, for_others)
        team.any(False)  # all have opened the file, which may then lose its name
    return made


def new_trainer(
    model: AttnGPT,
    corpus: Corpus,
    config: TrainConfig,
    feeds: Feeds,
    compiled: bool,
    team: Team,
    imitation: Imitation | None = None,
) -> Trainer:
    """The trainer of a run."""
    return Trainer(
        model,
        corpus,
        config,
        train_feed=feeds.train,
        val_feed=feeds.val,
        compiled=compiled,
        team=team,
        imitation=imitation,
    )
