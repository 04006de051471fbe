"""``llmattn compare``: several kinds of attention on one text, over several seeds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from llmattn.cli import options as o
from llmattn.cli.config_file import arms_read, read_config_and_arms
from llmattn.cli.config_file import print_config as show_config
from llmattn.cli.parsing import explicit_options, use_threads
from llmattn.cli.unused import refuse_unread
from llmattn.comparing.arms import ARMS, Arm
from llmattn.comparing.config import BASELINES, RATES, CompareConfig
from llmattn.errors import ConfigError
from llmattn.model.config import ModelConfig
from llmattn.notices import notify
from llmattn.secrets import redact
from llmattn.signals import exit_code
from llmattn.training.config import TrainConfig

__all__ = ["compare"]

_T = TrainConfig(steps=800, patience=5, min_count=5)
_M = ModelConfig(vocab_size=2, channels=("any",), n_embd=64)
_TRAIN_FIELDS = {f.name for f in attrs.fields(TrainConfig)}
_SHAPE_FIELDS = {"block_size", "n_layer", "n_head", "n_embd", "dropout"}

_LINES, _WINDOWS = 128, 16  # about as many tokens, where a line has ten

ARMS_PANEL, TEXT, MODEL = "The experiment", "The text", "The model, the same for all arms"
COURSE, RUN = "The course of training, the same for all arms", "The run"


def compare(
    ctx: typer.Context,
    corpus: o.CorpusArgument,
    out: Annotated[
        Path, typer.Option(help="Folder for the runs and the report.", rich_help_panel=ARMS_PANEL)
    ] = Path("comparison"),
    arms: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What is compared (see docs/comparing.md), separated by commas, of: "
            f"{', '.join(ARMS)}. external:NAME+NAME names providers; an ending changes one thing: "
            "external/no-b, external/per-layer, external/shuffled, external/averaged. Default: "
            "--provider beside the controls of its scores (of pairs, or in context), or what "
            "--config defines beside position and learned+b.",
            rich_help_panel=ARMS_PANEL,
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            help="Runs of each arm; fewer than 3 prove nothing.", rich_help_panel=ARMS_PANEL
        ),
    ] = 5,
    lrs: Annotated[
        str,
        typer.Option(
            metavar="RATES",
            help="Learning rates that each arm chooses from, by validation loss.",
            rich_help_panel=ARMS_PANEL,
        ),
    ] = ",".join(map(str, RATES)),
    lr: Annotated[
        float | None,
        typer.Option(
            help="One learning rate for all, instead of --lrs.", rich_help_panel=ARMS_PANEL
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Arms that the others are held against. Default: "
            f"{', '.join(BASELINES)}, where they are among the arms.",
            rich_help_panel=ARMS_PANEL,
        ),
    ] = None,
    match_params: Annotated[
        bool,
        typer.Option(
            help="Widen the MLP until each arm has the parameters of `learned`.",
            rich_help_panel=ARMS_PANEL,
        ),
    ] = True,
    limit_words: Annotated[
        int | None,
        typer.Option(help="Use the first so many words only.", rich_help_panel=TEXT),
    ] = None,
    min_count: o.MinCount = _T.min_count,
    tokenizer: o.TokenizerPreset = _T.tokenizer,
    vocab_size: o.VocabSize = _T.vocab_size,
    val_fraction: o.ValFraction = _T.val_fraction,
    test_fraction: Annotated[
        float,
        typer.Option(
            help="Share of the lines, the last, whose loss is reported.", rich_help_panel=TEXT
        ),
    ] = 0.1,
    stream: o.Stream = False,
    block_size: Annotated[
        int,
        typer.Option(help="How many tokens a model looks back on at most.", rich_help_panel=MODEL),
    ] = _M.block_size,
    n_layer: Annotated[int, o.shared("n_layer", MODEL)] = _M.n_layer,
    n_head: Annotated[int, o.shared("n_head", MODEL)] = _M.n_head,
    n_embd: Annotated[int, o.shared("n_embd", MODEL)] = _M.n_embd,
    dropout: Annotated[float, o.shared("dropout", MODEL)] = _M.dropout,
    steps: Annotated[
        int, typer.Option(help="Most steps of a run.", rich_help_panel=COURSE)
    ] = _T.steps,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help=f"Lines or windows in a batch. Default: {_LINES} lines, or with --stream "
            f"{_WINDOWS} windows.",
            rich_help_panel=COURSE,
        ),
    ] = None,
    warmup: Annotated[int, o.shared("warmup", COURSE)] = _T.warmup,
    weight_decay: Annotated[float, o.shared("weight_decay", COURSE)] = _T.weight_decay,
    grad_clip: Annotated[float, o.shared("grad_clip", COURSE)] = _T.grad_clip,
    eval_every: Annotated[int, o.shared("eval_every", COURSE)] = _T.eval_every,
    patience: Annotated[
        int,
        typer.Option(
            help="Stop a run after so many evaluations without a new best; 0 never.",
            rich_help_panel=COURSE,
        ),
    ] = _T.patience,
    precision: Annotated[str, o.shared("precision", COURSE)] = _T.precision,
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
            help="TOML file with any of these options, and with arms of your own as tables "
            "[arms.NAME]; the command line wins over it.",
            callback=read_config_and_arms,
            is_eager=True,
            rich_help_panel=RUN,
        ),
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config",
            help="Print all options as such a file, without its arms, and stop.",
            rich_help_panel=RUN,
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Runs at once, each a process. Default: on the processor as many as it has cores, "
            "up to 4, if the model is too small to keep them all busy; else 1.",
            rich_help_panel=RUN,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads of the processor, shared out by --jobs.", rich_help_panel=RUN),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel=RUN)
    ] = "auto",
    keep_checkpoints: Annotated[
        bool,
        typer.Option("--keep-checkpoints", help="Keep each run's model.", rich_help_panel=RUN),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print result.json.", rich_help_panel=RUN)
    ] = False,
) -> None:
    """Does it help? Train each kind of attention over several seeds, and compare on test text.

    Every arm sees the same tokens in the same order, has as many parameters, and chooses its
    learning rate from the same grid. Finished runs are kept in --out: after a break the same
    command makes only those that are missing.
    """
    values = {**locals(), **_one_choice_of_rates(ctx, lr, lrs)}
    if print_config:
        show_config({p.name: values[p.name] for p in ctx.command.params if p.name in values})
        return
    use_threads(threads)
    settings = _settings(values, arms_read(ctx))
    refuse_unread(ctx, settings)
    command = _command(ctx, values)

    from llmattn.cli.compare_show import run_and_show

    try:
        run_and_show(settings, command=command, json=as_json)
    except KeyboardInterrupt:
        notify(f"Interrupted: finished runs are kept in {out}. The same command makes the others.")
        raise typer.Exit(exit_code()) from None


def _one_choice_of_rates(
    ctx: typer.Context, lr: float | None, lrs: str
) -> dict[str, float | str | None]:
    """One rate or a grid, the other as None: what is typed counts for more than a file.

    Raises ConfigError for both in one place.
    """
    both = {"lr", "lrs"}
    typed = both.intersection(explicit_options(ctx, files=False))
    given = typed or both.intersection(explicit_options(ctx))
    if given == both:
        raise ConfigError(
            "--lr is one learning rate for all arms, and --lrs a grid that each chooses from: "
            "leave one of them out."
        )
    return {"lr": None, "lrs": lrs} if lr is None or given == {"lrs"} else {"lr": lr, "lrs": None}


def _settings(values: dict[str, Any], tables: dict[str, Any]) -> CompareConfig:
    from llmattn.comparing.controls import choose_arms

    scores = o.score_choice(values)
    arms = choose_arms(_names(values["arms"]) if values["arms"] else None, tables, scores)
    if values["against"] is None:
        names = [arm.name for arm in arms]
        against = tuple(name for name in BASELINES if name in names)
    else:
        against = tuple(_names(values["against"]))
    if values["batch_size"] is None:
        values["batch_size"] = _WINDOWS if values["stream"] else _LINES
    train = {name: values[name] for name in _TRAIN_FIELDS & set(values) if name != "lr"}
    if values["jobs"] is None:
        values["jobs"] = _jobs(values, arms)
    return CompareConfig(
        corpus=values["corpus"],
        out=values["out"],
        arms=arms,
        train=TrainConfig(**train),
        shape={name: values[name] for name in _SHAPE_FIELDS},
        scores=scores,
        seeds=values["seeds"],
        lrs=_rates(values["lrs"]) if values["lr"] is None else (values["lr"],),
        against=against,
        limit_words=values["limit_words"],
        match_params=values["match_params"],
        device=values["device"],
        jobs=values["jobs"],
        threads=values["threads"],
        keep_checkpoints=values["keep_checkpoints"],
    )


def _jobs(values: dict[str, Any], arms: Sequence[Arm]) -> int:
    """How many runs at once are fastest: products of a small model do not fill two threads."""
    widest = max(arm.shape.get("n_embd", values["n_embd"]) for arm in arms)
    if widest > 128 or values["cache"] == "memory":
        return 1
    from llmattn.devices import choose_device, cores

    if choose_device(values["device"]).type != "cpu":
        return 1
    return min(values["threads"] or cores(), 4)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(rate) for rate in _names(text))
    except ValueError:
        raise ConfigError(
            f"--lrs {text}: write learning rates with commas between, such as 1e-3,3e-3,6e-3."
        ) from None


def _command(ctx: typer.Context, values: dict[str, Any]) -> str:
    """The command as a person would type it again."""
    words = ["llmattn", "compare", str(values["corpus"])]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name not in explicit_options(ctx, files=False) or name in ("corpus", "as_json"):
            continue
        value, option = values[name], max(parameter.opts, key=len)
        if isinstance(value, bool):
            words.append(option if value else parameter.secondary_opts[0])
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [option, str(each)]
    return redact(shlex.join(words))
