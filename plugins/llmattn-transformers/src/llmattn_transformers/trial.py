"""A model is tried on a few tokens before any score is made of it: its name is not believed."""

from __future__ import annotations

from inspect import signature

import torch
from llmattn.plugin import ProviderRejected
from torch import Tensor

from llmattn_transformers.first_line import first_line
from llmattn_transformers.teacher import Gap, Teacher

__all__ = ["check_causal", "check_going_on", "check_leaving_out"]

_TRIED = 8
"""Tokens of the text that is tried; what stands before its middle must not depend on the rest."""
_ROUNDING = 1e-3
"""How much it may, as a share of the largest value: sums of a batch may be rounded apart."""


@torch.inference_mode()
def check_causal(teacher: Teacher) -> None:
    """Raise ProviderRejected if the model lets a later token into what it makes of an earlier
    one, whatever its name says: two texts that end otherwise are read, side by side.
    """
    text, half = _text(teacher), _TRIED // 2
    ids = torch.stack([text, torch.cat([text[:half], text[half:].flip(0)])]).to(teacher.device)
    try:
        one, two = teacher.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    except Exception as error:
        raise _refused(teacher, "read a text alone", error) from error
    if not _same(one[:half], two[:half]):
        raise ProviderRejected(
            f"transformers: {teacher.weights.name} reads what comes after a word as well; its "
            "scores would give away the word to be foretold. Choose a causal language model, "
            "or --method embedding."
        )


@torch.inference_mode()
def check_going_on(teacher: Teacher) -> None:
    """Raise ProviderRejected if a text that is read in two parts is not what it is in one."""
    ids = _text(teacher)
    text, half = ids.tolist(), _TRIED // 2
    try:
        _, past = teacher.go_on(text[:half], None, logits_to_keep=1)
        output, _ = teacher.go_on(text, past, logits_to_keep=1)
        same = _same(teacher.logits(ids, 1), output.logits[0])
    except Exception as error:
        raise _refused(teacher, "go on with a text that it has read", error) from error
    if not same:
        raise _refused(teacher, "go on with a text that it has read")


@torch.inference_mode()
def check_leaving_out(teacher: Teacher) -> None:
    """Raise ProviderRejected if words cannot be left out as :meth:`Teacher.leave_out` does."""
    ids = _text(teacher)
    last = _TRIED - 1
    gaps = [Gap(1, 3, (last,)), Gap(3, 4, (last,)), Gap(last - 1, last, (last,))]
    try:
        _, whole = teacher.go_on(ids.tolist(), None, logits_to_keep=1)
        found = teacher.leave_out(whole, gaps)
        same = all(
            _same(_without(teacher, ids, gap), one) for gap, one in zip(gaps, found, strict=True)
        )
    except ProviderRejected:
        raise
    except Exception as error:
        raise _refused(teacher, "read a text without one of its words", error) from error
    if not same:
        raise _refused(teacher, "read a text without one of its words")


def _without(teacher: Teacher, ids: Tensor, gap: Gap) -> Tensor:
    """``(1, V)``: the last logits of a text of which the library itself hides the gap."""
    seen = torch.ones(1, len(ids), dtype=torch.long, device=teacher.device)
    seen[:, gap.start : gap.end] = 0
    options = {"attention_mask": seen}
    if "position_ids" in signature(teacher.model.forward).parameters:
        options["position_ids"] = torch.arange(len(ids), device=teacher.device)[None]
    read = ids[None].to(teacher.device)
    found: Tensor = teacher.model(input_ids=read, use_cache=False, **options).logits[0, -1:]
    return found


def _text(teacher: Teacher) -> Tensor:
    size: int = teacher.model.get_input_embeddings().num_embeddings
    return (size // 2 + torch.arange(_TRIED)) % size


def _same(one: Tensor, two: Tensor) -> bool:
    apart = (one - two).abs().max()
    return bool(apart <= _ROUNDING * one.abs().max())


def _refused(teacher: Teacher, what: str, error: Exception | None = None) -> ProviderRejected:
    reason = f": {first_line(error)}" if error else ""
    return ProviderRejected(
        f"transformers: {teacher.weights.name} cannot {what} ({type(teacher.model).__name__}"
        f"{reason}). Choose another --method (gradient or embedding), or a model whose layers all "
        "have attention."
    )
