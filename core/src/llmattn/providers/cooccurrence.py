"""Offline provider: how much more often two words share a line of the user's corpus than chance."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmattn.errors import ConfigError
from llmattn.identity import Identity
from llmattn.providers.protocol import Limits, Reply
from llmattn.providers.settings import CooccurrenceSettings
from llmattn.rows import Row, Scope, Scores
from llmattn.settings import identity_details

__all__ = ["CooccurrenceProvider"]


class CooccurrenceProvider:
    """Normalised positive pointwise mutual information of "key stands before query".

    With N lines, of which n(q) hold the query, n(k) the key, and n(q, k) the key at most
    ``window`` tokens before the query, every count less one::

        pmi   = ln( n(q,k) N / (n(q) n(k)) )
        score = max(0, pmi) / -ln(n(q,k) / N)  *  n(q,k) / (n(q,k)+1)  *  m / (m+1)

    with m = min(n(q), n(k)). The division puts scores in [0, 1] (Bouma 2009); the last two
    factors discount rare pairs, for which mutual information is too high (Pantel and Lin
    2002). "Less one" leaves out the line that is being scored: it holds both words, so what
    remains is exactly the count over all other lines, and no line is scored by its own words.
    Of a stream the lines are the model's windows, so no window is scored by its own words.
    """

    scoring_revision = 1
    scope = Scope.PAIR
    channels = ("cooccurrence",)
    limits = Limits(
        pairs_per_request=1 << 18,
        rows_per_request=1 << 14,
        keys_per_row=1 << 18,
        requests_at_once=1,
    )
    local = True
    absent_score = 0.0

    def __init__(self, settings: CooccurrenceSettings) -> None:
        self._settings = settings
        self._text: str | None = None
        self._ids: dict[str, int] = {}
        self._pairs: NDArray[np.int64] = np.empty(0, np.int64)
        self._values: NDArray[np.float32] = np.empty(0, np.float32)

    def read_text(self, lines: Sequence[Sequence[str]]) -> None:
        """Count in the training lines, each a sequence of tokens."""
        digest = hashlib.sha256()
        for line in lines:
            digest.update(("\x1f".join(line) + "\n").encode())
        self._text = digest.hexdigest()
        ids = self._ids = {}
        flat = np.array([ids.setdefault(w, len(ids)) for line in lines for w in line], np.int64)
        line_of = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
        self._pairs, counts = _count_pairs(flat, line_of, len(ids), self._settings.window)
        holding = np.unique(flat * max(1, len(lines)) + line_of) // max(1, len(lines))
        per_word = np.bincount(holding, minlength=len(ids))
        self._values = _scores(self._pairs, counts, per_word, len(lines))

    def identity(self) -> Identity:
        if self._text is None:
            raise ConfigError("The provider 'cooccurrence' counts words in a text; give it one.")
        details = {**identity_details(self._settings), "text_sha256": self._text}
        return Identity("cooccurrence", self.scoring_revision, self.scope, self.channels, details)

    async def score(self, rows: Sequence[Row]) -> Reply:
        return Reply([self._row(row) for row in rows])

    async def aclose(self) -> None:
        """Nothing to give back."""

    def _row(self, row: Row) -> Scores:
        """Shape ``(1, len(row.keys))``; 0 for pairs and words that the text does not have."""
        n = len(self._ids)
        scores = np.zeros((1, len(row.keys)), np.float32)
        query = self._ids.get(row.query)
        if query is None or not len(self._pairs):
            return scores
        codes = np.array([query * n + self._ids.get(key, n * n) for key in row.keys], np.int64)
        at = np.searchsorted(self._pairs, codes).clip(max=len(self._pairs) - 1)
        scores[0] = np.where(self._pairs[at] == codes, self._values[at], 0)
        return scores


def _count_pairs(
    flat: NDArray[np.int64], line_of: NDArray[np.int64], n_words: int, window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted codes ``query * n_words + key`` and the number of lines that hold each pair."""
    n_lines = int(line_of[-1]) + 1 if len(line_of) else 1
    found = [np.empty(0, np.int64)]
    for distance in range(1, min(window, len(flat) - 1) + 1):
        same = line_of[distance:] == line_of[:-distance]
        if not same.any():
            break
        codes = flat[distance:][same] * n_words + flat[:-distance][same]
        found.append(codes * n_lines + line_of[distance:][same])
    distinct = np.unique(np.concatenate(found))
    return np.unique(distinct // n_lines, return_counts=True)


def _scores(
    pairs: NDArray[np.int64],
    counts: NDArray[np.int64],
    per_word: NDArray[np.int64],
    n_lines: int,
) -> NDArray[np.float32]:
    """The formula of the class, vectorised; 0 where a pair has no other line."""
    values = np.zeros(len(pairs), np.float32)
    kept = counts > 1
    n_qk, n = (counts[kept] - 1).astype(float), n_lines - 1
    query, key = np.divmod(pairs[kept], len(per_word))
    n_q, n_k = per_word[query] - 1.0, per_word[key] - 1.0
    pmi = np.log(n_qk * n / (n_q * n_k))
    surprise = -np.log(n_qk / n)
    # A pair in every line has surprise 0 and pmi 0: nothing to learn from it.
    normal = np.divide(pmi, surprise, out=np.zeros_like(pmi), where=surprise > 0)
    least = np.minimum(n_q, n_k)
    values[kept] = normal.clip(0, 1) * (n_qk / (n_qk + 1)) * (least / (least + 1))
    return values
