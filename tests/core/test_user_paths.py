"""``~`` means the home folder wherever a user writes a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from llmattn.cache.open import cache_folder, locate_cache, open_cache
from llmattn.errors import ConfigError
from llmattn.paths import user_path
from llmattn.testing.server import ScoreServer
from support_batches import command
from support_cli import run_cli

SMALL = ("--steps", "1", "--n-layer", "1", "--n-head", "1", "--n-embd", "16", "--block-size", "8")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def work(tmp_path: Path, name: str = "work") -> Path:
    """A folder to run commands in, with a corpus."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "corpus.txt").write_text("the cat eats fish .\n" * 20)
    return folder


def test_a_home_folder_that_is_not_there_is_an_error_of_ours() -> None:
    with pytest.raises(ConfigError, match="no home folder"):
        user_path("~nobody-has-this-name/scores")


def test_a_path_without_a_tilde_stays_as_it_is(home: Path) -> None:
    for text in ("a", "/x/~", "a~", "~nobody-has-this-name.txt"):
        assert str(user_path(text)) == text


@pytest.mark.parametrize("how", ["variable", "flag", "option"])
def test_a_batch_is_found_again_from_another_folder(tmp_path: Path, home: Path, how: str) -> None:
    flags = {"flag": ("--cache-dir=~/kept",), "option": ("-o", "lmdb.dir=~/kept")}.get(how, ())
    variables = {"LLMATTN_CACHE_DIR": "~/kept"} if how == "variable" else {}
    with ScoreServer(batch_polls=100) as server:
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            done = command(folder, server, "score", "corpus.txt", "--batch", *flags, **variables)
            assert done.returncode == 0, done.stderr
            assert not (folder / "~").exists()
        assert "request done" in done.stdout
        assert server.batches.begun == 1
    assert list((home / "kept" / "batches").rglob("*.json"))


def test_a_dotenv_knows_the_home_folder(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("LLMATTN_CACHE_DIR=~/kept\n")
    monkeypatch.chdir(tmp_path)
    assert locate_cache().parent == home / "kept"


def test_a_relative_folder_in_a_dotenv_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / ".env").write_text("LLMATTN_CACHE_DIR=kept\n")
    for folder in (tmp_path, tmp_path / "deep" / "deeper"):
        monkeypatch.chdir(folder)
        assert locate_cache().parent == tmp_path / "kept"


def test_the_folder_of_a_cache_is_where_the_cache_is(tmp_path: Path, home: Path) -> None:
    for name in ("lmdb", "memory"):
        cache = open_cache(name, cache_dir=Path("~/kept"))
        assert cache_folder(cache, cache_dir=Path("~/kept")) == home / "kept"
        cache.close()


def test_what_train_writes_goes_to_the_home_folder(tmp_path: Path, home: Path) -> None:
    folder = work(tmp_path)
    paths = ("--out=~/k.pt", "--log=~/log.csv", "--corpus=~/text.txt")
    (home / "text.txt").write_text((folder / "corpus.txt").read_text())
    done = run_cli(folder, "train", "-p", "random", *SMALL, *paths)
    assert done.returncode == 0, done.stderr
    assert (home / "k.pt").is_file()
    assert (home / "log.csv").is_file()
    assert not (folder / "~").exists()


def test_paths_in_a_configuration_file_are_read_alike(tmp_path: Path, home: Path) -> None:
    folder = work(tmp_path)
    (home / "run.toml").write_text('out = "~/k.pt"\nprovider = ["random"]\ncache-dir = "~/kept"\n')
    arguments = ("--corpus", "corpus.txt", *SMALL, "--config=~/run.toml")
    shown = run_cli(folder, "train", *arguments, "--print-config")
    assert f'out = "{home / "k.pt"}"' in shown.stdout, shown.stderr
    done = run_cli(folder, "train", *arguments)
    assert done.returncode == 0, done.stderr
    assert (home / "k.pt").is_file()
    assert not (folder / "~").exists()


def test_score_files_are_written_and_read_in_the_home_folder(tmp_path: Path, home: Path) -> None:
    folder = work(tmp_path)
    run_cli(folder, "score", "corpus.txt", "-p", "random")
    for arguments in (("export", "~/s.jsonl"), ("import", "~/s.jsonl")):
        done = run_cli(folder, "cache", *arguments)
        assert done.returncode == 0, done.stderr
    assert (home / "s.jsonl").is_file()
    assert not (folder / "~").exists()
