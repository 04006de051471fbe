"""What a cache writes and finds written: exports, a file that vanishes, packed scores."""

from __future__ import annotations

import json
import os
import stat
import threading
from importlib import import_module
from pathlib import Path

import pytest
from llmattn.cache.exchange import files
from llmattn.cache.exchange.transfer import contents
from llmattn.errors import CacheError
from llmattn.feeds.packed_folder import packed_of
from llmattn.rows import Row
from llmattn.scoring.opening import open_sources
from llmattn.scoring.options import ScoreChoice
from llmattn.testing.faults import FaultPlan
from llmattn.testing.server import ScoreServer
from support_cache import PAIR, TEXT, lmdb_cache, many_rows, scored, verify
from support_cli import FAILED, run_cli
from support_plugins import install
from support_scoring import custom_source, some_rows

ROWS = many_rows(20, 5)

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes devices and owners"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cache = lmdb_cache(tmp_path / "scores")
    cache.put(PAIR, ROWS, scored(ROWS))
    cache.close()
    return tmp_path


@pytest.mark.parametrize("name", ["own.jsonl", "own.parquet"])
def test_an_export_replaces_an_export_and_nothing_else(folder: Path, name: str) -> None:
    for _ in range(2):
        done = run_cli(folder, "cache", "export", name)
        assert done.returncode == 0, done.stderr
    (folder / name).write_text('{"my": "own"}\n')
    done = run_cli(folder, "cache", "export", name)
    assert done.returncode in FAILED
    assert "is not a file of scores of llmattn, so it is left as it is" in done.stderr
    assert (folder / name).read_text() == '{"my": "own"}\n'
    assert not list(folder.glob(".*.tmp"))


def test_an_export_of_the_other_form_is_another_kind(folder: Path) -> None:
    run_cli(folder, "cache", "export", "own.parquet")
    (folder / "own.parquet").rename(folder / "own.jsonl")
    assert run_cli(folder, "cache", "export", "own.jsonl").returncode in FAILED


def test_an_export_goes_through_a_link_to_its_target(folder: Path) -> None:
    (folder / "far").mkdir()
    (folder / "own.jsonl").symlink_to("far/target.jsonl")
    run_cli(folder, "cache", "export", "own.jsonl")
    assert (folder / "own.jsonl").is_symlink()
    (portion,) = (len(list(each.rows)) for each in files.read(folder / "far" / "target.jsonl"))
    assert portion == len(ROWS)


@needs_root
def test_an_export_leaves_a_device_a_device(folder: Path) -> None:
    for name in ("null.jsonl", "null.parquet"):
        os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        run_cli(folder, "cache", "export", name)
        assert stat.S_ISCHR((folder / name).stat().st_mode)


def test_an_export_into_a_pipe_is_read_from_it(folder: Path) -> None:
    pipe = folder / "pipe.jsonl"
    os.mkfifo(pipe)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    done = run_cli(folder, "cache", "export", "pipe.jsonl")
    reader.join(timeout=30)
    assert done.returncode == 0, done.stderr
    assert heard[0].startswith(b'{"format": "llmattn-scores"')


def test_compacting_as_root_leaves_the_file_to_its_owner(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can")
    file = folder / "scores" / "scores.mdb"
    for path in (file, Path(f"{file}-lock")):
        os.chown(path, 1234, 2345)
    file.chmod(0o640)
    done = run_cli(folder, "cache", "compact")
    assert done.returncode == 0, done.stderr
    run_cli(folder, "cache", "stats")  # which opens it anew, and makes the lock file
    for path in (file, Path(f"{file}-lock")):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize("again", [False, True])
def test_a_file_that_is_removed_while_it_is_in_use_is_told(tmp_path: Path, again: bool) -> None:
    cache = lmdb_cache(tmp_path)
    cache.put(PAIR, ROWS, scored(ROWS))
    (tmp_path / "scores.mdb").unlink()
    if again:  # another process begins a new one
        other = lmdb_cache(tmp_path)
        other.put(TEXT, [], [])
        other.close()
    with pytest.raises(CacheError, match="while it was in use"):
        cache.put(PAIR, ROWS, scored(ROWS))
    with pytest.raises(CacheError, match="while it was in use"):
        cache.get(PAIR, ROWS)
    with pytest.raises(CacheError, match="while it was in use"):
        cache.close()


def test_a_file_that_is_removed_after_the_last_commit_is_told_at_the_end(tmp_path: Path) -> None:
    with ScoreServer() as server, pytest.raises(CacheError, match="was removed while"):
        fill_and_remove(server, tmp_path)


def fill_and_remove(server: ScoreServer, folder: Path) -> None:
    with custom_source(server, folder) as source:
        assert source.fill(some_rows(3, 5)).scored == 15
        (folder / "scores.mdb").unlink()


def test_a_file_that_others_compact_or_mend_is_not_missed(tmp_path: Path) -> None:
    cache = lmdb_cache(tmp_path)
    cache.put(PAIR, ROWS, scored(ROWS))
    assert run_cli(tmp_path, "cache", "compact", "--cache-dir", tmp_path).returncode == 0
    cache.put(PAIR, ROWS, scored(ROWS, seed=1))
    cache.close()
    assert not verify(tmp_path).problems


def test_requests_that_brought_nothing_are_in_the_account(tmp_path: Path) -> None:
    class AfterTheFirst(FaultPlan):
        def draw(self, number: int) -> str | None:
            return "refusal" if number else None

    with ScoreServer(faults=AfterTheFirst()) as server, custom_source(server, tmp_path) as source:
        source.fill(some_rows(1, 3))
        assert source.fill([Row("other", ["a", "b"])]).scored == 0
        (info,) = source.cache.namespaces()
        assert info.usage.requests == len(server.log.requests) > 1


HOLDING = """
from attrs import frozen
from llmattn.hookspecs import hookimpl
from llmattn.providers.random import RandomProvider
from llmattn.providers.settings import RandomSettings

held = []

class Provider(RandomProvider):
    def __init__(self, settings):
        super().__init__(settings)
        held.append(self)

    async def aclose(self):
        held.remove(self)

@hookimpl
def llmattn_register_providers(registry):
    registry.add("holding", "holding_again:Provider", RandomSettings, "for a test")
"""


def test_a_provider_is_closed_where_its_cache_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "holding-again", "holding", HOLDING)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError):
        open_sources(ScoreChoice(providers=("holding",), cache_dir=tmp_path / "file"))
    assert import_module("holding_again").held == []
    (source,) = open_sources(ScoreChoice(providers=("holding",), cache_dir=tmp_path / "good"))
    assert len(import_module("holding_again").held) == 1
    source.close()
    assert import_module("holding_again").held == []


@pytest.fixture
def packed(folder: Path) -> Path:
    """A cache with packed scores of its namespace and of one that it does not hold."""
    for namespace in (PAIR.namespace, "0" * 32):
        part = folder / "scores" / "packed" / namespace
        part.mkdir(parents=True)
        (part / "a.tri").write_bytes(bytes(3000))
        (part / ".b.tri.01234567.tmp").write_bytes(bytes(500))
    return folder


def test_packed_scores_are_counted_in_every_list(packed: Path) -> None:
    found = json.loads(run_cli(packed, "cache", "stats", "--json").stdout)
    own = found["namespaces"][0]["packed"]
    assert (own["files"], own["unfinished"], own["bytes"]) == (2, 1, 3500)
    assert found["packed_bytes"] == 7000
    assert [orphan["namespace"] for orphan in found["packed_orphans"]] == ["0" * 32]
    shown = run_cli(packed, "cache", "stats").stdout
    assert "7.0 kB packed beside it" in shown
    assert "2 files, 3.5 kB, 1 of them unfinished, the last written" in shown
    assert "cache purge --orphans" in shown
    listed = run_cli(packed, "cache", "ls").stdout
    assert listed.count("3.5 kB") == 2
    assert "00000000 " in listed


def test_purging_a_namespace_purges_what_is_packed_of_it_alone(packed: Path) -> None:
    done = run_cli(packed, "cache", "purge", PAIR.namespace, "--yes")
    assert "and packed ones: 2 files, 3.5 kB" in done.stdout
    assert [each.name for each in (packed / "scores" / "packed").iterdir()] == ["0" * 32]


def test_purging_orphans_leaves_what_has_a_namespace(packed: Path) -> None:
    asked = run_cli(packed, "cache", "purge", "--orphans")
    assert asked.returncode in FAILED
    done = run_cli(packed, "cache", "purge", "--orphans", "--yes")
    assert done.returncode == 0, done.stderr
    cache = lmdb_cache(packed / "scores")
    (left,) = packed_of(cache).values()
    assert (left.namespace, left.files, left.unfinished) == (PAIR.namespace, 1, 0)
    assert sum(1 for _ in contents(cache)) == 1
    cache.close()
    assert "None is there" in run_cli(packed, "cache", "purge", "--orphans", "--yes").stdout


def test_purge_is_told_what(packed: Path) -> None:
    for arguments in ((), ("--orphans", PAIR.namespace)):
        done = run_cli(packed, "cache", "purge", *arguments)
        assert "Name a namespace to forget, or --orphans" in done.stderr
