"""What a text takes to write, beside a model's predictions of its tokens."""

from __future__ import annotations

import math

import numpy as np
from attrs import frozen

from llmattn.data.corpus import Split
from llmattn.training.text_forms import left_out_bits

__all__ = ["TextSize", "text_size"]

_BITS_TO_SPELL = 8
"""What a byte of a word outside the vocabulary costs: any text can be written at that price."""


@frozen
class TextSize:
    """The ``tokens`` of a text that are predicted.

    ``size``: the bytes (UTF-8) that they stand for. ``unknown``: how many are <unk>, for words of
    ``unknown_size`` bytes. ``left_out_bits``: what the tokenizer leaves out, such as case and
    spaces (``llmattn.training.text_forms``).
    """

    tokens: int
    size: int
    unknown: int
    unknown_size: int
    left_out_bits: float

    def model_bits(self, loss: float) -> float:
        """Bits a byte that predictions of ``loss`` nats a token take: of tokens, which stand for
        words at no further cost, also <unk>, whatever the tokenizer leaves out.
        """
        return loss * self.tokens / math.log(2) / self.size

    def bits(self, loss: float) -> float:
        """Bits a byte that write the text to the byte: the same with each unknown word spelt out
        at 8 bits a byte, and with what the tokenizer leaves out.

        So neither a smaller vocabulary nor one without case has an advantage of its own: this
        figure, unlike the loss, compares tokenizers.
        """
        more = _BITS_TO_SPELL * self.unknown_size + self.left_out_bits
        return self.model_bits(loss) + more / self.size


def text_size(split: Split) -> TextSize:
    """The size of what a model predicts of ``split``."""
    predicted = np.ones(len(split.ids), np.bool_)
    predicted[split.offsets[:-1]] = False  # the mark at the start of a stretch
    written = split.written
    places = np.flatnonzero(predicted)
    unknown = places[split.ids[places] == split.tokenizer.unk_id]
    return TextSize(
        tokens=len(places),
        size=sum(len(written[place].encode("utf-8", "surrogatepass")) for place in places),
        unknown=len(unknown),
        unknown_size=sum(len(written[p].strip().encode("utf-8", "surrogatepass")) for p in unknown),
        left_out_bits=left_out_bits(split),
    )
