"""``llmattn score``: fill the cache with the scores that a corpus needs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from attrs import evolve

from llmattn.cli.build import AlsoOption, Uses, command
from llmattn.cli.output import echo
from llmattn.data.config import TextConfig
from llmattn.errors import ConfigError, DegenerateReplies
from llmattn.model.config import ModelConfig
from llmattn.notices import notify
from llmattn.options import ASKING, MODEL, TEXT
from llmattn.reading.files import check_there
from llmattn.scoring.options import ScoreChoice
from llmattn.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmattn.rows import Row
    from llmattn.scoring.batch import Batches
    from llmattn.scoring.source import ScoreSource

__all__ = ["score"]

_LOST = (
    "{} What its {} cost is not known, and they are free to be asked again: the same "
    "command hands them over anew. If it was handed over with another key, set that one first: "
    "each call with --batch looks for it."
)


@command(panels={MODEL: TEXT})
def score(
    corpus: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(
            metavar="[CORPUS]", help="A text file, one sentence a line. --probe needs none."
        ),
        AlsoOption("corpus"),
    ] = None,
    *,
    text: TextConfig,
    model: Annotated[ModelConfig, Uses(only=["block_size"])],
    scores: Annotated[ScoreChoice, Uses(without=["score_transform"])],
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Score 60 word triples whose order is plain, and show how many agree.",
            rich_help_panel=ASKING,
        ),
    ] = False,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch",
            help="Hand everything over as a batch (half price, up to a day); the same command "
            "later collects it.",
            rich_help_panel=ASKING,
        ),
    ] = False,
) -> None:
    """Ask for the scores that CORPUS needs and the cache lacks, most frequent pairs first.

    Stop it at any time: what was answered is kept, and the same command goes on from there.
    `llmattn plan` tells beforehand what it will cost. Under torchrun each process asks for its
    own share of the rows.
    """
    if corpus is not None:
        check_there(corpus)

    from llmattn.data.corpus import load_corpus
    from llmattn.feeds.fill import corpus_stages, fill_corpus
    from llmattn.scoring.opening import check_kinds, open_sources
    from llmattn.scoring.shard import Shard

    if probe and batch:
        raise ConfigError("--probe asks at once; leave out --batch.")
    shard = Shard.from_environment()
    if batch and shard.world > 1:
        raise ConfigError("A batch is handed over by one process: use --batch without torchrun.")
    if corpus is None and not probe:
        raise ConfigError("Name the corpus to score: llmattn score CORPUS (or use --probe).")
    scores = evolve(scores, scoring=scores.scoring.shared_by(shard.world))
    loaded = load_corpus(corpus, text) if corpus else None
    size = model.block_size
    sources = open_sources(scores, text=loaded.train_words(size) if loaded else None)
    try:
        check_kinds(sources, scores)
        for source in sources:
            if probe:
                _probe(source)
                continue
            assert loaded  # without a corpus there is --probe
            if batch:
                wanted = partial(corpus_stages, source, loaded, scores, block_size=size)
                _batch(source, wanted)
            else:
                report = fill_corpus(source, loaded, scores, block_size=size, shard=shard)
                who = f"[{shard.rank + 1} of {shard.world}] " if shard.world > 1 else ""
                echo(who + source.summary(report))
    finally:
        for source in sources:
            source.close()


def _probe(source: ScoreSource) -> None:
    from llmattn.scoring.probe import probe

    for found in probe(source):
        low, high = found.chance
        echo(
            f"{source.name}, {found.channel}: {found.agreed:g} of {found.triples} triples in "
            f"order ({found.share:.0%}); chance is {low:.0%} to {high:.0%}: {found.verdict}."
        )


def _batch(source: ScoreSource, wanted: Callable[[], list[list[Row]]]) -> None:
    """Collect the batches that are done, and hand over what is still wanted."""
    from llmattn.scoring.batch import Batches

    batches = Batches(source)
    with batches.alone():
        batches.recover()
        if _collect(source, batches):
            return
        handed = batches.submit(wanted())
        under_way = batches.pending()
    if handed.pending:
        echo(
            f"batch {handed.pending.batch_id}: "
            f"{counted(len(handed.pending.requests), 'request')} handed over. "
            "Run the same command later to collect it."
        )
    if handed.left:
        why = handed.stopped or "a batch takes no more; the same command hands them over later."
        echo(f"not handed over: {counted(handed.left, 'request')}: {why}")
    elif handed.pending:
        pass
    elif under_way:
        echo("Run the same command later to collect it.")
    else:
        echo("Everything is scored.")


def _collect(source: ScoreSource, batches: Batches) -> bool:
    """Keep what is there of each batch; whether the server has just forgotten one: the user may
    have a way to it, so that nothing is handed over anew in the same breath.
    """
    forgotten = False
    degenerate: DegenerateReplies | None = None
    for pending in [*batches.lost(), *batches.pending()]:
        name, status = f"batch {pending.batch_id}", batches.status(pending)
        if status.state == "lost":
            forgotten = forgotten or not pending.lost
            if not pending.lost:
                number = counted(len(pending.requests), "request")
                echo(f"{name} is lost: {_LOST.format(status.message, number)}")
            continue
        if status.state == "running":
            echo(f"{name}: {status.completed:,} of {counted(status.total, 'request')} done")
            continue
        if status.message:
            notify(f"{name}: {status.message}")
        try:
            got = batches.collect(pending)
        except DegenerateReplies as error:
            degenerate = degenerate or error
            continue
        cost = f", ${got.usage.cost:.4f}" if source.price else ""
        echo(
            f"{name} {got.state}: {counted(got.scored, 'pair')} kept, "
            f"{counted(got.failed, 'request')} to ask again{cost}"
        )
        if got.gone:
            echo(
                f"{name}: the server no longer has the answers to {got.gone:,} of these requests; "
                "what they cost is not known."
            )
        elif got.trouble:
            notify(f"{name}: of these, for example: {got.trouble}")
    if degenerate:
        raise degenerate
    return forgotten
