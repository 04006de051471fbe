"""Sampling with external attention beside the `learned` block, which caches keys and values.

    python benchmarks/sample_throughput.py [--texts 1 16 64] [--tokens 256]

d = 256, 4 layers, 4 heads, 6,152 words, a window of 512 tokens, float32, scores looked up for each
new row. The sides take turns token by token on the same words; `whole` runs the external model
over the whole text for each token, as nanoGPT's sample.py does. A time is the median over tokens,
a ratio the side's time by that of `external`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import attrs
import numpy as np
import torch
from llmattn.feeds.growing import NoRows
from llmattn.feeds.table import KnownPairs, ScoreTable
from llmattn.model.attn_gpt import AttnGPT
from llmattn.model.config import ModelConfig
from llmattn.sampling.generate import Decoder
from torch import Tensor

WORDS, WINDOW = 6152, 512
WHOLE_EVERY = 16  # a whole pass takes long


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--prompt", type=int, default=128, help="tokens before the first sample")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="processor time, on a busy machine")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    learned = ModelConfig(WORDS, WINDOW, 4, 4, 256, 0.0, "learned", channels=("score",))
    external = AttnGPT(attrs.evolve(learned, attention="external")).eval()
    table = random_table()
    print(f"{'texts':>5}  {'side':<9} {'ms a token':>10} {'tokens/s':>8} {'ratio':>6}")
    for texts in options.texts:
        torch.manual_seed(0)
        prompt = torch.randint(2, WORDS, (texts, options.prompt))
        sides: dict[str, Callable[[Tensor], Tensor]] = {
            "external": Decoder(external, TableRows(table)).push,
            "learned": Decoder(AttnGPT(learned).eval(), NoRows()).push,
            "whole": Whole(external, table).push,
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for push in sides.values():
            push(prompt)
        for index in range(options.tokens):
            new = torch.randint(2, WORDS, (texts, 1))
            for name, push in sides.items():
                if name == "whole" and index % WHOLE_EVERY:
                    continue
                before = clock()
                push(new)
                seconds[name].append(clock() - before)
        medians = {name: statistics.median(taken) for name, taken in seconds.items()}
        for name, taken in medians.items():
            print(
                f"{texts:>5}  {name:<9} {taken * 1e3:>10.2f} {texts / taken:>8,.0f} "
                f"{taken / medians['external']:>6.2f}",
                flush=True,
            )


@attrs.frozen
class TableRows:
    """Scores from a table, as a checkpoint's sampler reads them."""

    table: ScoreTable

    def rows(self, text: Tensor, last: int, start: int = 0) -> Tensor:
        return self.table.gather(text[:, start:], last)


class Whole:
    """A full forward pass a token, over as many tokens as the others have by then."""

    def __init__(self, model: AttnGPT, table: ScoreTable) -> None:
        self.model, self.table = model, table
        self.ids = torch.zeros((1, 0), dtype=torch.int64)

    @torch.no_grad()
    def push(self, new: Tensor) -> Tensor:
        new = new.expand(-1, WHOLE_EVERY if self.ids.shape[1] else -1)
        self.ids = torch.cat([self.ids.expand(len(new), -1), new], dim=1)[:, -WINDOW:]
        hidden = self.model.hidden(self.ids, self.table.gather(self.ids))
        return self.model.logits(hidden[:, -1])


def random_table() -> ScoreTable:
    random = np.random.default_rng(0)
    codes = np.unique(random.integers(0, WORDS**2, 1_000_000))
    known = KnownPairs.of(*np.divmod(codes, WORDS), random.random((1, len(codes))).astype("f2"))
    return ScoreTable(known, vocab_size=WORDS, channels=["score"], absent=[None])


if __name__ == "__main__":
    main()
