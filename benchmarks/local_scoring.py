"""How fast the provider `transformers` scores a text in context, and the memory it takes.

    OMP_WAIT_POLICY=PASSIVE python benchmarks/local_scoring.py CORPUS [--words 2048]
        [--method attention] [--channels layers] [--model smollm2]

The text is cut into windows of 64 words; every row goes through the planner into an LMDB cache on
disk, as `llmattn score` does it, beside a bare forward pass of the same model over the same windows
in batches of the same size. Then one text, and eight at once, are scored one word after the other,
as sampling does it. Wall and CPU seconds exclude loading the model; where others use the machine,
CPU seconds tell more, if threads don't spin while they wait.
"""

from __future__ import annotations

import argparse
import re
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from llmattn.rows import prefix_rows
from llmattn.scoring.opening import open_source
from llmattn.scoring.options import ScoreChoice, ScoringOptions
from llmattn.scoring.source import ScoreSource
from llmattn_transformers.pieces import PieceEncoder
from llmattn_transformers.teacher import load_teacher
from llmattn_transformers.weights import find_weights

WINDOW = 64
_PIECE = re.compile(r"\n|[^\S\n]*(?:\w+(?:['’]\w+)*|[^\w\s])")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--words", type=int, default=2048)
    parser.add_argument("--method", default="attention")
    parser.add_argument("--channels", default="layers")
    parser.add_argument("--model", default="smollm2")
    given = parser.parse_args()
    pieces = _PIECE.findall(given.corpus.read_text(encoding="utf-8"))[: given.words]
    with (
        tempfile.TemporaryDirectory() as folder,
        open_source(
            "transformers",
            ScoreChoice(
                model=given.model,
                method=given.method,
                channels=given.channels,
                cache_dir=Path(folder),
                scoring=ScoringOptions(quiet=True),
            ),
        ) as source,
    ):
        started = time.perf_counter()
        source.fill(prefix_rows([" warm", " up"]))
        print(f"loaded in {time.perf_counter() - started:.1f} s")
        speed = in_bulk(source, pieces)
        if given.method == "attention":  # the others read a text anew for each of its words
            bare(source, pieces, speed)
            for texts in (1, 8):
                word_by_word(source, pieces[-WINDOW:], texts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB")


def in_bulk(source: ScoreSource, pieces: list[str]) -> float:
    windows = [pieces[i : i + WINDOW] for i in range(0, len(pieces), WINDOW)]
    rows = [row for window in windows for row in prefix_rows(window)]
    wall, cpu = time.perf_counter(), time.process_time()
    source.fill(rows)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    speed = len(pieces) / wall
    print(
        f"in bulk: {len(pieces):,} words, {len(source.identity.channels)} channels, {wall:.1f} s "
        f"({cpu:.1f} s of CPU): {speed:.0f} words a second, 20,000 in {20_000 / speed:.0f} s "
        f"({20_000 * cpu / len(pieces):.0f} s of CPU)"
    )
    return speed


def bare(source: ScoreSource, pieces: list[str], speed: float) -> None:
    """The forward pass alone, its attention maps made as for the scores and then dropped."""
    choice: Any = source.provider
    settings = choice._settings
    teacher = load_teacher(find_weights(settings.model), settings.device)
    encoder = PieceEncoder(teacher.tokenizer, settings.start_token)
    windows = [pieces[i : i + WINDOW] for i in range(0, len(pieces), WINDOW)]
    texts = sorted((encoder.encode(window).ids for window in windows), key=len)
    wall = time.perf_counter()
    at = 0
    while at < len(texts):
        batch = texts[at : at + max(1, settings.batch_tokens // len(texts[at]))]
        ids = torch.tensor([(*ids, *[0] * (len(batch[-1]) - len(ids))) for ids in batch])
        with torch.inference_mode():
            teacher.read(ids)
        at += len(batch)
    rate = len(pieces) / (time.perf_counter() - wall)
    print(f"bare forward pass: {rate:.0f} words a second; scoring is {speed / rate:.0%} of it")


def word_by_word(source: ScoreSource, window: list[str], texts: int) -> None:
    # Other texts than those in the cache, of which the beginning has been read.
    begun = [prefix_rows([f" Then {number}", *window]) for number in range(texts)]
    source.fill([row for rows in begun for row in rows[: WINDOW // 2]])
    for rows in begun:
        source.fill(rows[WINDOW // 2 : WINDOW // 2 + 1])
    steps = list(zip(*(rows[WINDOW // 2 + 1 :] for rows in begun), strict=True))
    wall, cpu = time.perf_counter(), time.process_time()
    for step in steps:
        source.fill(step)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    words = texts * len(steps)
    print(
        f"word by word, texts at once: {texts}: {words / wall:.1f} words a second "
        f"({1000 * cpu / words:.0f} ms of CPU each)"
    )


if __name__ == "__main__":
    main()
