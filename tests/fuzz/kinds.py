"""The kinds of files that are altered: how a whole one comes about, what is altered in it, and
which commands open it. Another kind is another entry of :data:`KINDS`.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from fuzz.mutations import alter_bytes, alter_pages, alter_values

__all__ = ["KINDS", "Kind"]

Run = Callable[..., None]
"""Runs ``llmattn`` with some arguments in a folder, which must succeed."""

SMALL = ("--n-layer", "1", "--n-head", "2", "--n-embd", "8", "--block-size", "16")
QUICK = ("--corpus", "corpus.txt", "--steps", "2", "--eval-every", "1", "--batch-size", "8", *SMALL)
IN_CONTEXT = ("--provider", "random", "-o", "random.scope=prefix")


@frozen
class Kind:
    """``make`` lays out whole files in a folder, ``alter`` alters a copy of it; then one of
    ``commands`` is run.
    """

    make: Callable[[Path, Run], None]
    alter: Callable[[Path, random.Random], None]
    commands: Sequence[tuple[str, ...]]


def _write_corpus(folder: Path) -> None:
    animals, verbs = ("cat", "dog", "owl"), ("sees", "likes", "hears")
    lines = [f"the {a} {v} the {b} ." for a in animals for v in verbs for b in animals]
    (folder / "corpus.txt").write_text("\n".join(lines) + "\n")


# Checkpoints -----------------------------------------------------------------------------------

_CHECKPOINTS: dict[str, tuple[str, ...]] = {
    "pairs.pt": ("--provider", "cooccurrence"),
    "pieces.pt": ("--provider", "random", "--tokenizer", "bpe", "--vocab-size", "520"),
    "plain.pt": ("--attention", "learned", "--tokenizer", "seed"),
}


def _make_checkpoints(folder: Path, run: Run) -> None:
    _write_corpus(folder)
    for name, options in _CHECKPOINTS.items():
        run(folder, "train", "--out", name, *QUICK, *options)


def _alter_checkpoint(folder: Path, random: random.Random) -> None:
    source, target = folder / random.choice([*_CHECKPOINTS]), folder / "altered.pt"
    shutil.copyfile(source, target)
    action = random.random()
    if action < 0.7:
        data = torch.load(source, weights_only=True)
        while True:
            try:
                torch.save(alter_values(data, random), target)
            except Exception:  # torch cannot write all of them
                continue
            break
    elif action < 0.85:
        _alter_record(target, random)
    else:
        target.write_bytes(alter_bytes(source.read_bytes(), random))


def _alter_record(path: Path, random: random.Random) -> None:
    """Alter the bytes of one record of an archive, mostly of its index."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    index = next(name for name in records if name.endswith("data.pkl"))
    chosen = index if random.random() < 0.7 else random.choice([*records])
    records[chosen] = alter_bytes(records[chosen], random)
    if random.random() < 0.1:
        del records[random.choice([*records])]
    kind = zipfile.ZIP_DEFLATED if random.random() < 0.1 else zipfile.ZIP_STORED
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", kind) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    path.write_bytes(written.getvalue())


_OPEN_MODEL: tuple[tuple[str, ...], ...] = (
    (
        "sample",
        "--checkpoint",
        "altered.pt",
        "--prompt",
        "the cat",
        "--max-new",
        "8",
        "--seed",
        "1",
    ),
    ("sample", "--checkpoint", "altered.pt", "--prompt", "owl", "--max-new", "20", "--num", "4"),
    ("eval", "altered.pt", "corpus.txt"),
    ("eval", "altered.pt", "corpus.txt", "--json"),
    ("show", "altered.pt", "--corpus", "corpus.txt"),
    ("show", "altered.pt", "--text", "the cat sees the dog"),
    ("export", "altered.pt", "--safetensors", "exported"),
)
_RESUME = ("train", "--resume", "--out", "altered.pt", "--corpus", "corpus.txt")


# Exports of models -----------------------------------------------------------------------------


def _make_folders(folder: Path, run: Run) -> None:
    _make_checkpoints(folder, run)
    for name in _CHECKPOINTS:
        run(folder, "export", name, "--safetensors", f"{name}.export")


def _alter_folder(folder: Path, random: random.Random) -> None:
    target = folder / "altered.pt"
    shutil.copytree(folder / f"{random.choice([*_CHECKPOINTS])}.export", target)
    path = random.choice(sorted(target.iterdir()))
    if random.random() < 0.1:
        path.unlink()
    elif path.suffix == ".json" and random.random() < 0.8:
        path.write_text(json.dumps(alter_values(json.loads(path.read_text()), random)))
    elif path.suffix == ".safetensors" and random.random() < 0.6:
        _alter_safetensors(path, random)
    else:
        path.write_bytes(alter_bytes(path.read_bytes(), random))


def _alter_safetensors(path: Path, random: random.Random) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    head = json.dumps(alter_values(json.loads(data[8 : 8 + length]), random)).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data[8 + length :])


# Runs of a comparison --------------------------------------------------------------------------

_COMPARE = (
    *("compare", "corpus.txt", "--arms", "position,uniform", "--lr", "0.01", "--seeds", "1"),
    *("--steps", "1", "--eval-every", "1", "--jobs", "1", "--min-count", "1", "--n-layer", "1"),
    *("--n-head", "1", "--n-embd", "8", "--block-size", "8", "--batch-size", "4"),
    *("--against", "position"),
)


def _make_runs(folder: Path, run: Run) -> None:
    _write_corpus(folder)
    run(folder, *_COMPARE)


def _alter_run(folder: Path, random: random.Random) -> None:
    from llmattn.comparing.store import settings_key

    path = random.choice(sorted((folder / "comparison" / "runs").iterdir()))
    if random.random() < 0.25:
        path.write_bytes(alter_bytes(path.read_bytes(), random))
        return
    data = alter_values(json.loads(path.read_text()), random)
    if isinstance(data, dict) and random.random() < 0.7:  # one who knows how it is made
        data.pop("checksum", None)
        try:
            data["checksum"] = settings_key(data)
        except (TypeError, ValueError, RecursionError):
            data["checksum"] = ""
    path.write_text(json.dumps(data))


# Packed scores ---------------------------------------------------------------------------------


def _make_packed(folder: Path, run: Run) -> None:
    _write_corpus(folder)
    run(folder, "train", "--out", "context.pt", *QUICK, *IN_CONTEXT, "--cache-dir", "scores")


def _alter_packed(folder: Path, random: random.Random) -> None:
    import zlib

    from llmattn.feeds.packed import _MAGIC, _TAIL

    path = random.choice(sorted((folder / "scores" / "packed").rglob("*.tri")))
    data = path.read_bytes()
    if random.random() < 0.25:
        path.write_bytes(alter_bytes(data, random))
        return
    length, _, _ = _TAIL.unpack(data[-_TAIL.size :])
    scores, text = data[: -_TAIL.size - length], data[-_TAIL.size - length : -_TAIL.size]
    about = json.loads(text)
    if random.random() < 0.3:
        scores = alter_bytes(scores, random)
        about["crc"] = zlib.crc32(scores)
    else:
        about = alter_values(about, random)
    text = json.dumps(about).encode()
    path.write_bytes(scores + text + _TAIL.pack(len(text), zlib.crc32(text), _MAGIC))


# Configurations --------------------------------------------------------------------------------

_CONFIG: dict[str, Any] = {
    "attention": "external",
    "provider": ["random"],
    "option": ["random.seed=1"],
    "n_layer": 1,
    "n-head": 2,
    "n-embd": 8,
    "block-size": 8,
    "batch-size": 4,
    "dropout": 0.1,
    "lr": 0.01,
    "min-count": 1,
    "seed": 3,
    "stream": False,
    "per-layer": True,
    "tokenizer": "words",
    "vocab-size": 600,
    "val-fraction": 0.2,
    "grad-accum": 1,
    "eval-every": 1,
    "patience": 2,
    "warmup": 1,
    "grad-clip": 1.0,
    "weight-decay": 0.1,
    "coverage": 0.9,
    "match-params": False,
}
_ARMS: dict[str, Any] = {
    "mine": {"provider": ["random"], "per_layer": True, "n_head": 1},
    "other": {"like": "mine", "lr": 0.02, "options": {"random.seed": "2"}},
}


def _make_config(folder: Path, run: Run) -> None:
    _write_corpus(folder)
    run(folder, "cache", "path")


def _alter_config(folder: Path, random: random.Random) -> None:
    for name, extra in (("train.toml", {}), ("compare.toml", {"arms": _ARMS})):
        whole = {k: v for k, v in _CONFIG.items() if name == "train.toml" or k in _SHARED}
        try:
            text = "\n".join(_toml(alter_values({**whole, **extra}, random)))
        except RecursionError:
            text = f"x = {'[' * 900}{']' * 900}"
        data = text.encode("utf-8", "surrogatepass")
        (folder / name).write_bytes(alter_bytes(data, random) if random.random() < 0.2 else data)


_SHARED = {
    *("n_layer", "n-head", "n-embd", "block-size", "batch-size", "dropout", "min-count", "stream"),
    *("tokenizer", "vocab-size", "warmup", "grad-clip", "weight-decay", "coverage", "eval-every"),
}


def _toml(data: Any) -> list[str]:
    """TOML of plain data, as far as there is any: what it cannot say is written as JSON."""
    if not isinstance(data, dict):
        return [f"x = {_value(data)}"]
    return [f"{_key(name)} = {_value(value)}" for name, value in data.items()]


def _key(name: str) -> str:
    plain = name.replace("-", "").replace("_", "").isalnum() and name.isascii()
    return name if plain else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return str(value)
    return json.dumps(value)


# Exports of scores -----------------------------------------------------------------------------


def _make_exports(folder: Path, run: Run) -> None:
    _write_corpus(folder)
    for options in (("--provider", "cooccurrence"), IN_CONTEXT):
        run(folder, "score", "corpus.txt", *options, "--block-size", "8", "--cache-dir", "scores")
    for name in ("scores.jsonl", "scores.parquet"):
        run(folder, "cache", "export", name, "--cache-dir", "scores")


def _alter_lines(folder: Path, random: random.Random) -> None:
    data = (folder / "scores.jsonl").read_bytes()
    target = folder / "altered.jsonl"
    if random.random() < 0.25:
        target.write_bytes(alter_bytes(data, random))
        return
    lines = data.decode().splitlines()[:200]  # without its end, which is past these
    lines[0] = json.dumps({k: v for k, v in json.loads(lines[0]).items() if k != "digest"})
    spaces = [n for n, line in enumerate(lines) if n == 0 or '"namespace"' in line[:20]]
    chosen = random.choice(spaces) if random.random() < 0.4 else random.randrange(len(lines))
    if random.random() < 0.1:
        other = random.randrange(len(lines))
        lines[chosen], lines[other] = lines[other], lines[chosen]
    else:
        about = alter_values(json.loads(lines[chosen]), random)
        if isinstance(about, dict) and isinstance(about.get("identity"), dict):
            _name_anew(about)
        lines[chosen] = json.dumps(about)
    target.write_text("\n".join(lines) + "\n")


def _name_anew(about: dict[str, Any]) -> None:
    """Give a namespace the name of its identity, if it is one, as who makes such a file would."""
    from llmattn.identity import Identity

    with contextlib.suppress(Exception):
        about["namespace"] = Identity.from_dict(about["identity"]).namespace


def _alter_parquet(folder: Path, random: random.Random) -> None:
    source, target = folder / "scores.parquet", folder / "altered.parquet"
    if random.random() < 0.5:
        target.write_bytes(alter_bytes(source.read_bytes(), random))
        return
    pa, pq = import_module("pyarrow"), import_module("pyarrow.parquet")
    table = pq.read_table(source, use_threads=False).slice(0, 50)
    action = random.random()
    if action < 0.5:
        head = alter_values(_undigested(table), random)
        if isinstance(head, dict) and isinstance(head.get("namespaces"), list):
            for about in head["namespaces"]:
                if isinstance(about, dict) and isinstance(about.get("identity"), dict):
                    _name_anew(about)
        table = table.replace_schema_metadata({b"llmattn": json.dumps(head).encode()})
    elif action < 0.65:
        table = table.drop_columns([random.choice(table.column_names)])
    elif action < 0.75:
        table = table.rename_columns(random.sample(table.column_names, len(table.column_names)))
    else:
        records = alter_values(table.to_pylist(), random)
        try:
            table = pa.Table.from_pylist(records).replace_schema_metadata(table.schema.metadata)
        except Exception:  # arrow cannot hold all of them
            table = table.slice(0, 0)
    if action >= 0.5:
        table = table.replace_schema_metadata({b"llmattn": json.dumps(_undigested(table)).encode()})
    pq.write_table(table, target)


def _undigested(table: Any) -> dict[str, Any]:
    """The head of a file that announces no digest, as one of another program's does."""
    head = json.loads((table.schema.metadata or {}).get(b"llmattn", b"{}"))
    return {name: value for name, value in head.items() if name != "digest"}


# The cache itself -----------------------------------------------------------------------------


def _make_large(folder: Path, run: Run) -> None:
    """80 MB, half of them scores of words, half in context."""
    import numpy as np
    from llmattn.cache.lmdb.cache import LmdbCache
    from llmattn.cache.settings import LmdbSettings
    from llmattn.identity import Identity
    from llmattn.rows import Row, Scope, prefix_rows

    _make_exports(folder, run)
    draw = np.random.default_rng(0)
    cache = LmdbCache(LmdbSettings(dir=folder / "scores", sync=False))
    pairs = Identity("many", 1, Scope.PAIR, ("a", "b", "c", "d"))
    words = tuple(f"w{i}" for i in range(2000))
    for start in range(0, len(words), 200):
        rows = [Row(word, words) for word in words[start : start + 200]]
        cache.put(pairs, rows, [draw.random((4, len(words)), np.float32) for _ in rows])
    texts = Identity("long", 1, Scope.PREFIX, tuple(f"c{i}" for i in range(30)))
    for _ in range(320):
        rows = prefix_rows([words[i] for i in draw.integers(0, len(words), 64)])
        cache.put(texts, rows, [draw.random((30, len(row.keys)), np.float32) for row in rows])
    cache.close()


def _alter_cache(folder: Path, random: random.Random) -> None:
    alter_pages(folder / "scores" / "scores.mdb", random)


_IN_SCORES = ("--cache-dir", "scores")
_OPEN_CACHE: tuple[tuple[str, ...], ...] = (
    ("cache", "ls", *_IN_SCORES),
    ("cache", "stats", "--json", *_IN_SCORES),
    ("cache", "show", "cat", "-n", "cooccurrence", *_IN_SCORES),
    ("cache", "verify", *_IN_SCORES),
    ("cache", "verify", "--drop", *_IN_SCORES),
    ("cache", "compact", *_IN_SCORES),
    ("score", "corpus.txt", "--provider", "cooccurrence", "--block-size", "8", *_IN_SCORES),
    ("score", "corpus.txt", *IN_CONTEXT, "--block-size", "16", *_IN_SCORES),
    ("train", "--out", "x.pt", *QUICK, "--provider", "random", *_IN_SCORES),
)


_LOOK = ("--cache-dir", "fresh")

KINDS: dict[str, Kind] = {
    "checkpoint": Kind(
        _make_checkpoints,
        _alter_checkpoint,
        (*_OPEN_MODEL, (*_RESUME, "--max-time", "0.01"), (*_RESUME, "--max-time", "0.01")),
    ),
    "model-export": Kind(_make_folders, _alter_folder, _OPEN_MODEL),
    "run": Kind(_make_runs, _alter_run, (_COMPARE, (*_COMPARE, "--json"))),
    "packed": Kind(
        _make_packed,
        _alter_packed,
        (("train", "--out", "new.pt", *QUICK, *IN_CONTEXT, "--cache-dir", "scores"),),
    ),
    "config": Kind(
        _make_config,
        _alter_config,
        (
            (
                *("train", "--config", "train.toml", "--corpus", "corpus.txt", "--out", "x.pt"),
                *("--steps", "1", "--max-time", "0.01"),
            ),
            (
                *("compare", "corpus.txt", "--config", "compare.toml", "--arms", "mine,other"),
                *("--steps", "1", "--seeds", "1", "--lr", "0.01", "--jobs", "1"),
            ),
        ),
    ),
    "cache": Kind(
        _make_exports,
        _alter_cache,
        (
            *_OPEN_CACHE,
            ("cache", "export", "x.jsonl", *_IN_SCORES),
            ("cache", "merge", "scores", *_LOOK),
        ),
    ),
    "cache-80mb": Kind(_make_large, _alter_cache, _OPEN_CACHE),
    "score-lines": Kind(
        _make_exports,
        _alter_lines,
        (
            ("cache", "import", "altered.jsonl", *_LOOK),
            ("cache", "import", "altered.jsonl", "--json", "--cache-dir", "scores"),
        ),
    ),
    "score-parquet": Kind(
        _make_exports,
        _alter_parquet,
        (
            ("cache", "import", "altered.parquet", *_LOOK),
            ("cache", "import", "altered.parquet", "--cache-dir", "scores"),
        ),
    ),
}
