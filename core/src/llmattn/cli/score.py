"""``llmattn score``: fill the cache with the scores that a corpus needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from attrs import frozen

from llmattn.cli import options as o
from llmattn.cli.output import echo
from llmattn.cli.parsing import parse_options
from llmattn.errors import ConfigError, DegenerateReplies
from llmattn.notices import notify
from llmattn.rows import Scope

if TYPE_CHECKING:
    from llmattn.data.corpus import Corpus
    from llmattn.data.pairs import PairCounts
    from llmattn.rows import Row
    from llmattn.scoring.batch import Batches
    from llmattn.scoring.report import FillReport
    from llmattn.scoring.shard import Shard
    from llmattn.scoring.source import ScoreSource

__all__ = ["score"]

_LOST = (
    "{} What its {:,} requests cost is not known, and they are free to be asked again: the same "
    "command hands them over anew. If it was handed over with another key, set that one first: "
    "each call with --batch looks for it."
)
_HOW = "How to ask"


def score(
    corpus: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CORPUS]", help="A text file, one sentence a line. --probe needs none."
        ),
    ] = None,
    min_count: o.MinCount = 1,
    tokenizer: o.TokenizerPreset = "words",
    vocab_size: o.VocabSize = 4096,
    stream: o.Stream = False,
    block_size: o.BlockSize = 64,
    val_fraction: o.ValFraction = 0.1,
    test_fraction: o.TestFraction = 0.0,
    provider: o.Provider = None,
    model: o.Model = None,
    option: o.Option = None,
    criteria: o.Criteria = None,
    scope: o.ScoreScope = None,
    channels: o.Channels = None,
    method: o.Method = None,
    context_words: o.ContextWords = 0,
    cache: o.CacheName = "lmdb",
    cache_dir: o.CacheDir = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Score 60 word triples whose order is plain, and show how many agree.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch",
            help="Hand everything over as a batch (half price, up to a day); the same command "
            "later collects it.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    max_cost: o.MaxCost = None,
    max_requests: o.MaxRequests = None,
    price_in: o.PriceIn = None,
    price_out: o.PriceOut = None,
    coverage: o.Coverage = 1.0,
    min_pair_count: o.MinPairCount = 1,
    rpm: o.Rpm = None,
    tpm: o.Tpm = None,
    requests_at_once: o.RequestsAtOnce = None,
    max_degenerate: o.MaxDegenerate = 0.5,
    max_wait: o.MaxWait = 600.0,
    ask_batched: o.AskBatched = False,
) -> None:
    """Ask for the scores that CORPUS needs and the cache lacks, most frequent pairs first.

    Stop it at any time: what was answered is kept, and the same command goes on from there.
    `llmattn plan` tells beforehand what it will cost. Under torchrun each process asks for its
    own share of the rows.
    """
    from llmattn.data.corpus import load_corpus
    from llmattn.data.selection import check_selection
    from llmattn.scoring.shard import Shard
    from llmattn.scoring.source import open_sources

    if probe and batch:
        raise ConfigError("--probe asks at once; leave out --batch.")
    shard = Shard.from_environment()
    if batch and shard.world > 1:
        raise ConfigError("A batch is handed over by one process: use --batch without torchrun.")
    if corpus is None and not probe:
        raise ConfigError("Name the corpus to score: llmattn score CORPUS (or use --probe).")
    scoring = o.scoring_options(
        # Each process of torchrun keeps its part of the limit.
        max_cost=None if max_cost is None else max_cost / shard.world,
        max_requests=None if max_requests is None else max_requests // shard.world,
        price_in=price_in,
        price_out=price_out,
        rpm=rpm,
        tpm=tpm,
        requests_at_once=requests_at_once,
        max_degenerate=max_degenerate,
        max_wait=max_wait,
        ask_batched=ask_batched,
    )
    text = corpus and load_corpus(
        corpus,
        preset=tokenizer,
        min_count=min_count,
        vocab_size=vocab_size,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        stream=stream,
    )
    options = parse_options(
        option or (), criteria=criteria, scope=scope, channels=channels, method=method
    )
    sources = open_sources(
        provider or (),
        options=options,
        model=model,
        cache=cache,
        cache_dir=cache_dir,
        text=text.train_words(block_size) if text else None,
        scoring=scoring,
    )
    try:
        scopes = [source.identity.scope for source in sources]
        check_selection(scopes, coverage=coverage, min_pair_count=min_pair_count)
        for source in sources:
            if probe:
                _probe(source)
                continue
            assert text  # without a corpus there is --probe
            needed = _Needed(text, block_size, coverage, min_pair_count, context_words)
            if batch:
                _batch(source, needed)
            else:
                who = f"[{shard.rank + 1} of {shard.world}] " if shard.world > 1 else ""
                echo(who + source.summary(needed.fill(source, shard)))
    finally:
        for source in sources:
            source.close()


@frozen
class _Needed:
    """What a corpus needs of a source: pairs of words, or the rows of its windows."""

    text: Corpus
    block_size: int
    coverage: float
    min_pair_count: int
    context_words: int

    def fill(self, source: ScoreSource, shard: Shard) -> FillReport:
        from llmattn.data.fill import fill_pairs
        from llmattn.data.text_fill import fill_texts

        if source.identity.scope is Scope.PREFIX:
            size, context = self.block_size, self.context_words
            return fill_texts(
                source, self.text, block_size=size, context_words=context, shard=shard
            )
        return fill_pairs(source, self._pairs(), self.text.words, shard)

    def stages(self, source: ScoreSource) -> list[list[Row]]:
        """The rows in the stages in which they are handed over."""
        from llmattn.data.fill import stages_of
        from llmattn.data.text_fill import text_portions

        if source.identity.scope is Scope.PREFIX:
            portions = text_portions(
                self.text,
                block_size=self.block_size,
                context_words=self.context_words,
                channels=len(source.identity.channels),
            )
            return list(portions)
        return stages_of(source, self._pairs(), self.text.words)

    def _pairs(self) -> PairCounts:
        from llmattn.data.corpus_pairs import corpus_pairs
        from llmattn.data.selection import select_pairs

        _, pairs = corpus_pairs(self.text, self.block_size)
        return select_pairs(pairs, coverage=self.coverage, min_pair_count=self.min_pair_count)


def _probe(source: ScoreSource) -> None:
    from llmattn.scoring.probe import probe

    for found in probe(source):
        low, high = found.chance
        echo(
            f"{source.name}, {found.channel}: {found.agreed:g} of {found.triples} triples in "
            f"order ({found.share:.0%}); chance is {low:.0%} to {high:.0%}: {found.verdict}."
        )


def _batch(source: ScoreSource, needed: _Needed) -> None:
    """Collect the batches that are done, and hand over what is still wanted."""
    from llmattn.scoring.batch import Batches

    batches = Batches(source)
    with batches.alone():
        batches.recover()
        if _collect(source, batches):
            return
        handed = batches.submit(needed.stages(source))
        under_way = batches.pending()
    if handed.pending:
        echo(
            f"batch {handed.pending.batch_id}: {len(handed.pending.requests):,} requests handed "
            "over. Run the same command later to collect it."
        )
    if handed.left:
        why = handed.stopped or "a batch takes no more; the same command hands them over later."
        echo(f"{handed.left:,} requests are not handed over: {why}")
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
                echo(f"{name} is lost: {_LOST.format(status.message, len(pending.requests))}")
            continue
        if status.state == "running":
            echo(f"{name}: {status.completed:,} of {status.total:,} requests done")
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
            f"{name} {got.state}: {got.scored:,} pairs kept, {got.failed:,} requests to ask "
            f"again{cost}"
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
