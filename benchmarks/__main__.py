"""All measurements of speed, one after the other, into docs/performance.md.

    python -m benchmarks CORPUS [--only NAME ...] [--quick] [--nanogpt model.py] [--out FILE]

Each is a command of its own, shown above what it printed. What stands in the file above the mark
stays. `--quick` shows that all commands work, and no more. `--nanogpt` names a copy of nanoGPT's
model.py to measure against; without one the engine's own block does nanoGPT's operations.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
MARK = "<!-- Made by `python -m benchmarks`: written anew from here on. -->\n"
RUNS = {
    "one channel": "train_throughput.py CORPUS",
    "thirty channels, narrow": "train_throughput.py CORPUS --lengths 256 --width 64 --layers 3 "
    "--channels 8 30",
    "thirty channels, wide": "train_throughput.py CORPUS --lengths 256 --channels 8 30",
    "memory": "memory.py --channels 1 30",
    "backward": "backward.py --lengths 256 --threads 1 2",
    "time to loss": "time_to_loss.py CORPUS",
    "time to loss in context": "time_to_loss.py CORPUS --in-context --block-size 256 --texts 4 "
    "--limit-words 25040 --min-count 1 --steps 400",
    "sampling": "sample_throughput.py",
    "teacher": "local_scoring.py CORPUS --words 20000",
    "table": "table.py",
    "startup": "startup.py CORPUS",
}
QUICK = {
    "train_throughput.py": "--rounds 1",
    "memory.py": "--lengths 64",
    "backward.py": "--rounds 1 --channels 1",
    "time_to_loss.py": "--quick",
    "sample_throughput.py": "--tokens 17",
    "local_scoring.py": "--words 256",
    "table.py": "--rounds 1",
    "startup.py": "--runs 1",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--nanogpt", type=Path)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "performance.md")
    options = parser.parse_args()
    told = options.out.read_text(encoding="utf-8").split(MARK)[0] if options.out.exists() else ""
    sections = [machine()]
    for name in options.only:
        print(name, flush=True)
        sections.append(measured(name, options))
        options.out.write_text(told + MARK + "\n".join(sections), encoding="utf-8")


def measured(name: str, options: argparse.Namespace) -> str:
    script, *given = RUNS[name].split()
    if options.quick:
        given += QUICK[script].split()
    if script == "train_throughput.py" and options.nanogpt:
        given += ["--nanogpt", str(options.nanogpt)]
    corpus = str(options.corpus)
    command = [sys.executable, str(HERE / script), *(corpus if g == "CORPUS" else g for g in given)]
    began, load = time.monotonic(), os.getloadavg()[0]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    said = done.stdout if done.returncode == 0 else f"{done.stdout}ended with {done.returncode}\n"
    shown = " ".join(["python", f"benchmarks/{script}", *given])
    return (
        f"## {name[0].upper()}{name[1:]}\n\n`{shown}`, {time.monotonic() - began:.0f} s; load "
        f"before it {load:.1f}\n\n```\n{said}```\n"
    )


def machine() -> str:
    """What the figures hold for."""
    packages = ("torch", "numpy", "transformers")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"{processor()}, {os.cpu_count()} processors, {platform.system()}; Python "
        f"{platform.python_version()}, {versions}; commit {commit or 'unknown'}; "
        f"{time.strftime('%Y-%m-%d')}.\n"
    )


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
