"""Scores in context while sampling: one new row a token, from providers that see the text."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from attrs import define, field
from torch import Tensor

from llmattn.data.packed_fill import Reading
from llmattn.data.text_tokenizer import TextTokenizer
from llmattn.data.texts import window_rows
from llmattn.data.transform import transformed
from llmattn.errors import BadReply, ConfigError, LlmattnError
from llmattn.rows import Row, Scope, Scores
from llmattn.scoring.source import ScoreSource
from llmattn.training.checkpoint import Checkpoint, Scored
from llmattn.training.choice import ScoreChoice
from llmattn.training.reopen import reopen_source
from llmattn.training.scores import reading_of

__all__ = ["TextRows", "open_text_rows", "written_window"]

_ENDS_SENTENCE = frozenset(".!?")


@define
class TextRows:
    """Rows from a provider of PREFIX scope, which sees the window's text and nothing else.

    What it gives depends on the window alone: while the window grows, a token costs one row;
    when it has been cut to its newer half, each of its rows has a new beginning and is asked
    for once more, in one request. Without ``ask`` only the cache is read. A row that is not
    known says nothing: its scores are all 0.
    """

    source: ScoreSource
    reading: Reading
    tokenizer: TextTokenizer
    ask: bool = True
    read: int = field(default=0, init=False)
    """Positions read so far."""
    filled: int = field(default=0, init=False)
    """How many of them no provider has scored."""

    def rows(self, ids: Tensor, last: int) -> Tensor:
        """``ids``: ``(B, T)``. Returns float16 ``(B, C, last, T)``."""
        batch, length = ids.shape
        first = length - last
        found: list[Row] = []
        for window in ids.tolist():
            written = written_window(self.tokenizer, window)
            found += window_rows(written, 0, length, first=first)
        scores = iter(self._scores(found))
        shape = batch, len(self.source.identity.channels), last, length
        answer = np.zeros(shape, np.float32)
        for text in answer:
            for row in range(first, length):
                # The first token has none but itself to attend to.
                text[:, row - first, : row + 1] = next(scores) if row else 1
        return torch.from_numpy(answer).to(ids.device, torch.float16)

    def _scores(self, rows: Sequence[Row]) -> list[Scores]:
        """One array ``(C, len(row.keys))`` a row, as the model reads them."""
        source = self.source
        if self.ask:
            try:
                found = source.scores(rows)
            except BadReply:  # what is still unknown is filled, and told; the sample goes on
                found = source.cache.get(source.identity, rows)
        else:
            found = source.cache.get(source.identity, rows)
        self.read += sum(len(row.keys) for row in rows)
        self.filled += sum(int(np.isnan(scores[0]).sum()) for scores in found)
        return [transformed(np.nan_to_num(scores), self.reading.transform) for scores in found]


def open_text_rows(checkpoint: Checkpoint, choice: ScoreChoice, *, ask: bool) -> list[TextRows]:
    """Rows from each of the checkpoint's providers of PREFIX scope; the caller closes them.

    Local providers are always asked, since that costs nothing, and what they say is not kept;
    of others the cache is read, and they are asked only if ``ask``. Raises ConfigError if one
    cannot be opened, or would not give the scores that the checkpoint was trained on.
    """
    choice = attrs.evolve(choice, scoring=attrs.evolve(choice.scoring, quiet=True))
    opened: list[TextRows] = []
    try:
        for scored in checkpoint.scored:
            if scored.identity.scope is not Scope.PREFIX:
                continue
            own = attrs.evolve(choice, cache="memory") if scored.local else choice
            source = _open(scored, own)
            reading = reading_of(source, transform=scored.transform)
            opened.append(TextRows(source, reading, checkpoint.tokenizer, ask=ask or scored.local))
    except BaseException:
        for rows in opened:
            rows.source.close()
        raise
    return opened


def _open(scored: Scored, choice: ScoreChoice) -> ScoreSource:
    try:
        return reopen_source(scored, choice)
    except LlmattnError as error:
        raise ConfigError(
            f"This checkpoint's model reads scores in context, so it needs the provider "
            f"{scored.identity.provider!r} to go on with a text. {error}"
        ) from None


def written_window(tokenizer: TextTokenizer, ids: Sequence[int]) -> list[str]:
    """The tokens of a window as pieces of a text that a person would write.

    A piece depends on the tokens up to it alone. Words of a tokenizer that lowers them begin
    with a capital where a sentence begins.
    """
    pieces: list[str] = []
    line = tokenizer.line("")
    opens = True
    for place, token in enumerate(ids):
        if token == tokenizer.eol_id:
            piece, line, opens = f"{line.rest()}\n", tokenizer.line(""), True
        else:
            piece = line.add(token)
            if tokenizer.tokens_are_words:
                if place == 0 and piece[:1].isalnum():
                    piece = f" {piece}"  # the window begins inside a line
                elif piece.strip() == "i" or (opens and piece.strip()[:1].isalpha()):
                    piece = _capital(piece)
                opens = piece[-1:] in _ENDS_SENTENCE or (opens and not piece.strip().isalnum())
        pieces.append(piece)
    return pieces


def _capital(piece: str) -> str:
    """``piece`` with its first letter, after white space, as a capital."""
    start = len(piece) - len(piece.lstrip())
    return piece[:start] + piece[start : start + 1].upper() + piece[start + 1 :]
