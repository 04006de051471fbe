"""``llmattn plan``: what scoring a corpus would take, without sending a request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from attrs import evolve

from llmattn.cli.build import Uses, Written, command
from llmattn.cli.common import Corpus, Json
from llmattn.cli.output import echo, echo_json
from llmattn.data.config import TextConfig
from llmattn.drawing import check_picture
from llmattn.model.config import ModelConfig
from llmattn.options import MODEL, TEXT
from llmattn.reading.files import check_there
from llmattn.scoring.options import ScoreChoice

if TYPE_CHECKING:
    from rich.table import Table

    from llmattn.planning import Plan, VectorPlan

__all__ = ["plan"]


@command(panels={MODEL: TEXT})
def plan(
    corpus: Corpus,
    *,
    text: TextConfig,
    model: Annotated[ModelConfig, Uses(only=["block_size"])],
    scores: Annotated[
        ScoreChoice,
        Uses(
            without=(
                "score_transform",
                "executor",
                "max_cost",
                "max_requests",
                "yes",
                "tpm",
                "requests_at_once",
                "max_degenerate",
                "max_wait",
                "provider_timeout",
            )
        ),
    ],
    as_json: Json = False,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.png", help="Draw the coverage curve."),
        Written(),
    ] = None,
) -> None:
    """Show what scoring CORPUS would take: pairs, requests, tokens, dollars. Sends nothing."""
    check_there(corpus)
    if plot:
        check_picture(plot, "--plot")

    from llmattn.data.corpus import load_corpus
    from llmattn.planning import make_plan, make_vector_plan, plot_plan
    from llmattn.scoring.opening import check_kinds, open_sources
    from llmattn.scoring.same_server import tell_moved
    from llmattn.scoring.vectors import VectorSource

    loaded = load_corpus(corpus, text)
    scores = evolve(scores, scoring=evolve(scores.scoring, ask=False))
    sources = open_sources(scores, text=loaded.train_words(model.block_size))
    try:
        check_kinds(sources, scores)
        for source in sources:
            tell_moved(source.name, source.cache, source.identity)
        plans = [
            make_plan(source, loaded, scores, block_size=model.block_size) for source in sources
        ]
    finally:
        for source in sources:
            source.close()
    vectors: list[VectorPlan] = []
    if scores.word_vectors:
        with VectorSource(scores) as its:
            vectors.append(make_vector_plan(its, loaded))
    if as_json:
        told = [*(found.to_dict() for found in plans), *(found.to_dict() for found in vectors)]
        echo_json(told, indent=2)
    else:
        for found in plans:
            _show(found)
        for other in vectors:
            _show_vectors(other)
    if plot is not None:
        plot_plan(plans, plot)
        echo(f"Wrote {plot}.", err=as_json)


def _facts(plan: Plan | VectorPlan) -> Table:
    from rich.table import Table

    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column()
    facts.add_column(justify="right")
    for name, value in plan.facts():
        facts.add_row(name, value)
    return facts


def _show_vectors(plan: VectorPlan) -> None:
    from llmattn.console import make_console

    console = make_console()
    console.print()
    console.print(_facts(plan))


def _show(plan: Plan) -> None:
    from llmattn.console import Table, make_console

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
    console.print(_facts(plan))
    console.print()
    console.print(curve)
