"""What a chat model is asked to rate: each criterion gives one channel of scores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen, validators

from llmattn.errors import CorpusError
from llmattn.paths import user_path
from llmattn.reading.files import read_text
from llmattn.rows import Scope

__all__ = ["BUILT_IN", "Criterion", "read_criteria"]

_NAME = r"[A-Za-z][A-Za-z0-9_]{0,31}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


@frozen
class Criterion:
    """A name (a channel's, and a property of the reply) and what a model is told to rate."""

    name: str = field(validator=validators.matches_re(_NAME))
    wording: str = field(converter=_one_line)


BUILT_IN = {
    criterion.name: criterion
    for criterion in (
        Criterion(
            "relevance",
            "how much a reader who meets the query needs the key, read earlier in the same "
            "text, to understand the query or to foresee what follows",
        ),
        Criterion(
            "syntax",
            "how often the two words stand in a grammatical relation, as verb and subject or "
            "object, noun and article or adjective, preposition and noun",
        ),
        Criterion(
            "meaning",
            "how close the two words are in meaning: synonyms, opposites, kinds and parts of "
            "the same thing, a thing and what it does",
        ),
        Criterion("topic", "how often texts about one subject hold both words"),
    )
}
"""The criteria that need no wording from the user."""

_IN_CONTEXT = {
    criterion.name: criterion
    for criterion in (
        Criterion("relevance", "how much the word helps to foresee which word comes next"),
        Criterion(
            "syntax",
            "how much the word decides, by grammar, what kind of word can come next: an open "
            "bracket or quote, a verb that lacks its object, an article, the subject of a clause",
        ),
        Criterion(
            "meaning",
            "how close the word is in meaning to what the end of the text speaks of",
        ),
        Criterion("topic", "how much the word says about the subject of the text at its end"),
    )
}
"""The same names, for the words of a text that goes on."""


def read_criteria(text: str, scope: Scope = Scope.PAIR) -> tuple[Criterion, ...]:
    """Criteria from a setting: names of built-in ones separated by commas, or a file's path.

    What a built-in one says depends on ``scope``: pairs of words, or words of a text.

    The file has one criterion a line, ``name: wording``; empty lines and lines that start
    with ``#`` are skipped, and a built-in name may stand without wording. Raises ValueError.
    """
    built_in = BUILT_IN if scope is Scope.PAIR else _IN_CONTEXT
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names and all(name in built_in for name in names):
        found = [built_in[name] for name in names]
    else:
        path = user_path(text)
        if not os.path.exists(path):  # unlike Path.exists, never an error
            raise ValueError(
                f"criteria {text!r} are neither among {', '.join(BUILT_IN)} nor a file with "
                "one 'name: wording' a line"
            )
        try:
            lines = read_text(path, "criteria file").split("\n")
        except CorpusError as error:
            raise ValueError(f"the criteria cannot be read. {error}") from None
        found = [
            _criterion(path, number, line, built_in)
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.lstrip().startswith("#")
        ]
    if not found:
        raise ValueError(f"the criteria {text!r} name nothing to rate")
    if len({criterion.name for criterion in found}) != len(found):
        raise ValueError(f"the criteria {text!r} name one thing twice")
    return tuple(found)


def _criterion(path: Path, number: int, line: str, built_in: Mapping[str, Criterion]) -> Criterion:
    name, _, wording = (part.strip() for part in line.partition(":"))
    if not wording and name in built_in:
        return built_in[name]
    if not wording:
        raise ValueError(f"{path}, line {number}: expected 'name: wording', found {line.strip()!r}")
    try:
        return Criterion(name, wording)
    except ValueError:
        raise ValueError(
            f"{path}, line {number}: {name!r} is no name (letters, digits and _, at most 32)"
        ) from None
