"""Training steps of external attention beside the engine's own `learned` block (SDPA).

    python benchmarks/train_throughput.py CORPUS [--lengths 128 256 512] [--channels 1] [--rounds 9]
        [--width 256] [--layers 4] [--nanogpt model.py]

A step: from the corpus's ids to the gradients, lookup of scores included; 4 heads, the 6,152 most
frequent words, 16 texts, float32. The sides take turns in one process; a ratio is the median over
rounds of the other side's time by the side's own: above 1 the side is faster. `matched` has as many
parameters as `learned`; `held` no longer learns tau and the distance bias. `learned, whole logits`
finds its loss as nanoGPT's model.py does, from all logits at once: its operations are nanoGPT's.
Of several channels the scores are read from a packed file, as those of words in context are.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from llmattn.data.batches import IGNORED, Batch, BatchOrder, collate
from llmattn.data.config import TextConfig
from llmattn.data.corpus import Split, load_corpus
from llmattn.feeds.feed import NoScores, PackedFeed, ScoreFeed, TableFeed
from llmattn.feeds.packed import write_packed
from llmattn.feeds.table import KnownPairs, ScoreTable
from llmattn.model.attn_gpt import AttnGPT, match_parameters
from llmattn.model.config import ModelConfig
from llmattn.training.heap import keep_heap

WORDS = 6152
TEXTS = 16
WINDOWS = 32  # with scores of several channels
WHOLE, NANOGPT = "learned, whole logits", "nanoGPT"
SEVERAL = ("learned", "learned+b", "external", "external per layer")  # with several channels
BESIDE = {NANOGPT: "nanoGPT", "learned": "learned", WHOLE: "whole", "learned+b": "learned+b"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--channels", type=int, nargs="+", default=[1])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--nanogpt", type=Path, help="nanoGPT's model.py, one side more")
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time, for a busy machine"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_heap()
    clock = time.process_time if options.cpu_time else time.perf_counter
    split = train_split(options.corpus)
    print(f"{'':41} {'':>9} {'':>8}   times as fast as")
    for length in options.lengths:
        with tempfile.TemporaryDirectory() as folder:
            sides = sides_of(length, split, options, Path(folder))
            for side in sides:
                side.step(0)
            for index in range(1, options.rounds + 1):
                for side in sides:
                    before = clock()
                    side.step(index)
                    side.seconds.append(clock() - before)
        others = [side for side in sides if side.name in BESIDE]
        names = "".join(f" {BESIDE[side.name]:>10}" for side in others)
        print(f"{'T':>4}  {'side':<24} {'parameters':>10} {'ms a step':>9} {'tokens/s':>8}{names}")
        for side in sides:
            report(length, side, others)


def sides_of(length: int, split: Split, options: argparse.Namespace, folder: Path) -> list[Side]:
    found: list[Side] = []
    pair_scores = options.channels == [1]
    for channels in options.channels:
        feed = TableFeed(random_table()) if pair_scores else random_maps(length, channels, folder)
        for name, model in models(
            length, options.dropout, channels, options.width, options.layers
        ).items():
            scored = "learned" not in name
            if not pair_scores and name not in SEVERAL:
                continue
            if scored or not found or found[0].channels == channels:
                shown = f"{name}, {channels}" if scored and not pair_scores else name
                found.append(Side(shown, model, split, feed if scored else NoScores(), channels))
    if options.nanogpt:
        other = nanogpt(options.nanogpt, length, options)
        found.insert(0, Side(NANOGPT, found[0].model, split, NoScores(), 0, other))
    return found


class Side:
    """One model with what it needs for a step."""

    def __init__(
        self,
        name: str,
        model: AttnGPT,
        split: Split,
        feed: ScoreFeed,
        channels: int,
        other: Callable[..., Any] | None = None,
    ) -> None:
        self.name, self.model, self.split, self.feed = name, model, split, feed
        self.channels, self.other = channels, other
        self.pieces = split.pieces(model.config.block_size)
        self.order = BatchOrder(self.pieces, batch_size=TEXTS, seed=0)
        self.seconds: list[float] = []

    def step(self, index: int) -> None:
        batch = collate(self.split, self.pieces, self.order.batch(index), pad_id=1)
        if self.other is not None:
            _, loss = self.other(batch.ids, batch.targets.where(batch.targets != IGNORED, -1))
        elif self.name == WHOLE:
            logits, _ = self.model(batch.ids)
            loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        else:
            _, loss = self.model(batch.ids, self.feed.scores(batch), batch.targets)
        torch.autograd.backward(loss)
        for parameter in self.parameters():
            parameter.grad = None

    def parameters(self) -> list[torch.nn.Parameter]:
        model: Any = self.model if self.other is None else self.other
        return list(model.parameters())


def models(
    length: int, dropout: float, channels: int = 1, width: int = 256, layers: int = 4
) -> dict[str, AttnGPT]:
    names = [f"channel {number}" for number in range(channels)]
    learned = ModelConfig(WORDS, length, layers, 4, width, dropout, "learned", channels=names)
    external = attrs.evolve(learned, attention="external")
    matched = match_parameters(external, learned)
    found = {
        "learned": AttnGPT(learned),
        "learned+b": AttnGPT(attrs.evolve(learned, distance_bias=True)),
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


def nanogpt(path: Path, length: int, options: argparse.Namespace) -> Callable[..., Any]:
    """The model of a copy of nanoGPT's model.py, of this shape."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    shape = module.GPTConfig(
        length, WORDS, options.layers, 4, options.width, options.dropout, bias=False
    )
    with contextlib.redirect_stdout(io.StringIO()):
        model: Callable[..., Any] = module.GPT(shape)
    return model


def random_maps(length: int, channels: int, folder: Path) -> ScoreFeed:
    """Scores of the first windows, in the form of those of words in context."""
    random = np.random.default_rng(0)
    names = tuple(f"channel {number}" for number in range(channels))
    packed = write_packed(
        folder / f"{channels}.tri",
        {},
        names,
        np.full(WINDOWS, length),
        "uint8",
        (random.random((channels, length * (length + 1) // 2), np.float32) for _ in range(WINDOWS)),
        lambda: 1.0,
    )
    return Repeated(PackedFeed(packed, names))


@attrs.frozen
class Repeated:
    """The scores of few windows for all of them."""

    few: PackedFeed

    @property
    def channels(self) -> tuple[str, ...]:
        return self.few.channels

    def scores(self, batch: Batch) -> torch.Tensor:
        return self.few.scores(attrs.evolve(batch, pieces=batch.pieces % WINDOWS))


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
    count = sum(parameter.numel() for parameter in side.parameters())
    print(
        f"{length:>4}  {side.name:<24} {count:>10,} {seconds * 1e3:>9.0f} "
        f"{TEXTS * length / seconds:>8,.0f}" + "".join(f" {ratio:>10.2f}" for ratio in ratios),
        flush=True,
    )


if __name__ == "__main__":
    main()
