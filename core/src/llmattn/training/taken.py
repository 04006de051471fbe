"""What a model has taken of others in training, as its checkpoint tells it: shown, and no more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llmattn.feeds.channels import Scored
from llmattn.identity import Identity
from llmattn.model.config import ATTENTION

__all__ = ["checked_taken", "taken_words"]


def checked_taken(data: Any) -> dict[str, Any]:
    """What is said of other models: ``word_vectors`` (their identity, of how many words, and which
    control they are, if one) and ``imitated`` (the kind of attention, its weight in the loss, where
    its scores were from, and a digest of it). It is shown, and sets nothing. Raises LookupError,
    TypeError or ValueError.
    """
    found: dict[str, Any] = {}
    if not isinstance(data, dict) or data.keys() - {"word_vectors", "imitated"}:
        raise ValueError("what it says of other models is no table of ours")
    if vectors := data.get("word_vectors"):
        identity = Identity.from_dict(vectors["identity"])
        if type(vectors["words"]) is not int or vectors["words"] < 0:
            raise ValueError("its number of word vectors is none")
        control = _text(vectors["control"])
        found["word_vectors"] = {
            "identity": identity.to_dict(),
            "control": control,
            "words": vectors["words"],
        }
    if imitated := data.get("imitated"):
        weight = imitated["weight"]
        if type(weight) is not float or not 0 < weight < math.inf:
            raise ValueError("its weight of imitation is no number above 0")
        if imitated["attention"] not in ATTENTION:
            raise ValueError("it imitates a kind of attention that there is not")
        found["imitated"] = {
            "attention": imitated["attention"],
            "weight": weight,
            "scored": [Scored.from_dict(each).to_dict() for each in imitated["scored"]],
            "digest": _text(imitated["digest"]),
        }
    return found


def taken_words(taken: Mapping[str, Any]) -> list[str]:
    """The same in sentences; none for a model that has taken nothing."""
    told = []
    if vectors := taken.get("word_vectors"):
        control = f" ({vectors['control']}, a control)" if vectors["control"] else ""
        told.append(
            f"its words started from {vectors['words']:,} word vectors{control} of "
            f"{_source(vectors['identity'])}"
        )
    if imitated := taken.get("imitated"):
        sources = ", ".join(_source(each["identity"]) for each in imitated["scored"])
        scores = f" over scores of {sources}" if sources else ""
        told.append(
            f"it has learned to imitate {imitated['attention']} attention{scores} (weight "
            f"{imitated['weight']:g} in the loss)"
        )
    return told


def _source(identity: Mapping[str, Any]) -> str:
    model = identity["details"].get("model")
    return f"{identity['provider']} {model}" if model else str(identity["provider"])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("what it says of other models is no text")
    return value
