"""A cache that can be read and not written: another user's folder, a read-only file system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from llmattn.errors import CacheError
from llmattn.rows import Row
from llmattn.testing.server import ScoreServer
from support_cache import PAIR, lmdb_cache, many_rows, scored
from support_cli import FAILED, run_cli, start_process

TEXT = "the cat sat\nthe dog ran\nthe cat ran\nthe dog sat\n" * 5
READING = (
    ("plan", "corpus.txt"),
    ("score", "corpus.txt"),
    ("train", "--corpus", "corpus.txt", "--out", "m.pt", "--steps", "1", "--n-embd", "16"),
    ("cache", "ls"),
    ("cache", "stats"),
    ("cache", "verify"),
    ("cache", "show", "cat"),
    ("cache", "export", "scores.jsonl"),
)
SCORES = ("plan", "score", "train")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A filled cache on a file system that even root cannot write."""
    (tmp_path / "corpus.txt").write_text(TEXT)
    done = run_cli(tmp_path, "score", "corpus.txt", "--provider", "cooccurrence")
    assert done.returncode == 0, done.stderr
    folder = str(tmp_path / "scores")
    for command in (["--bind", folder, folder], ["-o", "remount,ro,bind", folder]):
        if subprocess.run(["mount", *command], capture_output=True).returncode:
            pytest.skip("nothing can be mounted here (needs root)")
    yield tmp_path
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_read_only_file_system_serves_who_only_reads(
    mounted: Path, command: tuple[str, ...]
) -> None:
    provider = ("--provider", "cooccurrence") if command[0] in SCORES else ()
    done = run_cli(mounted, *command, *provider)
    assert done.returncode == 0, done.stderr
    if command[0] in SCORES:
        assert "0 cached" not in done.stderr
    if command == ("cache", "verify"):
        assert "all well" in done.stdout


def test_score_says_what_it_cannot_store_before_it_asks(mounted: Path) -> None:
    with ScoreServer() as server:
        options = ("--provider", "custom", "--model", "test-model")
        done = run_cli(mounted, "score", "corpus.txt", *options, CUSTOM_BASE_URL=server.url)
        assert done.returncode in FAILED
        assert "could not be stored" in done.stderr
        assert "--cache-dir" in done.stderr
        assert not server.log.requests


@pytest.mark.parametrize(
    "command", [("compact",), ("purge", "cooccurrence", "--yes")], ids=" ".join
)
def test_what_would_change_a_read_only_cache_says_so(
    mounted: Path, command: tuple[str, ...]
) -> None:
    done = run_cli(mounted, "cache", *command)
    assert done.returncode in FAILED
    assert "can be read, but not written" in done.stderr


def test_another_users_cache_is_read_without_a_lock(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else")
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/") and "pytest" in str(folder):
            folder.chmod(0o755)
    rows = many_rows(20, 10)
    cache = lmdb_cache(tmp_path / "scores")
    cache.put(PAIR, rows, scored(rows))
    cache.close()
    (tmp_path / "scores").chmod(0o755)
    (tmp_path / "scores" / "scores.mdb").chmod(0o644)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setuid(65534)
            seen = lmdb_cache(tmp_path / "scores")
            found = seen.get(PAIR, rows)
            assert all((a == b).all() for a, b in zip(found, scored(rows), strict=True))
            assert seen.read_only
            with pytest.raises(CacheError, match="can be read, but not written"):
                seen.put(PAIR, rows, scored(rows))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


WRITER = """
import sys; sys.path[:0] = eval(sys.argv[1])
from pathlib import Path
from llmattn.rows import Row
from support_cache import PAIR, lmdb_cache, scored
cache = lmdb_cache(Path(sys.argv[2]), sync=False)
for n in range(400):
    row = Row(f"q{n}", tuple(f"k{i}" for i in range(50)))
    cache.put(PAIR, [row], scored([row], seed=n))
    print(n, flush=True)
"""


def test_a_reader_whom_no_writer_sees_reads_again_what_was_written_meanwhile(
    tmp_path: Path,
) -> None:
    behind, view = tmp_path / "scores", tmp_path / "view"
    view.mkdir()
    first = lmdb_cache(behind)
    first.put(PAIR, many_rows(20, 10), scored(many_rows(20, 10)))
    first.close()
    for command in (["--bind", behind, view], ["-o", "remount,ro,bind", view]):
        if subprocess.run(["mount", *map(str, command)], capture_output=True).returncode:
            pytest.skip("nothing can be mounted here (needs root)")
    try:
        arguments = (repr(sys.path), behind)
        with start_process(tmp_path, *arguments, program=("-c", WRITER)) as writer:
            reader = lmdb_cache(view)
            assert writer.stdout is not None
            for n in map(int, writer.stdout):
                row = Row(f"q{n}", tuple(f"k{i}" for i in range(50)))
                found = reader.get(PAIR, [row, *many_rows(20, 10)])
                assert (found[0] == scored([row], seed=n)[0]).all()
            reader.close()
    finally:
        subprocess.run(["umount", "-l", str(view)], check=True)
    assert n == 399


def test_a_copy_of_a_read_only_cache_can_be_written(mounted: Path) -> None:
    shutil.copytree(mounted / "scores", mounted / "own")
    done = run_cli(
        mounted, "score", "corpus.txt", "--provider", "random", "--cache-dir", mounted / "own"
    )
    assert done.returncode == 0, done.stderr
