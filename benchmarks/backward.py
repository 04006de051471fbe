"""What a backward pass written by hand would gain over autograd: in attention, and in the head.

    python benchmarks/backward.py [--lengths 64 256 512] [--channels 1 30] [--threads 1 2]

Attention: from scores to the mixed values of 4 layers and to all gradients; d = 256, 4 heads, 16
texts, float32, with weights that all layers share and with weights of each layer's own. `autograd`
is what the model does; `by hand` is the gradient as formulae, from kept weights if they are shared
and from weights computed again if they are not. Head: from 6,152 words' logits to the loss and its
gradients; `by hand` is what the model does, `whole` autograd over all logits at once, `pieces`
autograd in as little memory as by hand, which takes the logits' product once more.

The sides take turns in one process. A time is the median over rounds, a ratio the median of the
other side's time by that of the side that the model has; each as wall time / processor time, since
on a busy machine only the latter means something.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from llmattn.model.attention import LLMAttention, attention_weights, mix_values, split_heads
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

    def autograd() -> None:
        mixed = []
        for layer in range(LAYERS):
            if layer == 0 or per_layer:
                given = module(scores, length, length, values[0], layer)
            (heads,) = split_heads(values[layer], config)
            mixed.append(mix_values(given, heads).flatten(2))
        torch.autograd.backward(mixed, upstream)

    def by_hand() -> None:
        tau, bias = module.tau, module.distance_bias
        if per_layer:
            mixed = [
                ByHand.apply(tau[layer], bias[layer], scores, False, values[layer])[0]  # type: ignore[no-untyped-call]
                for layer in range(LAYERS)
            ]
        else:
            mixed = ByHand.apply(tau, bias, scores, True, *values)  # type: ignore[no-untyped-call]
        torch.autograd.backward(mixed, upstream)

    return {"autograd": autograd, "by hand": by_hand}


class ByHand(torch.autograd.Function):
    """``softmax(tau S + b) @ V`` of layers that share tau and b, in blocks of rows.

    The gradient of the weights exists a piece at a time, summed over the layers.
    """

    @staticmethod
    def forward(
        ctx: Any, tau: Tensor, bias: Tensor, scores: Tensor, keep: bool, *values: Tensor
    ) -> tuple[Tensor, ...]:
        out = tuple(torch.empty_like(each) for each in values)
        kept = []
        for start, end in blocks(scores.shape[3]):
            given = scores[:, :, start:end, :end]
            weights = attention_weights(tau, bias, given, end - start, end)
            for layer in range(len(values)):
                for head, share in enumerate(shares()):
                    mixed = torch.bmm(weights[:, head], values[layer][:, :end, share])
                    out[layer][:, start:end, share] = mixed
            kept += [weights] if keep else []
        ctx.save_for_backward(tau, bias, scores, *values, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        tau, bias, scores, *others = ctx.saved_tensors
        values, kept = others[: len(grad)], others[len(grad) :]
        tau_grad, bias_grad = torch.zeros_like(tau), torch.zeros_like(bias)
        values_grad = [torch.zeros_like(each) for each in values]
        for number, (start, end) in enumerate(blocks(scores.shape[3])):
            given = scores[:, :, start:end, :end]
            rows = end - start
            weights = kept[number] if kept else attention_weights(tau, bias, given, rows, end)
            for layer in range(len(values)):
                for head, share in enumerate(shares()):
                    turned = weights[:, head].transpose(1, 2)
                    found = torch.bmm(turned, grad[layer][:, start:end, share])
                    values_grad[layer][:, :end, share] += found
            texts = max(1, (1 << 19) // given[0].numel())
            for first in range(0, TEXTS, texts):
                some = slice(first, first + texts)
                logits_grad = torch.empty_like(weights[some])
                for head, share in enumerate(shares()):
                    of_head = weights[some, head]
                    total = torch.zeros_like(of_head)
                    for layer in range(len(values)):
                        left = grad[layer][some, start:end, share]
                        right = values[layer][some, :end, share].transpose(1, 2)
                        total.baddbmm_(left, right)
                    total *= of_head
                    row_sums = total.sum(-1, keepdim=True)
                    torch.addcmul(total, of_head, row_sums, value=-1, out=logits_grad[:, head])
                piece = given[some].to(tau.dtype).flatten(2).transpose(1, 2)
                tau_grad += torch.bmm(logits_grad.flatten(2), piece).sum(0)
                # In a matrix this wide each diagonal is a column of another view.
                wide = end + rows - 1
                padded = logits_grad.new_zeros(HEADS, rows, wide)
                torch.sum(logits_grad, 0, out=padded[:, :, rows - 1 :])
                diagonals = padded.as_strided((HEADS, rows, end), (rows * wide, wide + 1, 1))
                bias_grad[:, :end] += diagonals.sum(1).flip(1)
        return tau_grad, bias_grad, None, None, *values_grad


def blocks(length: int) -> Iterator[tuple[int, int]]:
    step = max(128, -(-length // 4))
    for start in range(0, length, step):
        yield start, min(start + step, length)


def shares() -> list[slice]:
    return [slice(head * SHARE, (head + 1) * SHARE) for head in range(HEADS)]


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
