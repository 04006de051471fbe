"""A tokenizer's description in a file: words and merges as plain data, never a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmattn.errors import CheckpointDamaged

__all__ = ["read_merges", "read_words"]

MOST_TOKENS = 1 << 20


def read_words(data: Mapping[str, Any], name: str, first: Sequence[str]) -> tuple[str, ...]:
    """The words under ``name``, which begin with ``first``. Raises CheckpointDamaged."""
    words = data.get(name)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise CheckpointDamaged(f"The tokenizer's {name} is no list of words.")
    if words[: len(first)] != list(first):
        raise CheckpointDamaged(f"The tokenizer's {name} does not start with {', '.join(first)}.")
    _check_texts(words, name)
    if len(set(words)) != len(words) or "" in words:
        raise CheckpointDamaged(f"The tokenizer's {name} has a word twice, or an empty one.")
    return tuple(words)


def read_merges(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The pairs under ``merges``. Raises CheckpointDamaged."""
    merges = data.get("merges")
    if not isinstance(merges, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        for pair in merges
    ):
        raise CheckpointDamaged("The tokenizer's merges are no list of pairs of pieces.")
    _check_texts([part for pair in merges for part in pair], "merges")
    return [(one, other) for one, other in merges]


def _check_texts(texts: Sequence[str], name: str) -> None:
    if len(texts) > MOST_TOKENS:
        raise CheckpointDamaged(f"The tokenizer's {name} has more than {MOST_TOKENS:,} entries.")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise CheckpointDamaged(f"The tokenizer's {name} holds half a character.") from None
