"""``PYTHONPATH=tests python -m fuzz KIND... [--cases N] [--seed N] [--keep DIR]``."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

# Threads do not outlive a fork, and models here are too small for more than one.
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from llmattn.cli.main import main

from fuzz.kinds import KINDS, Kind
from fuzz.runner import Case, run_cases


def fuzz(name: str, cases: int, seed: int, only: int | None, jobs: int) -> bool:
    """Run the cases of one kind and print their counts; whether all ended well."""
    kind = KINDS[name]
    with tempfile.TemporaryDirectory(prefix="llmattn-fuzz-") as place:
        whole = Path(place) / "whole"
        whole.mkdir()
        os.environ.update(
            PATH=os.defpath,
            HOME=place,
            LLMATTN_CACHE_DIR=str(Path(place) / "cache"),
            COLUMNS="100",
            NO_COLOR="1",
        )
        kind.make(whole, _run)
        _import_what_is_needed(kind, Path(place), whole)
        numbers = range(cases) if only is None else [only]
        tally = run_cases(_cases(kind, Path(place), whole, seed, numbers), main, jobs)
    print(tally.table(f"{name}, seed {seed}"), flush=True)
    for outcome in tally.failures:
        print(f"  FAILED {outcome.case}: {outcome.kind}: {outcome.message[:300]}")
    return not tally.failures


def _run(folder: Path, *arguments: str) -> None:
    """Run ``llmattn`` in a process of its own; it must succeed."""
    case = Case("whole", lambda: None, arguments, folder)
    (outcome,) = run_cases([case], main).outcomes
    if outcome.kind != "success":
        raise SystemExit(f"{arguments}: {outcome}\n{(folder / 'stderr.txt').read_text()}")


def _import_what_is_needed(kind: Kind, place: Path, whole: Path) -> None:
    """Import here, once, what the commands import."""

    def told(arguments: list[str]) -> None:
        try:
            main(arguments)
        finally:
            Path("modules.txt").write_text("\n".join(sys.modules))

    for number, command in enumerate(kind.commands):
        folder = place / f"first{number}"
        shutil.copytree(whole, folder)
        kind.alter(folder, random.Random(number))
        run_cases([Case("first", lambda: None, command, folder)], told)
        for name in (folder / "modules.txt").read_text().splitlines():
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def _cases(
    kind: Kind, place: Path, whole: Path, seed: int, numbers: range | list[int]
) -> Iterator[Case]:
    for number in numbers:
        draw = random.Random(f"{seed} {number}")
        folder = place / f"case{number}"
        command = draw.choice(kind.commands)

        def prepare(folder: Path = folder, draw: random.Random = draw) -> None:
            shutil.copytree(whole, folder)
            kind.alter(folder, draw)

        clean = partial(shutil.rmtree, folder, ignore_errors=True)
        yield Case(f"{number} ({' '.join(command[:2])})", prepare, command, folder, clean)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("fuzz", description=__doc__)
    parser.add_argument("kinds", nargs="*", help=", ".join(KINDS))
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run one case again")
    parser.add_argument("--jobs", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    given = _parse()
    sys.exit(
        sum(
            not fuzz(k, given.cases, given.seed, given.only, given.jobs)
            for k in given.kinds or KINDS
        )
    )
