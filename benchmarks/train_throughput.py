"""Training steps of external attention beside the engine's own `learned` block (SDPA).

    python benchmarks/train_throughput.py CORPUS [--lengths 128 256 512] [--rounds 9]

A step: from the corpus's ids to the gradients, lookup of scores included; d = 256, 4 layers, 4
heads, the 6,152 most frequent words, 16 texts, float32. The sides take turns in one process; a
ratio is the median over rounds of the other side's time by the side's own. `matched` has as many
parameters as `learned`; `held` no longer learns tau and the distance bias. `learned, whole logits`
finds its loss as nanoGPT's model.py does, from all logits at once: its operations are nanoGPT's.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from llmattn.data.batches import BatchOrder, collate
from llmattn.data.config import TextConfig
from llmattn.data.corpus import Split, load_corpus
from llmattn.feeds.feed import NoScores, ScoreFeed, TableFeed
from llmattn.feeds.table import KnownPairs, ScoreTable
from llmattn.model.attn_gpt import AttnGPT, match_parameters
from llmattn.model.config import ModelConfig
from llmattn.training.heap import keep_heap

WORDS = 6152
TEXTS = 16
WHOLE = "learned, whole logits"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time, for a busy machine"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_heap()
    clock = time.process_time if options.cpu_time else time.perf_counter
    split = train_split(options.corpus)
    table = TableFeed(random_table())
    print(
        f"{'T':>4}  {'side':<22} {'parameters':>10} {'ms a step':>9} {'tokens/s':>8} {'ratio':>6}"
    )
    for length in options.lengths:
        sides = [
            Side(name, model, split, NoScores() if "learned" in name else table)
            for name, model in models(length, options.dropout).items()
        ]
        for side in sides:
            side.step(0)
        for index in range(1, options.rounds + 1):
            for side in sides:
                before = clock()
                side.step(index)
                side.seconds.append(clock() - before)
        for side in sides:
            report(length, side, sides[:2])


class Side:
    """One model with what it needs for a step."""

    def __init__(self, name: str, model: AttnGPT, split: Split, feed: ScoreFeed) -> None:
        self.name, self.model, self.split, self.feed = name, model, split, feed
        self.pieces = split.pieces(model.config.block_size)
        self.order = BatchOrder(self.pieces, batch_size=TEXTS, seed=0)
        self.seconds: list[float] = []

    def step(self, index: int) -> None:
        batch = collate(self.split, self.pieces, self.order.batch(index), pad_id=1)
        self.model.zero_grad(set_to_none=True)
        if self.name == WHOLE:
            logits, _ = self.model(batch.ids)
            loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        else:
            _, loss = self.model(batch.ids, self.feed.scores(batch), batch.targets)
        torch.autograd.backward(loss)


def models(length: int, dropout: float, channels: int = 1) -> dict[str, AttnGPT]:
    names = [f"channel {number}" for number in range(channels)]
    learned = ModelConfig(WORDS, length, 4, 4, 256, dropout, "learned", channels=names)
    external = attrs.evolve(learned, attention="external")
    matched = match_parameters(external, learned)
    found = {
        "learned": AttnGPT(learned),
        WHOLE: AttnGPT(learned),
        "external": AttnGPT(external),
        "external held": AttnGPT(external),
        "external matched": AttnGPT(matched),
        "external per layer": AttnGPT(attrs.evolve(external, per_layer=True)),
        "external matched held": AttnGPT(matched),
    }
    for name, model in found.items():
        model.attention.requires_grad_("held" not in name)
    return found


def train_split(corpus: Path) -> Split:
    """The training part as one stream; rarer words than the first WORDS are unknown."""
    split = load_corpus(corpus, TextConfig(stream=True)).train
    return attrs.evolve(split, ids=np.where(split.ids < WORDS, split.ids, 0))


def random_table() -> ScoreTable:
    random = np.random.default_rng(0)
    codes = np.unique(random.integers(0, WORDS**2, 1_000_000))
    scores = random.random((1, len(codes))).astype(np.float16)
    known = KnownPairs.of(*np.divmod(codes, WORDS), scores)
    return ScoreTable(known, vocab_size=WORDS, channels=["score"], absent=[None])


def report(length: int, side: Side, others: list[Side]) -> None:
    seconds = statistics.median(side.seconds)
    ratios = [
        statistics.median(a / b for a, b in zip(other.seconds, side.seconds, strict=True))
        for other in others
    ]
    print(
        f"{length:>4}  {side.name:<22} {side.model.parameter_count():>10,} {seconds * 1e3:>9.0f} "
        f"{TEXTS * length / seconds:>8,.0f} {ratios[0]:>11.2f} {ratios[1]:>16.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
