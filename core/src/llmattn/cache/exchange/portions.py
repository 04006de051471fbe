"""What travels: a namespace with its rows; and how every form of file describes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from logging import WARNING
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from llmattn.identity import Identity
from llmattn.notices import notify
from llmattn.rows import Row, Scores
from llmattn.untrusted import build
from llmattn.usage import Usage

__all__ = ["HEAD", "Portion", "check_head", "describe_portion", "make_row", "read_description"]

_FORMAT = "llmattn-scores"
_VERSION = 1
_DIGEST = "digest"
HEAD = {"format": _FORMAT, "version": _VERSION, _DIGEST: "sha256"}
"""What a file begins with. The digest is announced, so that no file is taken for whole that has
lost its end.
"""


@frozen
class Portion:
    """One namespace on its way: what it is, what it has cost, and its rows."""

    identity: Identity
    usage: Usage
    rows: Iterator[tuple[Row, Scores]]


def describe_portion(portion: Portion) -> dict[str, Any]:
    """A namespace as JSON data, without its rows."""
    return {
        "namespace": portion.identity.namespace,
        "identity": portion.identity.to_dict(),
        "usage": asdict(portion.usage),
    }


def read_description(data: Mapping[str, Any]) -> tuple[Identity, Usage]:
    """What :func:`describe_portion` described.

    Raises KeyError, TypeError or ValueError if it is not that.
    """
    identity = Identity.from_dict(data["identity"])
    if identity.namespace != data["namespace"]:
        raise ValueError(f"namespace {data['namespace']} does not belong to its identity")
    usage = build(Usage, data["usage"])
    if min(asdict(usage).values()) < 0:
        raise ValueError("the usage is less than nothing")
    return identity, usage


def check_head(path: Path, data: object, *, digested: bool) -> None:
    """Raise ValueError unless ``data`` is the head of a score file of a known version; and if it
    announces a digest, which was not there. A file that has none, from elsewhere, is named.
    """
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise ValueError("it is not a score file of llmattn")
    if data.get("version") != _VERSION:
        raise ValueError(
            f"its version is {data.get('version')}, and this llmattn reads {_VERSION}: upgrade "
            "llmattn-core"
        )
    if not digested:
        if _DIGEST in data:
            raise ValueError("it was cut short or damaged: the digest that it should have is lost")
        notify(f"{path} has no digest: it is taken, but damage in it would not be seen.", WARNING)


def make_row(
    query: object, keys: object, context: object, scores: NDArray[np.floating[Any]]
) -> tuple[Row, Scores]:
    """A row from what a file says, with scores ``(C, n)``; raises ValueError if it is none."""
    if not isinstance(query, str) or not isinstance(keys, list) or not isinstance(context, list):
        raise ValueError("a row needs a query, a list of keys and a list as context")
    if not all(isinstance(word, str) for word in (*keys, *context)):
        raise ValueError(f"the words of the row of {query!r} are not all strings")
    row = Row(query, tuple(keys), tuple(context))
    if scores.ndim != 2 or scores.shape[1] != len(keys):
        raise ValueError(f"the row of {query!r} has {len(keys)} keys, but not as many scores")
    outside = (scores < 0) | (scores > 1)
    if outside.any():
        raise ValueError(f"the row of {query!r} has the score {scores[outside][0]}, not in [0, 1]")
    return row, scores.astype(np.float32)
