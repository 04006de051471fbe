"""``llmattn train``: fill the cache with what a corpus needs, then train AttnGPT on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import attrs
import typer

from llmattn.cli import options as o
from llmattn.cli.again import Again
from llmattn.cli.config_file import print_config as show_config
from llmattn.cli.config_file import read_config
from llmattn.cli.parsing import explicit_options, use_threads
from llmattn.cli.unused import refuse_scores
from llmattn.errors import ConfigError
from llmattn.model.config import ATTENTION, ModelConfig, variants_with
from llmattn.signals import exit_code
from llmattn.training.choice import ScoreChoice
from llmattn.training.config import TrainConfig

__all__ = ["train"]

_T = TrainConfig()
_M = ModelConfig(vocab_size=2, channels=("any",))
_TRAIN_FIELDS = {f.name for f in attrs.fields(TrainConfig)}
_MODEL_FIELDS = {f.name for f in attrs.fields(ModelConfig)} - {"vocab_size", "channels"}

_ASKED = ("match_params", *ScoreChoice().asked)
"""Options that a checkpoint remembers, beside the fields of its configurations."""
_SCORES = ("option", "cache", "cache_dir", *o.LIMITS)
"""Options that a resumed run needs only if its scores are not in the checkpoint, which does not
remember them.
"""

TEXT, MODEL, COURSE, RUN = "The text", "The model", "The course of training", "The run"


def train(
    ctx: typer.Context,
    corpus: Annotated[
        Path, typer.Option(help="Text, UTF-8, one sentence a line.", rich_help_panel=TEXT)
    ] = Path("data/corpus.txt"),
    out: Annotated[
        Path, typer.Option(help="The checkpoint to write.", rich_help_panel=TEXT)
    ] = Path("checkpoint.pt"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out.", rich_help_panel=TEXT)
    ] = False,
    min_count: Annotated[
        int,
        typer.Option(
            help="Words that the training lines hold less often become <unk>.", rich_help_panel=TEXT
        ),
    ] = _T.min_count,
    tokenizer: o.TokenizerPreset = _T.tokenizer,
    vocab_size: o.VocabSize = _T.vocab_size,
    stream: o.Stream = False,
    val_fraction: o.ValFraction = _T.val_fraction,
    test_fraction: Annotated[
        float,
        typer.Option(
            help="Share of the lines, the last, to test the best weights on at the end.",
            rich_help_panel=TEXT,
        ),
    ] = _T.test_fraction,
    attention: Annotated[
        str,
        typer.Option(
            help="Where the weights come from: "
            + ", ".join(f"{name} ({variant.meaning})" for name, variant in ATTENTION.items())
            + ".",
            rich_help_panel=MODEL,
        ),
    ] = _M.attention,
    distance_bias: Annotated[
        bool,
        typer.Option(
            "--distance-bias", help="Let `learned` know the distance, too.", rich_help_panel=MODEL
        ),
    ] = False,
    per_layer: Annotated[
        bool,
        typer.Option(
            "--per-layer",
            help="Each layer has its own scale of the scores and distance bias.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    block_size: Annotated[
        int,
        typer.Option(
            help="How many tokens the model looks back on at most.", rich_help_panel=MODEL
        ),
    ] = _M.block_size,
    n_layer: Annotated[int, o.shared("n_layer", MODEL)] = _M.n_layer,
    n_head: Annotated[int, o.shared("n_head", MODEL)] = _M.n_head,
    n_embd: Annotated[int, o.shared("n_embd", MODEL)] = _M.n_embd,
    dropout: Annotated[float, o.shared("dropout", MODEL)] = _M.dropout,
    match_params: Annotated[
        bool,
        typer.Option(
            "--match-params",
            help="Widen the MLP until there are as many parameters as `learned` has.",
            rich_help_panel=MODEL,
        ),
    ] = False,
    steps: Annotated[
        int, typer.Option(help="Steps of training.", rich_help_panel=COURSE)
    ] = _T.steps,
    batch_size: Annotated[
        int,
        typer.Option(
            help="Lines (with --stream: windows) in a batch, of all processes together.",
            rich_help_panel=COURSE,
        ),
    ] = _T.batch_size,
    grad_accum: Annotated[
        int, typer.Option(help="Batches whose gradients make up a step.", rich_help_panel=COURSE)
    ] = _T.grad_accum,
    lr: Annotated[float, typer.Option(help="Learning rate.", rich_help_panel=COURSE)] = _T.lr,
    warmup: Annotated[int, o.shared("warmup", COURSE)] = _T.warmup,
    weight_decay: Annotated[float, o.shared("weight_decay", COURSE)] = _T.weight_decay,
    grad_clip: Annotated[float, o.shared("grad_clip", COURSE)] = _T.grad_clip,
    eval_every: Annotated[int, o.shared("eval_every", COURSE)] = _T.eval_every,
    patience: Annotated[
        int,
        typer.Option(
            help="Stop after so many evaluations without a new best; 0 never.",
            rich_help_panel=COURSE,
        ),
    ] = _T.patience,
    max_time: Annotated[
        float | None,
        typer.Option(help="Stop after so many minutes of training.", rich_help_panel=COURSE),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="The same seed trains the same model.", rich_help_panel=COURSE)
    ] = _T.seed,
    provider: o.Provider = None,
    model: o.Model = None,
    option: o.Option = None,
    criteria: o.Criteria = None,
    scope: o.ScoreScope = None,
    channels: o.Channels = None,
    method: o.Method = None,
    cache: o.CacheName = "lmdb",
    cache_dir: o.CacheDir = None,
    coverage: o.Coverage = 1.0,
    min_pair_count: o.MinPairCount = 1,
    score_transform: o.ScoreTransform = "auto",
    context_words: o.ContextWords = 0,
    max_cost: o.MaxCost = None,
    max_requests: o.MaxRequests = None,
    price_in: o.PriceIn = None,
    price_out: o.PriceOut = None,
    rpm: o.Rpm = None,
    tpm: o.Tpm = None,
    requests_at_once: o.RequestsAtOnce = None,
    max_degenerate: o.MaxDegenerate = 0.5,
    max_wait: o.MaxWait = 600.0,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with any of these options; the command line wins over it.",
            callback=read_config,
            is_eager=True,
            rich_help_panel=RUN,
        ),
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config",
            help="Print all options as such a file, and stop.",
            rich_help_panel=RUN,
        ),
    ] = False,
    save_every: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds between checkpoints, which follow evaluations.",
            rich_help_panel=RUN,
        ),
    ] = 30.0,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            "--log-file",  # torchrun takes --log for one of its own options
            help="Write evaluations to FILE.csv or FILE.jsonl.",
            rich_help_panel=RUN,
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            help="Write curves for TensorBoard to this folder.",
            metavar="DIR",
            rich_help_panel=RUN,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel=RUN)
    ] = "auto",
    precision: Annotated[str, o.shared("precision", RUN)] = _T.precision,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the model (takes minutes; for long runs and GPUs).",
            rich_help_panel=RUN,
        ),
    ] = False,
    shard: Annotated[
        bool,
        typer.Option(
            "--shard",
            help="Split the model among torchrun's processes; for one too large for a GPU.",
            rich_help_panel=RUN,
        ),
    ] = False,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the processor.", rich_help_panel=RUN)
    ] = None,
) -> None:
    """Train a small GPT whose attention scores come from a provider.

    First the cache is filled with every score that the corpus needs; then training asks
    nobody any more. Ctrl-C stops after the step; --resume goes on from there.
    With several processes: torchrun --nproc-per-node N -m llmattn.train
    """
    values = dict(locals())
    explicit = explicit_options(ctx)
    scores = o.score_choice(values)  # mistakes in options are told before torch is loaded
    if print_config:
        show_config({p.name: values[p.name] for p in ctx.command.params if p.name in values})
        return
    settings = TrainConfig(**{name: values[name] for name in _TRAIN_FIELDS & set(values)})
    shape = {name: values[name] for name in _MODEL_FIELDS & set(values)}
    model_config = ModelConfig(vocab_size=2, channels=("any",), **shape)
    if not (resume or model_config.uses_scores):
        refuse_scores(
            ctx,
            "attention",
            f"--attention {attention} reads none: leave it out, or choose "
            f"{variants_with('scores')}.",
        )
    if max_time is not None and max_time <= 0:
        raise ConfigError(f"--max-time must be above 0 minutes, not {max_time:g}.")
    commanded = explicit_options(ctx, files=False)

    use_threads(threads)

    from llmattn.cli.train_show import run_and_show
    from llmattn.training import run as runs
    from llmattn.training.distributed import join_team

    with join_team(device, sharded=shard) as (team, own_device):
        where = str(own_device)
        if resume or team.from_first(lambda: runs.is_of_this_launch(out)):
            kept = _TRAIN_FIELDS | _MODEL_FIELDS | {"provider", *_ASKED}
            given = {name: values[name] for name in explicit if name in kept}
            path = corpus if "corpus" in explicit else None
            run = runs.resume(
                out,
                corpus_path=path,
                given=given,
                scores=scores,
                device=where,
                compiled=compile,
                team=team,
            )
            if resume and not run.reads_texts:
                _refuse(_SCORES, commanded)
        else:
            run = runs.begin(
                corpus,
                out,
                settings,
                shape,
                scores=scores,
                device=where,
                match_params=match_params,
                compiled=compile,
                team=team,
            )
        outcome = run_and_show(
            run,
            Again.of(ctx, values),
            max_time=max_time,
            save_every=save_every,
            log=log,
            tensorboard=tensorboard,
        )
    if outcome == "interrupted":
        raise typer.Exit(exit_code())


def _refuse(names: Sequence[str], explicit: Sequence[str]) -> None:
    """Raise ConfigError for options that a resumed run cannot follow: none is ignored."""
    for name in explicit:
        if name in names:
            raise ConfigError(
                f"--{name.replace('_', '-')} cannot be used with --resume: the checkpoint holds "
                "the model and its scores. Leave it out, or train anew."
            )
