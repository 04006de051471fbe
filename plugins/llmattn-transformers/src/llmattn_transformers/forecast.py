"""How well the model itself foretells a text: what a model that learns from it is held against."""

from __future__ import annotations

import time

import torch
from llmattn.plugin import Forecast
from torch.nn import functional as F

from llmattn_transformers.pieces import PieceEncoder
from llmattn_transformers.teacher import Teacher

__all__ = ["forecast"]

_WINDOW = 1024
"""Tokens that are read at once; each is foretold after at least half as many, if there are."""


@torch.inference_mode()
def forecast(teacher: Teacher, encoder: PieceEncoder, text: str) -> Forecast:
    """What the model makes of ``text``, whose tokens are the tokenizer's own, not those of words
    one by one: the best that it can do.
    """
    ids = encoder.whole(text)
    window = min(_WINDOW, teacher.most)
    nats, seconds, done = 0.0, 0.0, 0
    while done < len(ids):
        # The start token, then what was foretold before, then what is new.
        first = max(0, done - window // 2)
        end = min(len(ids), first + window - 1)
        read = torch.tensor([encoder.start, *ids[first : end - 1]], device=teacher.device)
        began = time.monotonic()
        logits = teacher.logits(read, end - done)
        targets = torch.tensor(ids[done:end], device=teacher.device)
        nats += float(F.cross_entropy(logits.float(), targets, reduction="sum"))
        seconds += time.monotonic() - began
        done = end
    parameters = sum(weight.numel() for weight in teacher.model.parameters())
    return Forecast(nats=nats, tokens=len(ids), parameters=parameters, seconds=seconds)
