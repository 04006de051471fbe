"""One flipped bit in each kind of stored file: it is told, or changes nothing that is read."""

from __future__ import annotations

import io
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from attrs import evolve, frozen
from faults.table import Outcome
from llmattn.cache.exchange import files
from llmattn.cache.exchange.transfer import contents, copy_into
from llmattn.cache.lmdb.cache import LmdbCache
from llmattn.cache.memory import MemoryCache
from llmattn.cache.protocol import ScoreCache
from llmattn.cache.settings import LmdbSettings, MemorySettings
from llmattn.cli.main import main
from llmattn.comparing.store import FinishedRun, RunStore
from llmattn.errors import LlmattnError
from llmattn.feeds.packed import open_packed, write_packed
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, prefix_rows
from llmattn.training.checkpoint import load_checkpoint
from llmattn.usage import Usage

__all__ = ["KINDS", "Flips", "flipped_bits", "flips", "try_flips"]

_PAIR = Identity("paid", 1, Scope.PAIR, ("relevance",), {"model": "m"})
_TEXT = Identity("local", 1, Scope.PREFIX, ("a", "b"))
_ROWS = [Row(f"w{q}", tuple(f"w{q + k}" for k in range(20))) for q in range(200)]
_TEXTS = [row for n in range(30) for row in prefix_rows([f"w{n + k * 7 % 50}" for k in range(16)])]
_SETTINGS = {"text": "00", "lr": 0.01}
_KEY = {"made": "of this"}
Scores = dict[tuple[object, ...], bytes]


@frozen
class Flips:
    """How ``tried`` flips in one kind of file ended.

    ``lost``: paid scores that were gone after all, in what ``cache verify --drop`` kept; other
    files are copies, which can be made again. ``silent``: flips by which something else was read
    than was written, and nothing said so; and those that ended the process.
    """

    kind: str
    tried: int
    lost: int
    silent: int


@frozen
class _Kind:
    """``make`` writes a file, or a folder of some, and returns it. ``read`` raises LlmattnError,
    or says by its answer that it was told; returns the number of scores lost. It raises
    AssertionError if anything is wrong that was not told. ``places``: which bytes may be flipped.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], int]
    places: Callable[[bytes], Sequence[int]] = lambda data: range(len(data))


def _held(store: ScoreCache) -> Scores:
    """Every score, by namespace and words."""
    return {
        (info.namespace, row.context, row.query, key, place if row.context else 0): values[
            :, place
        ].tobytes()
        for info in store.namespaces()
        for row, values in store.scan(info.namespace)
        for place, key in enumerate(row.keys)
        if not np.isnan(values[:, place]).any()
    }


def _fill(store: ScoreCache) -> None:
    draw = np.random.default_rng(0)
    for identity, rows in ((_PAIR, _ROWS), (_TEXT, _TEXTS)):
        shapes = [(len(identity.channels), len(row.keys)) for row in rows]
        scores = [(draw.integers(0, 1025, shape) / 1024).astype(np.float32) for shape in shapes]
        store.put(identity, rows, scores, Usage(requests=3, cost=0.5))


@cache
def _whole() -> MemoryCache:
    whole = MemoryCache(MemorySettings())
    _fill(whole)
    return whole


@cache
def _expected() -> Scores:
    return _held(_whole())


def _compared(found: Scores) -> int:
    """How many scores are missing; none may be another."""
    whole = _expected()
    assert found.items() <= whole.items(), "other scores than were stored"
    return len(whole) - len(found)


def _make_cache(folder: Path) -> Path:
    store = LmdbCache(LmdbSettings(dir=folder))
    _fill(store)
    store.close()
    return folder / "scores.mdb"


def _read_cache(path: Path) -> int:
    """Read all of it as training does and as an export does, then save what is good."""
    settings = LmdbSettings(dir=path.parent)
    told = bool(LmdbCache.verify(settings).problems)
    missing = 0
    try:
        store = LmdbCache(settings)
        try:
            for identity, rows in ((_PAIR, _ROWS), (_TEXT, _TEXTS)):
                _check_rows(store, identity, rows)
            missing = _compared(_held(store))
        finally:
            store.close()
    except LlmattnError:
        told = True
    assert told or not missing, "scores are missing, and nothing says so"
    if not told:
        return 0
    with suppress(LlmattnError):
        LmdbCache.verify(settings, drop=True)
        store = LmdbCache(settings)
        try:
            return _compared(_held(store))
        finally:
            store.close()
    return len(_expected())


def _check_rows(store: ScoreCache, identity: Identity, rows: Sequence[Row]) -> None:
    for got, was in zip(store.get(identity, rows), _whole().get(identity, rows), strict=True):
        known = ~np.isnan(got)
        assert np.array_equal(got[known], was[known]), "other scores than were stored"


@lru_cache(1)
def _places_of_keys(data: bytes) -> Sequence[int]:
    """Where the keys of records are, in pages that are in use or were."""
    from llmattn.cache.lmdb.pages import page_records

    keys = {key for key, _ in page_records(data) if len(key) > 4}
    found = [data.find(key) + place for key in sorted(keys) for place in range(len(key))]
    return [place for place in found if place > 0]


def _make_model(folder: Path) -> Path:
    animals, verbs = ("cat", "dog", "owl"), ("sees", "likes", "hears")
    lines = [f"the {a} {v} the {b} ." for a in animals for v in verbs for b in animals]
    corpus, path = folder / "corpus.txt", folder / "model.pt"
    corpus.write_text("\n".join(lines) + "\n")
    small = "--n-layer 1 --n-head 2 --n-embd 8 --block-size 8 --batch-size 4 --min-count 1"
    steps = "--steps 2 --eval-every 1 --provider cooccurrence"
    _run("train", "--corpus", corpus, "--out", path, *small.split(), *steps.split())
    return path


def _make_export(folder: Path) -> Path:
    model = _make_model(folder)
    _run("export", model, "--safetensors", folder / "export")
    return folder / "export"


def _run(*arguments: object) -> None:
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            main(list(map(str, arguments)))
    except SystemExit as left:
        if left.code:
            raise RuntimeError(f"{arguments} has failed: {said.getvalue()}") from None


def _read_model(path: Path) -> int:
    load_checkpoint(path)
    raise AssertionError("nothing says that it is damaged")


def _make_scores(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        store = MemoryCache(MemorySettings())
        _fill(store)
        files.write(folder / name, contents(store))
        return folder / name

    return make


def _read_scores(path: Path) -> int:
    store = MemoryCache(MemorySettings())
    try:
        copy_into(store, files.read(path))
    except LlmattnError:
        assert not store.namespaces(), "something was taken before the damage was found"
        raise
    raise AssertionError("nothing says that it is damaged")


def _triangles() -> Iterator[np.ndarray]:
    draw = np.random.default_rng(1)
    return (draw.random((2, 10), np.float32) for _ in range(20))


def _make_packed(folder: Path) -> Path:
    lengths = np.full(20, 4)
    path = folder / "scores.tri"
    write_packed(path, _KEY, ("a", "b"), lengths, "float16", _triangles(), lambda: 1.0)
    return path


def _read_packed(path: Path) -> int:
    found = open_packed(path, _KEY)
    if found is not None:  # None: it is packed anew
        for number, whole in enumerate(_triangles()):
            assert np.array_equal(found.triangle(number), whole.astype(np.float16))
        assert found.coverage == 1.0
        assert found.channels == ("a", "b")
    return 0


_RUN = FinishedRun(
    settings=_SETTINGS,
    place={"torch": "2"},
    test_loss=3.5,
    val_loss=3.25,
    best_step=10,
    outcome="finished",
    tokens=100,
    seconds=1.5,
    parameters=1000,
    curve=((0, None, 9.0), (10, 5.0, 3.25)),
)


def _make_run(folder: Path) -> Path:
    store = RunStore(folder)
    store.keep(_RUN)
    return store.path(_SETTINGS)


def _read_run(path: Path) -> int:
    assert RunStore(path.parent).find(_SETTINGS) in (None, _RUN)  # None: it is trained anew
    return 0


_CACHE = _Kind(_make_cache, _read_cache)
KINDS = {
    "cache": _CACHE,
    "cache, keys alone": evolve(_CACHE, places=_places_of_keys),
    "checkpoint": _Kind(_make_model, _read_model),
    "exported model": _Kind(_make_export, _read_model),
    "JSON Lines": _Kind(_make_scores("scores.jsonl"), _read_scores),
    "Parquet": _Kind(_make_scores("scores.parquet"), _read_scores),
    "packed scores": _Kind(_make_packed, _read_packed),
    "finished run": _Kind(_make_run, _read_run),
}


def flips(tried: int = 300, seed: int = 0) -> list[Flips]:
    """``tried`` flips in each kind of file."""
    return [try_flips(kind, tried, seed) for kind in KINDS]


def flipped_bits(folder: Path, tries: int) -> Iterator[Outcome]:
    """30 flips in each kind of file for each try: what nobody was told of counts as lost."""
    for kind in KINDS:
        found = try_flips(kind, 30 * tries)
        note = f"{found.lost:,} scores given up by verify --drop" if found.lost else ""
        yield Outcome(f"a flipped bit: {kind}", found.tried, found.silent, 0, "silent", note)


def try_flips(kind: str, tried: int = 300, seed: int = 0) -> Flips:
    """``tried`` flips in one kind of file, in a process of its own: one that it ends is silent."""
    answers: list[str] = []
    with tempfile.TemporaryDirectory(prefix="llmattn-flips-") as place:
        (Path(place) / "whole").mkdir()
        made = KINDS[kind].make(Path(place) / "whole").relative_to(place)
        while len(answers) < tried:
            numbers = range(len(answers), tried)
            answers += _forked(KINDS[kind], Path(place), made, seed, numbers)
    for number, answer in enumerate(answers):
        if not answer.isdigit():
            sys.stderr.write(f"{kind}, flip {number} of seed {seed}: {answer}\n")
    lost = sum(int(answer) for answer in answers if answer.isdigit())
    return Flips(kind, tried, lost, sum(not answer.isdigit() for answer in answers))


def _forked(kind: _Kind, place: Path, made: Path, seed: int, numbers: range) -> list[str]:
    """An answer for each number: how many scores were lost, or what was wrong."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        with suppress(BaseException):
            os.close(reader)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            for number in numbers:
                answer = _answer(kind, place, made, random.Random(f"{seed} {number}"))
                os.write(writer, f"{answer}\n".encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as said:
        answers = said.read().splitlines()
    _, status = os.waitpid(pid, 0)
    if len(answers) < len(numbers):
        answers.append(f"ended the process with {status}")
    return answers


def _answer(kind: _Kind, place: Path, made: Path, draw: random.Random) -> str:
    case = place / "case"
    shutil.copytree(place / "whole", case)
    path = case / made.relative_to("whole")
    try:
        file = draw.choice(sorted(path.iterdir())) if path.is_dir() else path
        data = bytearray(file.read_bytes())
        data[draw.choice(kind.places(bytes(data)))] ^= 1 << draw.randrange(8)
        file.write_bytes(data)
        return str(kind.read(path))
    except LlmattnError:
        return "0"
    except Exception as error:  # whatever it is, nobody was told in words
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    finally:
        shutil.rmtree(case)
