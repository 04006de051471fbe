"""The ``llmattn.toml`` of a folder that was downloaded sends nothing anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support_settle import command, own_folder, write
from support_trust import KEYS, Stranger

SCORE = ("score", "corpus.txt")
SAYING = (
    'provider = "custom"\n',
    'model = "expensive"\n',
    "max-cost = 1000\n",
    'cache-dir = "elsewhere"\n',
    'trusted = ["."]\n',
    'disable-plugins = ["openai"]\n',
    '[settings.custom]\nbase_url = "URL"\n',
    '[settings.redis]\nurl = "redis://127.0.0.1:1/0"\n',
    '[settings.openai]\nbase_url = "URL"\n',
    '[score]\noption = ["custom.base_url=URL"]\n',
    '[score]\ncriteria = "/etc/passwd"\n',
    "[score]\nyes = true\n",
    "[score]\nprice-in = 0.0\n",
    '[score]\ncache = "redis"\n',
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text("the cat eats fish .\nthe dog eats meat .\n" * 5)
    return tmp_path


@pytest.mark.parametrize("text", SAYING)
def test_it_decides_nothing_of_who_is_asked_what_is_read_or_what_it_costs(
    folder: Path, text: str
) -> None:
    with Stranger() as stranger:
        path = write(folder / "llmattn.toml", text.replace("URL", stranger.url))
        own = {**KEYS, "LLM_MODEL": "m", "LLM_PROVIDER": "random"}
        done = command(folder, *SCORE, **own)
        assert stranger.seen == []
    assert done.returncode == 3, done.stderr
    assert str(path) in done.stderr
    assert f"{own_folder(folder) / 'llmattn.toml'}" in done.stderr
    assert f'trusted = ["{folder}"]' in done.stderr
    assert not [key for key in KEYS.values() if key in done.stdout + done.stderr]


@pytest.mark.parametrize(
    "line", ['out = "/tmp/x"', 'corpus = "/etc/passwd"', 'log = "x.csv"', 'device = "cuda"']
)
def test_it_names_no_file_and_no_device(folder: Path, line: str) -> None:
    write(folder / "llmattn.toml", f"[train]\n{line}\n")
    done = command(folder, "train", "--corpus", "corpus.txt", "-p", "random", "--print-config")
    assert done.returncode == 3, done.stdout


def test_it_may_settle_how_a_model_is_trained_and_says_so(folder: Path) -> None:
    path = write(folder / "llmattn.toml", '[train]\nsteps = 7\nattention = "learned"\n')
    done = command(folder, "train", "--corpus", "corpus.txt", "-p", "random", "--print-config")
    assert done.returncode == 0, done.stderr
    assert "steps = 7\n" in done.stdout
    assert f"{path} sets steps, attention" in done.stderr


def test_a_folder_that_the_users_own_file_trusts_may_say_everything(folder: Path) -> None:
    write(folder / "llmattn.toml", 'provider = "random"\n')
    write(own_folder(folder) / "llmattn.toml", f'trusted = ["{folder}"]\n')
    done = command(folder, *SCORE)
    assert done.returncode == 0, done.stderr
    below = folder / "below"
    below.mkdir()
    write(below / "llmattn.toml", 'provider = "random"\n')
    done = command(below, "score", "../corpus.txt", XDG_CONFIG_HOME=str(folder / "home"))
    assert done.returncode == 3


@pytest.mark.parametrize("whose", ["project", "user"])
def test_one_that_others_may_write_is_not_read(folder: Path, whose: str) -> None:
    place = folder if whose == "project" else own_folder(folder)
    path = write(place / "llmattn.toml", "[train]\nsteps = 7\n")
    path.chmod(0o666)
    done = command(folder, "train", "--corpus", "corpus.txt", "-p", "random", "--print-config")
    assert f"{path} is not read: other users may write it" in done.stderr
    assert "steps = 7\n" not in done.stdout


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give files away")
def test_one_of_another_user_is_not_read(folder: Path) -> None:
    path = write(folder / "llmattn.toml", "[train]\nsteps = 7\n")
    os.chown(path, 54321, 54321)
    done = command(folder, "train", "--corpus", "corpus.txt", "-p", "random", "--print-config")
    assert f"{path} is not read: it belongs to another user" in done.stderr
    assert "steps = 7\n" not in done.stdout
