"""A line that a model in training writes, to see how far it is: nobody is asked for a score."""

from __future__ import annotations

import numpy as np
import torch

from llmattn.data.text_tokenizer import TextTokenizer
from llmattn.errors import CheckpointError
from llmattn.feeds.growing import NoRows, TableRows
from llmattn.feeds.table import ScoreTable
from llmattn.model.attn_gpt import AttnGPT
from llmattn.sampling.generate import Decoder, generate
from llmattn.sampling.lines import GrowingLines
from llmattn.sampling.options import SampleOptions

__all__ = ["draw_line"]

_OPTIONS = SampleOptions(max_new=24)


def draw_line(
    model: AttnGPT, tokenizer: TextTokenizer, table: ScoreTable | None, *, seed: tuple[int, ...]
) -> str | None:
    """A line of up to 24 tokens; pairs that ``table`` lacks count as the mean of their row. Leaves
    the model and torch's random numbers as they were. None if the model's numbers are none.
    """
    mixed = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    random = torch.Generator().manual_seed(int(mixed >> 1))
    rows = TableRows(table, tokenizer) if table is not None else NoRows()
    grown = GrowingLines(tokenizer, "", _OPTIONS.lines)
    was_training = model.training
    model.eval()
    try:
        tokens = generate(
            Decoder(model, rows),
            [],
            _OPTIONS,
            [random],
            unk_id=tokenizer.unk_id,
            eol_id=tokenizer.eol_id,
        )
        text = grown.text() + "".join(grown.add(token) for (token,) in tokens)
        return text + grown.rest()
    except CheckpointError:
        return None
    finally:
        model.train(was_training)
