"""The page of one training run, from its checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from llmattn.data.corpus import Corpus, load_corpus
from llmattn.errors import CheckpointError, CorpusError
from llmattn.feeds.channels import Scored
from llmattn.model.shapes import parameter_count
from llmattn.notices import notify
from llmattn.reports.attention import Sentences, attention, sentences_of
from llmattn.reports.charts import Series, line_chart
from llmattn.reports.parts import bullets, code, facts, folded, note, page, section, table
from llmattn.scoring.options import ScoreChoice
from llmattn.training.checkpoint import Checkpoint, load_checkpoint
from llmattn.training.history import Part, Report, Spent
from llmattn.training.own_text import own_text
from llmattn.training.taken import taken_words
from llmattn.wording import counted

__all__ = ["corpus_of", "cost", "data", "run_page", "sample_table"]

NO_TEXT = "The text is not at hand: name it with --corpus, or a sentence with --text."

_EVALUATIONS, _SAMPLES = 60, 12
"""Rows of their tables, at most."""

T = TypeVar("T")


def run_page(
    path: Path,
    choice: ScoreChoice = ScoreChoice(),
    *,
    corpus_path: Path | None = None,
    texts: Sequence[str] = (),
    log: Sequence[Report] = (),
) -> str:
    """The page of the checkpoint at ``path``; ``log``: its evaluations, where a log tells more of
    them. ``texts``: sentences to show its attention in; else some of its text are taken, which is
    read where ``own_text`` lets it, or from ``corpus_path``. Nobody is asked for a score, but for
    local providers if there are ``texts``. Raises CheckpointError; for a text that is named,
    CorpusError.
    """
    checkpoint = load_checkpoint(path)
    history = checkpoint.history
    reports = log if len(log) > len(history.reports) else history.reports
    corpus = corpus_of(path, checkpoint, corpus_path)
    sentences = Sentences(tuple(texts), stated=True)
    if not texts and corpus is not None:
        sentences = sentences_of(corpus)
    model = checkpoint.model_config
    about = (
        f"{model.attention} attention, {counted(model.n_layer, 'layer')}, "
        f"{counted(model.n_head, 'head')}, width {model.n_embd}: "
        f"{counted(parameter_count(model), 'parameter')}"
    )
    caveats = bullets(_caveats(checkpoint, reports), beware=True)
    seen = attention([(path.name, checkpoint)], sentences, choice)
    if not (seen or any(sentences.texts)):
        seen = note(NO_TEXT)
    sections = [
        section("In short", _short(checkpoint), caveats),
        section("Loss by step", _curves(reports)),
        section("What it wrote on the way", _samples(checkpoint)),
        section("Where it looks", seen),
        section("Text", data(checkpoint.corpus, checkpoint.corpus_digest, history.parts)),
        section("Scores", _scores(checkpoint), cost(history.spent)),
        section("Settings", _settings(checkpoint)),
        section("The command", _command(path, checkpoint)),
    ]
    return page(f"Training of {path.name}", about, sections)


def corpus_of(path: Path, checkpoint: Checkpoint, stated: Path | None) -> Corpus | None:
    """The text of a checkpoint, if it is at hand and as it was. Raises CorpusError for one that
    is ``stated``.
    """
    try:
        where = stated or (own_text(path, checkpoint) if checkpoint.corpus else None)
        if where is None:
            return None
        config, tokenizer = checkpoint.train_config, checkpoint.tokenizer
        found = load_corpus(where, config, tokenizer=tokenizer, hint=False)
    except (CorpusError, CheckpointError) as error:
        if stated is not None:
            raise
        notify(f"{error} The page shows no sentence of it.")
        return None
    if stated is None and found.digest != checkpoint.corpus_digest:
        notify(f"{where} is not the text any more that {path} was trained on: none of it is shown.")
        return None
    return found


def _caveats(checkpoint: Checkpoint, reports: Sequence[Report]) -> list[str]:
    told = []
    last, steps = _last_step(checkpoint, reports), checkpoint.train_config.steps
    best = checkpoint.best["step"]
    if last is not None and best == last and last:
        told.append("It was best at its last step, so more --steps may make it better.")
    if last is not None and last < steps and best >= last - checkpoint.train_config.eval_every:
        told.append(f"It was stopped after {last:,} of {steps:,} steps: --resume goes on with it.")
    if not best:
        told.append("No evaluation was better than the untrained model.")
    if checkpoint.control:
        told.append(
            f"It was trained on {checkpoint.control} scores, a control of llmattn compare; no "
            "provider gives them."
        )
    if checkpoint.scored and checkpoint.coverage < 0.995:
        told.append(
            f"{checkpoint.coverage:.1%} of the attention was scored; a pair without a score counts "
            "as the mean of its row."
        )
    told += [
        f"{part.unknown_share:.1%} of the {part.name} text is <unk>, of which a loss says nothing."
        for part in checkpoint.history.parts
        if part.unknown_share >= 0.05
    ]
    told.append(
        "The loss of one model says nothing of what its scores are worth: llmattn compare trains "
        "it beside its controls, over several seeds."
    )
    return told


def _last_step(checkpoint: Checkpoint, reports: Sequence[Report]) -> int | None:
    step = checkpoint.last.get("step")
    if type(step) is int:
        return step
    return reports[-1].step if reports else None


def _short(checkpoint: Checkpoint) -> str:
    history, best = checkpoint.history, checkpoint.best
    pairs = [("Best validation loss", _loss(best["loss"])), ("at step", f"{best['step']:,}")]
    if history.test_loss is not None:
        pairs.append(("Test loss of these weights", _loss(history.test_loss)))
    if history.reports:
        last = history.reports[-1]
        pairs.append(("Read in training", counted(last.tokens, "token")))
        pairs.append(
            ("Time", f"{last.seconds:,.0f} s, of which {last.train_seconds:,.0f} s training")
        )
    pairs += [("Taken", sentence) for sentence in taken_words(checkpoint.taken)]
    return facts(pairs)


def _loss(loss: float) -> str:
    if not math.isfinite(loss):
        return "none"
    return f"{loss:.4f} nats a token (perplexity {math.exp(min(loss, 700)):,.1f})"


def _curves(reports: Sequence[Report]) -> str:
    if not reports:
        return note(
            "Its checkpoint tells no evaluation; with --log FILE they are read from a training log."
        )
    series = [
        Series("validation", [(each.step, each.val_loss) for each in reports]),
        Series(
            "training",
            [(each.step, each.train_loss) for each in reports if each.train_loss is not None],
        ),
    ]
    rows = [["step", "training", "validation", "learning rate", "tokens", "seconds", "best so far"]]
    for each in _thinned(reports, _EVALUATIONS):
        train = "–" if each.train_loss is None else f"{each.train_loss:.4f}"
        rows.append(
            [
                f"{each.step:,}",
                train,
                f"{each.val_loss:.4f}",
                f"{each.lr:.2e}",
                f"{each.tokens:,}",
                f"{each.seconds:,.1f}",
                "yes" if each.is_best else "",
            ]
        )
    chart = line_chart(series, "Loss", "step", "nats a token; the best is marked")
    return chart + folded("As a table", table(rows, "Evaluations"))


def _thinned(items: Sequence[T], most: int) -> list[T]:
    """At most so many as a table has room for, the first and the last among them."""
    apart = max(1, math.ceil((len(items) - 1) / (most - 1)))
    return [*items[:-1:apart], *items[-1:]]


def _samples(checkpoint: Checkpoint) -> str:
    return sample_table(checkpoint.history.samples) or note(
        "None were kept: a model that reads scores in context needs its provider to write. "
        "llmattn sample has the trained one write."
    )


def sample_table(samples: Sequence[tuple[int, str]]) -> str:
    """What a model wrote, by step."""
    rows = [["step", "from the start of a line on"]]
    rows += [[f"{step:,}", text] for step, text in _thinned(samples, _SAMPLES)]
    return table(rows, "Lines that the model wrote, one at an evaluation", text_columns=2)


def data(path: str, digest: str, parts: Sequence[Part]) -> str:
    """The text and what is known of it."""
    rows = [["part", "lines", "tokens to predict", "unknown"]]
    rows += [
        [part.name, f"{part.lines:,}", f"{part.tokens:,}", f"{part.unknown_share:.1%}"]
        for part in parts
    ]
    return facts([("File", path), ("SHA-256", digest)]) + table(rows, "Its parts")


def cost(spent: Sequence[Spent]) -> str:
    """What was asked of providers."""
    if not spent:
        return ""
    rows = [["asked now", "requests", "tokens", "dollars"]]
    rows += [
        [
            each.provider,
            f"{each.requests:,}",
            f"{each.tokens:,}",
            f"${each.dollars:.4f}" if each.priced else "not known",
        ]
        for each in spent
    ]
    return table(rows, "What was asked for; scores from the cache cost nothing again")


def _scores(checkpoint: Checkpoint) -> str:
    if not checkpoint.scored:
        return note("Its attention reads no scores.")
    rows = [["provider", "scope", "channels", "namespace", "settings"]]
    rows += [_scored_row(each) for each in checkpoint.scored]
    return facts([("Scored of the attention", f"{checkpoint.coverage:.1%}")]) + table(
        rows, "Where the scores came from", text_columns=5
    )


def _scored_row(scored: Scored) -> list[str]:
    identity = scored.identity
    few = ", ".join(identity.channels[:8])
    more = len(identity.channels) - 8
    details = "; ".join(f"{name} {value}" for name, value in identity.details)
    return [
        identity.provider,
        identity.scope.value,
        few + (f" and {more} more" if more > 0 else ""),
        identity.namespace,
        details if len(details) <= 300 else f"{details[:299]}…",
    ]


def _settings(checkpoint: Checkpoint) -> str:
    model = {**attrs.asdict(checkpoint.model_config), "channels": ""}
    del model["channels"]
    versions = checkpoint.history.versions
    return "".join(
        [
            facts((name, str(value)) for name, value in model.items()),
            folded(
                "Of the training",
                facts((n, str(v)) for n, v in attrs.asdict(checkpoint.train_config).items()),
            ),
            folded("Versions", facts(versions.items())) if versions else "",
        ]
    )


def _command(path: Path, checkpoint: Checkpoint) -> str:
    command = checkpoint.history.command
    if not command:
        return note(f"{path.name} does not tell which command made it.")
    return code(command) + note("It makes the same model again where text and scores are the same.")
