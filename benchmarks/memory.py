"""Peak memory of training with external attention beside the `learned` block (SDPA).

    python benchmarks/memory.py [--lengths 128 256 512] [--channels 1 30] [--width 256]
        [--layers 4]

Three steps of the models of train_throughput.py in a fresh process each; printed is how far the
resident memory rises above what the process held with its model, its gradients and its scores
(Linux): a table of pairs, or, of several channels, a batch of float16 scores. The heap is left to
the system here, so that only what is needed at once counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from train_throughput import (  # type: ignore[import-not-found]  # it stands beside this file
    WORDS,
    models,
    random_table,
)

TEXTS = 16
SIDES = ("learned", "learned+b", "external", "external matched", "external per layer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels", type=int, nargs="+", default=[1])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        print(rise(options.one[0], int(options.one[1]), options))
        return
    print(f"{'T':>4} {'channels':>8}  {'side':<20} {'MB':>6} {'ratio':>6}")
    for length in options.lengths:
        for channels in options.channels:
            risen = {side: measured(side, length, channels, options) for side in SIDES}
            for side, size in risen.items():
                print(
                    f"{length:>4} {channels:>8}  {side:<20} {size:>6.0f} "
                    f"{size / risen['learned']:>6.2f}",
                    flush=True,
                )


def measured(side: str, length: int, channels: int, options: argparse.Namespace) -> float:
    given = [f"--threads={options.threads}", f"--channels={channels}"]
    given += [f"--width={options.width}", f"--layers={options.layers}"]
    command = [sys.executable, __file__, *given, "--one", side, str(length)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def rise(side: str, length: int, options: argparse.Namespace) -> float:
    """MB by which a side's steps raise the process's peak."""
    (channels,) = options.channels
    model = models(length, 0.0, channels, options.width, options.layers)[side]
    table = random_table()
    several = torch.rand(TEXTS, channels, length, length).half() if channels > 1 else None
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    before = memory("VmRSS")
    for _ in range(3):
        ids = torch.randint(0, WORDS, (TEXTS, length))
        scores = several if several is not None else table.gather(ids)
        _, loss = model(ids, None if side.startswith("learned") else scores, ids)
        loss.backward()
    return memory("VmHWM") - before


def memory(name: str) -> float:
    """MB of this process, as Linux counts it."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    main()
