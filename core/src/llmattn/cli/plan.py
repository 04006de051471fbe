"""``llmattn plan``: what scoring a corpus would take, without sending a request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmattn.cli import options as o
from llmattn.cli.output import echo, echo_json
from llmattn.cli.parsing import parse_options
from llmattn.drawing import need_drawing

if TYPE_CHECKING:
    from llmattn.planning import Plan

__all__ = ["plan"]


def plan(
    corpus: o.CorpusArgument,
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
    price_in: o.PriceIn = None,
    price_out: o.PriceOut = None,
    coverage: o.Coverage = 1.0,
    min_pair_count: o.MinPairCount = 1,
    rpm: o.Rpm = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the coverage curve.")
    ] = None,
) -> None:
    """Show what scoring CORPUS would take: pairs, requests, tokens, dollars. Sends nothing."""
    if plot:
        need_drawing()

    from llmattn.data.corpus import load_corpus
    from llmattn.data.selection import check_selection
    from llmattn.planning import make_plan, make_text_plan, plot_plan
    from llmattn.rows import Scope
    from llmattn.scoring.source import open_sources

    text = load_corpus(
        corpus,
        preset=tokenizer,
        min_count=min_count,
        vocab_size=vocab_size,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        stream=stream,
    )
    sources = open_sources(
        provider or (),
        options=parse_options(
            option or (), criteria=criteria, scope=scope, channels=channels, method=method
        ),
        model=model,
        cache=cache,
        cache_dir=cache_dir,
        text=text.train_words(block_size),
        scoring=o.scoring_options(price_in=price_in, price_out=price_out, rpm=rpm),
    )
    try:
        scopes = [source.identity.scope for source in sources]
        check_selection(scopes, coverage=coverage, min_pair_count=min_pair_count)
        plans = [
            make_text_plan(source, text, block_size=block_size, context_words=context_words)
            if source.identity.scope is Scope.PREFIX
            else make_plan(
                source,
                text,
                block_size=block_size,
                coverage=coverage,
                min_pair_count=min_pair_count,
            )
            for source in sources
        ]
    finally:
        for source in sources:
            source.close()
    if as_json:
        echo_json([found.to_dict() for found in plans], indent=2)
    else:
        for found in plans:
            _show(found)
    if plot is not None:
        plot_plan(plans, plot)
        echo(f"Wrote {plot}.", err=as_json)


def _show(plan: Plan) -> None:
    from rich.table import Table

    from llmattn.console import make_console

    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column()
    facts.add_column(justify="right")
    for name, value in plan.facts():
        facts.add_row(name, value)
    curve = Table(
        "most frequent" if plan.scope == "pair" else "of the text",
        "pairs" if plan.scope == "pair" else "scores",
        "attention",
        "cached",
        "requests",
        "tokens",
        "US dollars",
        box=None,
        pad_edge=False,
    )
    for column in curve.columns:
        column.justify = "right"
    for point in plan.curve:
        curve.add_row(
            f"{point.share:.0%}",
            f"{point.pairs:,}",
            f"{point.coverage:.1%}",
            f"{point.cached:,}",
            f"{point.usage.requests:,}",
            f"{point.usage.prompt_tokens + point.usage.completion_tokens:,}",
            "free" if plan.local else "?" if point.cost is None else f"{point.cost:,.2f}",
        )
    console = make_console()
    console.print(facts)
    console.print()
    console.print(curve)
