"""Providers' scores of a text, before any model reads them, on the same tokens for all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import attrs
import numpy as np

from llmattn.data.corpus import encode_lines
from llmattn.data.tokenizer import WordTokenizer, count_words
from llmattn.errors import ConfigError
from llmattn.plugins import load_plugins
from llmattn.reading.plain import plain_line
from llmattn.rows import Scope
from llmattn.scoring.find_provider import assign_options
from llmattn.scoring.opening import Text, open_sources
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource
from llmattn.scoring.text_matrix import pair_matrix, text_matrix
from llmattn.training.checkpoint import Checkpoint
from llmattn.view.heads import TextWeights
from llmattn.view.maps import Maps, Sheet

__all__ = ["choose_channels", "model_sheet", "split_choice", "text_scores"]


def text_scores(
    choice: ScoreChoice,
    text: str,
    *,
    corpus: Text | None = None,
    read: TextWeights | None = None,
    channels: Sequence[str] = (),
    most: int = 12,
) -> Sheet:
    """Ask the providers of ``choice`` for what the cache lacks of ``text``, taken as one line.

    If one of them scores in context, tokens are pieces of the text as written, after a line end,
    as in training; with ``read`` they are those that a model has read, cut as it has cut them.
    ``corpus``: training lines for providers that count in them. ``channels``, ``most``: see
    :func:`choose_channels`. Raises ConfigError for a text without a token, CorpusError for one
    with too long a word, and what ``open_sources`` and ``ScoreSource.scores`` raise.
    """
    with ExitStack() as stack:
        sources = [stack.enter_context(each) for each in open_sources(choice, text=corpus)]
        chosen = choose_channels([s.identity.channels for s in sources], channels, most=most)
        in_context = any(source.identity.scope is Scope.PREFIX for source in sources)
        tokens, *words = _placed(text, in_context) if read is None else _placed_as(read)
        return Sheet(
            [token or "" for token in tokens],
            [
                _maps(source, [token or "" for token in tokens], words, numbers)
                for source, numbers in zip(sources, chosen, strict=True)
            ],
        )


def _placed(text: str, in_context: bool) -> list[list[str | None]]:
    """Tokens, and their words as queries and keys."""
    text = plain_line(text, "The text")
    if not count_words([text], "words")[0]:
        raise ConfigError(f"The text {text!r} holds no token to look at.")
    tokenizer = WordTokenizer.train([text], preset="words")
    if not in_context:
        words: list[str | None] = [*tokenizer.words(text)]
        return [words, words, words]
    split = encode_lines([text], tokenizer)
    special = set(tokenizer.special_ids)
    ids = split.ids.tolist()[:-1]
    words = [
        None if n in special else word for n, word in zip(ids, tokenizer.decode(ids), strict=True)
    ]
    return [[*split.written[:-1]], words, words]


def _placed_as(read: TextWeights) -> list[list[str | None]]:
    return [[*read.tokens], read.queries, read.keys]


def _maps(
    source: ScoreSource,
    tokens: list[str],
    words: Sequence[Sequence[str | None]],
    chosen: Sequence[int],
) -> Maps:
    if source.identity.scope is Scope.PREFIX:
        scores = text_matrix(source, tokens)
    else:
        scores = pair_matrix(source, *words)
    names = tuple(source.identity.channels[channel] for channel in chosen)
    return Maps(source.name, "score", names, scores[list(chosen)])


def model_sheet(name: str, read: TextWeights) -> Sheet:
    """The weights of a model that is called ``name``: a map a head."""
    layers, heads, size, _ = read.weights.shape
    names = tuple(
        f"head {head + 1}" if layers == 1 else f"layer {layer + 1}, head {head + 1}"
        for layer, head in np.ndindex(layers, heads)
    )
    values = np.where(np.tri(size, dtype=bool), read.weights, np.float32(np.nan))
    return Sheet(read.tokens, [Maps(name, "weight", names, values.reshape(-1, size, size))])


def choose_channels(
    channels: Sequence[Sequence[str]], wanted: Sequence[str] = (), *, most: int = 12
) -> list[list[int]]:
    """For each provider's channels the numbers of those ``wanted``; where none of them is, of at
    most ``most`` from the first to the last.

    Raises ConfigError for a name that no provider has.
    """
    known = dict.fromkeys(name for each in channels for name in each)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ConfigError(f"There is no channel {unknown[0]!r}; choose among: {', '.join(known)}.")
    return [
        [each.index(name) for name in wanted if name in each] or _spread(len(each), most)
        for each in channels
    ]


def _spread(count: int, most: int) -> list[int]:
    few = min(most, count)
    return [round(place) for place in np.linspace(0, count - 1, few).tolist()]


def split_choice(
    choice: ScoreChoice, checkpoint: Checkpoint, names: Sequence[str]
) -> tuple[ScoreChoice, ScoreChoice]:
    """``choice`` for the providers of a checkpoint, and for those ``names`` beside it.

    Raises ConfigError for a setting that none of them would read.
    """
    plugins = load_plugins()
    own = [scored.identity.provider for scored in checkpoint.scored]
    installed = [name for name in own if name in plugins.providers.names()]
    registered = [plugins.provider(name) for name in dict.fromkeys((*names, *installed))]
    settings = assign_options(choice.settings, registered, [*own, choice.cache])

    def only(owners: Sequence[str]) -> ScoreChoice:
        kept = {k: v for k, v in settings.items() if k.rpartition(".")[0] in owners}
        return attrs.evolve(choice.with_settings(kept), providers=tuple(names))

    return only([*own, choice.cache]), only([*names, choice.cache])
