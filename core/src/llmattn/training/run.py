"""A run from its settings to its checkpoint: begun anew, or taken up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import attrs
import torch
from attrs import field, frozen

from llmattn.data.corpus import Corpus, load_corpus
from llmattn.devices import choose_device
from llmattn.errors import CheckpointDamaged, CheckpointError, CorpusError
from llmattn.feeds.channels import Scored, reads_texts
from llmattn.feeds.feed import Feeds, NoScores
from llmattn.feeds.open import ModelScores, open_scores
from llmattn.feeds.trained import reopen_feeds, settings_in_context, with_users_provider
from llmattn.model.attn_gpt import AttnGPT, match_parameters
from llmattn.model.config import ModelConfig
from llmattn.notices import notify
from llmattn.providers.protocol import ChannelChooser
from llmattn.scoring.options import SETTINGS, ScoreChoice
from llmattn.scoring.vectors import VectorSource, for_vectors_alone
from llmattn.training.checkpoint import (
    Checkpoint,
    check_writable,
    load_checkpoint,
)
from llmattn.training.config import RunOptions, TrainConfig
from llmattn.training.distributed import ALONE, Launch, Team
from llmattn.training.evaluate import split_loss
from llmattn.training.few_channels import choose_few, undecided, with_channels
from llmattn.training.fitting import check_state
from llmattn.training.imitation import Imitation, load_imitated
from llmattn.training.loop import Trainer
from llmattn.training.output import Ask, Output, check_space
from llmattn.training.own_text import own_text
from llmattn.training.ready import check_ready
from llmattn.training.sharding import load_whole_weights, place
from llmattn.training.word_vectors import WordStart, read_word_vectors, start_words
from llmattn.unfinished import scratch_folder

__all__ = [
    "Run",
    "begin",
    "from_first",
    "is_of_this_launch",
    "matched",
    "new_model",
    "new_trainer",
    "resume",
]

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


def begin(
    corpus_path: Path,
    config: TrainConfig,
    shape: ModelConfig,
    scores: ScoreChoice = ScoreChoice(),
    options: RunOptions = RunOptions(),
    *,
    team: Team = ALONE,
    asked: Mapping[str, Any] = {},
) -> Run:
    """A new run. What can be wrong with the settings is found before a score is asked for.

    ``shape``: a model for any text, see ``ModelConfig.from_options``. Of a ``team``, the first
    process reads the corpus, fills the cache and loads the scores. ``asked``: more of what its
    checkpoint shall remember.
    """
    chosen = choose_device(options.device)

    def prepare() -> _Material:
        check_ready(options, chosen, config.precision)
        output = Output.of_new_run(options.out)
        return _prepare(corpus_path, config, shape, scores, options, output, chosen)

    material = from_first(team, prepare, lambda made: made.feeds)
    model = new_model(material.model_config, config, material.start, chosen, team)
    trainer = new_trainer(model, material.corpus, config, material.feeds, options.compile, team)
    asked = {"match_params": options.match_params, **scores.remembered, **asked}
    return Run(
        trainer,
        material.output,
        str(corpus_path),
        material.feeds,
        material.scored,
        asked,
        taken={"word_vectors": material.start.to_dict()} if material.start else {},
        start=material.start,
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


@frozen(eq=False)
class _Material:
    """What a new model is trained with."""

    corpus: Corpus
    model_config: ModelConfig
    feeds: Feeds
    scored: tuple[Scored, ...]
    output: Output
    start: WordStart | None = None


def _prepare(
    corpus_path: Path,
    config: TrainConfig,
    shape: ModelConfig,
    scores: ScoreChoice,
    options: RunOptions,
    output: Output,
    chosen: torch.device,
) -> _Material:
    """Read the corpus, and get all that a model of it needs; where the channels are left open, they
    are chosen first.
    """
    corpus = load_corpus(corpus_path, config)
    material, source = _gather(corpus, shape, scores, options, output, chosen)
    if source is None:
        return material
    name, choosable = source
    few = choose_few(corpus, config, material.model_config, material.feeds, choosable, chosen)
    scores = with_channels(scores, name, few)
    return _gather(corpus, shape, scores, options, output, chosen)[0]


def _gather(
    corpus: Corpus,
    shape: ModelConfig,
    scores: ScoreChoice,
    options: RunOptions,
    output: Output,
    chosen: torch.device,
) -> tuple[_Material, tuple[str, tuple[str, ...]] | None]:
    """Decide the model's shape, and get its scores; also the provider whose channels are left
    open, if any, with those that may be left out.
    """
    size = len(corpus.tokenizer)
    open_choice: tuple[str, tuple[str, ...]] | None = None
    feeds = Feeds(NoScores(), NoScores(), NoScores())
    scored: tuple[Scored, ...] = ()
    channels: tuple[str, ...] = ()
    vectors: VectorSource | None = None
    with ExitStack() as stack:
        opened: ModelScores | None = None
        if shape.uses_scores:
            opened = stack.enter_context(open_scores(scores, corpus, shape.block_size))
            scored, channels = opened.scored, opened.channels
            if (source := undecided(opened.sources)) and isinstance(
                source.provider, ChannelChooser
            ):
                open_choice = source.name, source.provider.choosable
        model_config = shape.fitted(size, channels)
        if options.match_params:
            model_config = matched(model_config)
        if scores.word_vectors:
            choice = scores if opened else for_vectors_alone(scores)
            vectors = stack.enter_context(VectorSource(choice))
            vectors.check_limit(opened.sources if opened else ())
        check_space(output.path, model_config)  # before anything is paid
        if opened:
            feeds = opened.feeds(corpus, block_size=shape.block_size, device=chosen)
        check_space(output.path, model_config, feeds.table)
        start = None
        if vectors and open_choice is None:  # else all is gathered anew
            start = read_word_vectors(vectors, corpus, shape.n_embd)
    return _Material(corpus, model_config, feeds, scored, output, start), open_choice


def matched(config: ModelConfig) -> ModelConfig:
    """``config`` with as many parameters as `learned` has. Raises ConfigError."""
    learned = attrs.evolve(
        config, attention="learned", mlp_width=0, per_layer=False, no_distance=False
    )
    return match_parameters(config, learned)


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
