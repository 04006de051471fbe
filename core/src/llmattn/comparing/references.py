"""What stands in a table beside the arms: an n-gram model, and the teachers themselves."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from llmattn.comparing.kneser_ney import fit
from llmattn.data.corpus import Corpus
from llmattn.errors import LlmattnError
from llmattn.notices import warn
from llmattn.providers.protocol import Forecast, Forecaster
from llmattn.scoring.source import ScoreSource
from llmattn.training.text_size import TextSize
from llmattn.untrusted import WRONG_DATA, build, read_json
from llmattn.writing import Kind, make_folder, written

__all__ = ["Reference", "n_gram", "teacher"]

_FORECAST = Kind("what a teacher foretells", None, in_folder=True)


@frozen
class Reference:
    """A model that is no arm, on the same test text.

    ``test_loss``: nats a token of the comparison's. ``same_tokens``: whether it foretells these
    very tokens, so that losses can be subtracted; a teacher foretells its own, which spell the
    text to the byte, and only ``bits_per_byte`` compare. ``parameters``: what it has learned, or
    counted. ``seconds``: to fit it, or to read the test text.
    """

    name: str
    about: str
    test_loss: float
    bits_per_byte: float
    parameters: int
    seconds: float
    same_tokens: bool
    seconds_a_token: float | None = None
    """What it costs to read one token of the comparison's."""


def n_gram(corpus: Corpus, size: TextSize) -> Reference:
    """An interpolated Kneser-Ney model, fitted now; ``size``: that of the test part."""
    assert corpus.test is not None
    began = time.monotonic()
    model = fit(corpus.train, corpus.val)
    seconds = time.monotonic() - began
    loss = model.loss(corpus.test)
    discounts = ", ".join(f"{d:.2f}" for d in model.discounts)
    return Reference(
        name=f"{model.order}-gram",
        about=f"interpolated Kneser-Ney, order {model.order}, discounts {discounts}",
        test_loss=loss,
        bits_per_byte=size.bits(loss),
        parameters=model.size,
        seconds=seconds,
        same_tokens=True,
    )


def teacher(source: ScoreSource, corpus: Corpus, size: TextSize, folder: Path) -> Reference | None:
    """What the source's own model makes of the test part; None for one that foretells nothing,
    or may not be asked. It reads the text once: ``folder`` keeps what came of it.
    """
    provider, test = source.provider, corpus.test
    if not (isinstance(provider, Forecaster) and source.local) or test is None:
        return None
    stretches = [
        "".join(test.written[start + 1 : end])
        for start, end in zip(test.offsets[:-1], test.offsets[1:], strict=True)
    ]
    try:
        found = _forecast(source, provider, stretches, folder)
    except LlmattnError as error:
        warn(f"What {provider.forecaster} makes of the text by itself is not known: {error}")
        return None
    return Reference(
        name=provider.forecaster,
        about="the teacher itself, which writes the text to the byte",
        test_loss=found.nats / size.tokens,
        bits_per_byte=size.model_bits(found.nats / size.tokens),
        parameters=found.parameters,
        seconds=found.seconds,
        same_tokens=False,
        seconds_a_token=found.seconds / size.tokens,
    )


def _forecast(
    source: ScoreSource, provider: Forecaster, stretches: Sequence[str], folder: Path
) -> Forecast:
    key = {
        "forecaster": provider.forecaster,
        "details": {k: v for k, v in source.identity.details if k not in ("channels", "method")},
        "text": hashlib.sha256("\0".join(stretches).encode("utf-8", "surrogatepass")).hexdigest(),
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    path = folder / f"{name}.json"
    if (kept := _kept(path, key)) is not None:
        return kept
    parts = [source.call(provider.forecast, text) for text in stretches]
    found = Forecast(
        nats=sum(part.nats for part in parts),
        tokens=sum(part.tokens for part in parts),
        parameters=parts[0].parameters,
        seconds=sum(part.seconds for part in parts),
    )
    make_folder(folder)
    with written(path, _FORECAST, "--out") as file:
        file.write(json.dumps({"key": key, "forecast": attrs.asdict(found)}).encode())
    return found


def _kept(path: Path, key: Mapping[str, Any]) -> Forecast | None:
    """What was foretold before; None if it is not there, or not whole."""
    try:
        data = read_json(path)
        if data["key"] != key:
            return None
        found = build(Forecast, data["forecast"])
    except (OSError, *WRONG_DATA):
        return None
    sane = found.nats >= 0 and found.tokens > 0 and found.parameters >= 0 and found.seconds >= 0
    return found if sane else None
