"""What a backward pass written by hand would gain over autograd: in attention, and in the head.

    python benchmarks/backward.py [--lengths 64 256 512] [--channels 1 30] [--threads 1 2]

Attention: from scores to the mixed values of 4 layers and to all gradients; d = 256, 4 heads, 16
texts, float32, with weights that all layers share and with weights of each layer's own. `by hand`
is what the model does; `autograd` the same formula, layer by layer. Head: from 6,152 words' logits
to the loss and its gradients; `by hand` is what the model does, `whole` autograd over all logits at
once, `pieces` autograd in as little memory as by hand, which takes the logits' product once more.

The sides take turns in one process. A time is the median over rounds, a ratio the median of the
other side's time by that of the side that the model has; each as wall time / processor time, since
on a busy machine only the latter means something.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping

import torch
import torch.nn.functional as F
from llmattn.model.attention import Given, LLMAttention, mix_values, row_blocks, split_heads
from llmattn.model.attn_gpt import head_loss
from llmattn.model.config import ModelConfig
from llmattn.training.heap import keep_heap
from torch import Tensor
from torch.utils.checkpoint import checkpoint

WORDS, TEXTS, LAYERS, HEADS, WIDTH = 6152, 16, 4, 4, 256
SHARE = WIDTH // HEADS
PIECE = 1 << 23  # logits held at once

Side = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 256, 512])
    parser.add_argument("--channels", type=int, nargs="+", default=[1, 30])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    keep_heap()
    print("threads    T  part                     side     wall ms / cpu ms     ratios")
    for threads in options.threads:
        torch.set_num_threads(threads)
        for length in options.lengths:
            for channels in options.channels:
                for per_layer in (False, True):
                    name = f"{channels} channels, {'per layer' if per_layer else 'shared'}"
                    sides = attention_sides(length, channels, per_layer)
                    report(f"{threads:>7} {length:>4}  {name:<24}", sides, options.rounds)
            report(f"{threads:>7} {length:>4}  {'head':<24}", head_sides(length), options.rounds)


def report(where: str, sides: Mapping[str, Side], rounds: int) -> None:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for side in sides.values():  # the first time pays for memory
        side()
    for _ in range(rounds):
        for name, side in sides.items():
            before = time.perf_counter(), time.process_time()
            side()
            after = time.perf_counter(), time.process_time()
            taken[name].append((after[0] - before[0], after[1] - before[1]))
    first = next(iter(taken.values()))
    for name, times in taken.items():
        wall, cpu = (statistics.median(each) * 1e3 for each in zip(*times, strict=True))
        ratios = [
            statistics.median(b[clock] / a[clock] for a, b in zip(first, times, strict=True))
            for clock in (0, 1)
        ]
        print(
            f"{where}  {name:<8} {wall:>8.1f} / {cpu:>6.1f}  {ratios[0]:>9.2f} / {ratios[1]:.2f}",
            flush=True,
        )


def attention_sides(length: int, channels: int, per_layer: bool) -> dict[str, Side]:
    torch.manual_seed(0)
    names = [str(channel) for channel in range(channels)]
    config = ModelConfig(WORDS, length, LAYERS, HEADS, WIDTH, channels=names, per_layer=per_layer)
    module = LLMAttention(config)
    scores = torch.rand(TEXTS, channels, length, length).half()
    values = [torch.randn(TEXTS, length, WIDTH, requires_grad=True) for _ in range(LAYERS)]
    upstream = [torch.randn(TEXTS, length, WIDTH) for _ in range(LAYERS)]

    def mixed(given: Iterable[Given]) -> None:
        outs = []
        for layer, own in enumerate(given):
            (heads,) = split_heads(values[layer], config)
            outs.append(mix_values(own, heads).flatten(2))
        torch.autograd.backward(outs, upstream)

    def by_hand() -> None:
        mixed(module(scores, length, length, values[0]))

    def autograd() -> None:
        blocks = [
            (scores[:, :, start:end, :end], end - start, end)
            for start, end in row_blocks(0, length)
        ]
        mixed(
            [module.weights(*block, values[0], layer) for block in blocks]
            for layer in range(LAYERS)
        ) if per_layer else mixed(
            [[module.weights(*block, values[0]) for block in blocks]] * LAYERS
        )

    return {"by hand": by_hand, "autograd": autograd}


def head_sides(length: int) -> dict[str, Side]:
    torch.manual_seed(0)
    hidden = torch.randn(TEXTS * length, WIDTH, requires_grad=True)
    weight = (torch.randn(WORDS, WIDTH) / 16).requires_grad_()
    targets = torch.randint(0, WORDS, (len(hidden),))

    def piece(start: int, end: int) -> Tensor:
        logits = F.linear(hidden[start:end], weight)
        return F.cross_entropy(logits, targets[start:end], reduction="sum")

    def pieces() -> Tensor:
        total, step = torch.zeros(()), PIECE // WORDS
        for start in range(0, len(hidden), step):
            found = checkpoint(piece, start, start + step, use_reentrant=False)
            total = total + found
        return total / len(hidden)

    return {
        "by hand": lambda: head_loss(hidden, weight, targets).backward(),  # type: ignore[no-untyped-call]
        "whole": lambda: piece(0, len(hidden)).backward(),  # type: ignore[no-untyped-call]
        "pieces": lambda: pieces().backward(),  # type: ignore[no-untyped-call]
    }


if __name__ == "__main__":
    main()
