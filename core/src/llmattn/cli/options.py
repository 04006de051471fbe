"""Options that several commands share, each written once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from llmattn.cli.parsing import parse_options
from llmattn.errors import ConfigError
from llmattn.scoring.options import ScoringOptions
from llmattn.training.choice import SETTINGS, ScoreChoice
from llmattn.training.config import PRECISIONS

__all__ = [
    "LIMITS",
    "SCORE_PANELS",
    "Ask",
    "AskBatched",
    "BlockSize",
    "CacheDir",
    "CacheName",
    "Channels",
    "ContextWords",
    "CorpusArgument",
    "Coverage",
    "Criteria",
    "MaxCost",
    "MaxDegenerate",
    "MaxRequests",
    "MaxWait",
    "Method",
    "MinCount",
    "MinPairCount",
    "Model",
    "Option",
    "PriceIn",
    "PriceOut",
    "Provider",
    "RequestsAtOnce",
    "Rpm",
    "ScoreScope",
    "ScoreTransform",
    "TokenizerPreset",
    "Tpm",
    "ValFraction",
    "score_choice",
    "scoring_options",
    "shared",
]

_SCORES = "Where the scores come from"
_LIMITS = "Limits in money and speed"
_TEXT = "The text"

SCORE_PANELS = (_SCORES, _LIMITS)
"""Headings, in the help, of the options that are about scores."""

LIMITS = (
    "max_cost",
    "max_requests",
    "price_in",
    "price_out",
    "rpm",
    "tpm",
    "requests_at_once",
    "max_degenerate",
    "max_wait",
    "ask_batched",
)
"""Names of the options that :func:`scoring_options` takes."""

CorpusArgument = Annotated[
    Path, typer.Argument(metavar="CORPUS", help="A text file, one sentence a line.")
]
MinCount = Annotated[
    int,
    typer.Option(
        min=1,
        help="Words that the training lines hold less often become <unk>.",
        rich_help_panel=_TEXT,
        show_default=True,
    ),
]
TokenizerPreset = Annotated[
    str,
    typer.Option(
        "--tokenizer",
        help="What a token is: words, bpe (pieces of words), or seed (the regex \\w+|\\.).",
        rich_help_panel=_TEXT,
    ),
]
VocabSize = Annotated[
    int, typer.Option(help="How many tokens `bpe` learns.", rich_help_panel=_TEXT)
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Read the text as one stream: windows run on over line ends, as in nanoGPT.",
        rich_help_panel=_TEXT,
    ),
]
BlockSize = Annotated[
    int,
    typer.Option(
        min=1, help="How many tokens a model looks back on at most.", rich_help_panel=_TEXT
    ),
]
ValFraction = Annotated[
    float,
    typer.Option(
        help="Share of the lines, after the training lines, to validate on.", rich_help_panel=_TEXT
    ),
]
TestFraction = Annotated[
    float,
    typer.Option(help="Share of the lines, the last, kept for a test.", rich_help_panel=_TEXT),
]
Provider = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        "-p",
        help="Who scores (see: llmattn plugins); given again, their channels stand side by side. "
        "Default: LLM_PROVIDER, else one whose key is set, else cooccurrence, which works offline.",
        rich_help_panel=_SCORES,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="The provider's model. Default: LLM_MODEL.", rich_help_panel=_SCORES),
]
Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="NAME.KEY=VALUE",
        help="A setting of a provider or cache (see: llmattn plugins --options).",
        rich_help_panel=_SCORES,
    ),
]
Ask = Annotated[
    bool,
    typer.Option(
        "--ask",
        help="Let the checkpoint's provider score what it has not scored yet (may cost money). It "
        "is asked as you have set it up here; the checkpoint decides nothing.",
        rich_help_panel=_SCORES,
    ),
]
Criteria = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="What a chat model is asked to rate, each a channel, separated by commas: relevance, "
        "syntax, meaning, topic; or a file with your own wording. Default: relevance.",
        rich_help_panel=_SCORES,
    ),
]
Channels = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Which attention maps of a local model are channels: layers, heads, or a list such as "
        "3,5,9.1 (9.1 is layer 9, head 1). Default: layers.",
        rich_help_panel=_SCORES,
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="What a score of a local model is: attention, copy, ablation, gradient, several as "
        "attention+copy, or embedding. Default: attention.",
        rich_help_panel=_SCORES,
    ),
]
ScoreScope = Annotated[
    str | None,
    typer.Option(
        "--scope",
        metavar="SCOPE",
        help="What a chat model is shown: pair, two words alone, each pair once; or prefix, the "
        "text so far, anew for each next word. Default: pair.",
        rich_help_panel=_SCORES,
    ),
]
CacheName = Annotated[
    str,
    typer.Option(
        "--cache",
        help="What keeps the scores: lmdb, memory (till the end), or a plugin.",
        rich_help_panel=_SCORES,
    ),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        help="Its folder. Default: LLMATTN_CACHE_DIR, else the user's cache folder.",
        rich_help_panel=_SCORES,
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(min=0, help="Spend at most so many US dollars.", rich_help_panel=_LIMITS),
]
MaxRequests = Annotated[
    int | None,
    typer.Option(min=0, help="Send at most so many requests.", rich_help_panel=_LIMITS),
]
PriceIn = Annotated[
    float | None,
    typer.Option(
        min=0, help="What a million prompt tokens cost, in US dollars.", rich_help_panel=_LIMITS
    ),
]
PriceOut = Annotated[
    float | None,
    typer.Option(
        min=0, help="What a million reply tokens cost, in US dollars.", rich_help_panel=_LIMITS
    ),
]
Rpm = Annotated[
    float | None, typer.Option(help="At most so many requests a minute.", rich_help_panel=_LIMITS)
]
Tpm = Annotated[
    float | None, typer.Option(help="At most so many tokens a minute.", rich_help_panel=_LIMITS)
]
RequestsAtOnce = Annotated[
    int | None,
    typer.Option(
        min=1, help="At most so many requests under way at once.", rich_help_panel=_LIMITS
    ),
]
Coverage = Annotated[
    float,
    typer.Option(
        help="Ask only for the most frequent pairs, which make up this share of all attention "
        "positions; the others take their row's mean. Not for scores in context.",
        rich_help_panel=_LIMITS,
    ),
]
MinPairCount = Annotated[
    int,
    typer.Option(
        min=1,
        help="Ask only for pairs that occur this often. Not for scores in context.",
        rich_help_panel=_LIMITS,
    ),
]
ScoreTransform = Annotated[
    str,
    typer.Option(
        help="How the model reads scores in context: identity (as they are), log (their "
        "logarithm), or auto, as the provider says.",
        rich_help_panel=_SCORES,
    ),
]
ContextWords = Annotated[
    int,
    typer.Option(
        min=0,
        help="For scores in context: how many tokens before each window the provider sees, too.",
        rich_help_panel=_SCORES,
    ),
]
MaxDegenerate = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Give up if after 20 requests a larger share of the rows says nothing (all scores "
        "alike, or counting up).",
        rich_help_panel=_LIMITS,
    ),
]
MaxWait = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="End the run, keeping all, if the server asks for a longer wait.",
        rich_help_panel=_LIMITS,
    ),
]
AskBatched = Annotated[
    bool,
    typer.Option(
        "--ask-batched",
        help="Ask also for what a batch under way will answer: it is then paid twice.",
        rich_help_panel=_LIMITS,
    ),
]

_SHARED = {
    "n_layer": "Layers.",
    "n_head": "Heads in each layer.",
    "n_embd": "Width, a multiple of the heads.",
    "dropout": "Share of values left out in training.",
    "warmup": "Steps until the full learning rate.",
    "weight_decay": "Decay of the matrices.",
    "grad_clip": "A longer gradient is cut to this length.",
    "eval_every": "Steps between evaluations.",
    "precision": f"One of: {', '.join(PRECISIONS)}.",
}


def shared(name: str, panel: str) -> Any:
    """The option ``name`` of a model or of the course of its training, which `train` and `compare`
    have under headings of their own (``panel``).
    """
    return typer.Option(help=_SHARED[name], rich_help_panel=panel)


def scoring_options(
    *,
    max_cost: float | None = None,
    max_requests: int | None = None,
    price_in: float | None = None,
    price_out: float | None = None,
    rpm: float | None = None,
    tpm: float | None = None,
    requests_at_once: int | None = None,
    max_degenerate: float = 0.5,
    max_wait: float = 600.0,
    ask_batched: bool = False,
    quiet: bool = False,
) -> ScoringOptions:
    """The options as one object. Raises ConfigError for a value that makes no sense."""
    try:
        return ScoringOptions(
            max_cost=max_cost,
            max_requests=max_requests,
            price_in=price_in,
            price_out=price_out,
            rpm=rpm,
            tpm=tpm,
            requests_at_once=requests_at_once,
            max_degenerate=max_degenerate,
            max_wait=max_wait,
            ask_batched=ask_batched,
            quiet=quiet,
        )
    except ValueError as error:
        raise ConfigError(f"{error.args[0]}.") from None


def score_choice(values: Mapping[str, Any]) -> ScoreChoice:
    """Which scores a command reads, from the values of its options. Raises ConfigError."""
    return ScoreChoice(
        providers=tuple(values["provider"] or ()),
        options=parse_options(values["option"] or (), **{name: values[name] for name in SETTINGS}),
        model=values["model"],
        cache=values["cache"],
        cache_dir=values["cache_dir"],
        coverage=values["coverage"],
        min_pair_count=values["min_pair_count"],
        transform=values["score_transform"],
        context_words=values["context_words"],
        scoring=scoring_options(**{name: values[name] for name in LIMITS}),
    )
