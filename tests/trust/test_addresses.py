"""Who is asked is told, with where the address comes from, unless it is the provider's own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from llmattn.settings import addresses, resolve, stated
from llmattn.testing.server import ScoreServer
from llmattn_cerebras.settings import CerebrasSettings
from llmattn_openai.settings import OpenAISettings
from support_engine import SMALL, write_corpus
from support_trust import KEYS, command

TRAIN = ("train", "--corpus", "corpus.txt", "--steps", "2", "--block-size", "8", *SMALL)


@pytest.fixture
def server() -> Iterator[ScoreServer]:
    with ScoreServer() as running:
        yield running


def test_an_address_is_told_once_for_all_requests_of_a_command(
    tmp_path: Path, server: ScoreServer
) -> None:
    write_corpus(tmp_path)
    own = {**KEYS, "CUSTOM_BASE_URL": server.url, "LLM_MODEL": "test-model"}
    done = command(tmp_path, *TRAIN, "--provider", "custom", environ=own)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("asking ") == 1
    assert f"asking {server.url}, from CUSTOM_BASE_URL\n" in done.stderr
    again = command(tmp_path, *TRAIN, "--provider", "custom", environ=own)
    assert "asking " not in again.stderr  # everything is cached, so nobody is asked


def test_an_address_of_an_option_is_told_as_such_and_without_its_password(
    tmp_path: Path, server: ScoreServer
) -> None:
    write_corpus(tmp_path)
    url = server.url.replace("://", "://me:planted-password@")
    asked = ("-o", f"custom.base_url={url}", "-o", "custom.model=test-model")
    done = command(tmp_path, "score", "corpus.txt", "--provider", "custom", *asked)
    assert f"asking {server.url}, from option base_url\n" in done.stderr
    assert "planted-password" not in done.stderr


def test_the_address_of_a_configuration_that_the_user_names_is_the_users_own(
    tmp_path: Path, server: ScoreServer
) -> None:
    write_corpus(tmp_path)
    told = '[arms.theirs]\nprovider = "custom"\nmodel = "test-model"\nlr = 0.01\n'
    told += f'options = {{ base_url = "{server.url}", reply = "digits" }}\n'
    (tmp_path / "compare.toml").write_text(told)
    small = ("--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--batch-size", "4")
    quick = ("--steps", "2", "--seeds", "1", "--block-size", "8", "--jobs", "1", "--lr", "1e-2")
    words = ("compare", "corpus.txt", "--config", "compare.toml", "--arms", "theirs,position")
    done = command(tmp_path, *words, *quick, *small)
    assert done.returncode == 0, done.stderr
    assert f"asking {server.url}, from option base_url\n" in done.stderr
    # The key of another provider stays at home.
    assert KEYS["OPENAI_API_KEY"] not in str(server.log.requests)


@pytest.mark.parametrize("cls", [OpenAISettings, CerebrasSettings])
def test_a_providers_own_address_is_not_told(cls: type) -> None:
    options = {"api_key": "sk-planted-1", "model": "m"}
    settings: object = resolve(cls, owner="p", options=options, environ={})
    assert addresses(settings, stated(cls, owner="p", options=options, environ={})) == []


def test_the_command_that_train_prints_finds_the_scores_again(
    tmp_path: Path, server: ScoreServer
) -> None:
    write_corpus(tmp_path)
    asked = (
        "-o",
        f"custom.base_url={server.url}",
        "-o",
        f"custom.api_key={KEYS['CUSTOM_API_KEY']}",
    )
    scored = ("--provider", "custom", "--model", "test-model", "--scope", "prefix")
    done = command(tmp_path, *TRAIN, *scored, *asked, "--cache-dir", "my scores", "--out", "my.pt")
    assert done.returncode == 0, done.stderr
    assert KEYS["CUSTOM_API_KEY"] not in done.stdout + done.stderr
    (printed,) = re.findall(r"Now try: python -m llmattn\.(.*)", done.stdout)
    words = shlex.split(printed)
    assert words[:3] == ["sample", "--checkpoint", "my.pt"]
    sampled = command(tmp_path, *words, "--prompt", "the cat", "--max-new", "2")
    assert sampled.returncode == 0, sampled.stderr


def test_the_command_that_resumes_an_interrupted_run_is_complete(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    scored = ("--provider", "random", "--scope", "prefix", "--max-time", "1e-9")
    done = command(tmp_path, *TRAIN, *scored, "--out", "my.pt")
    (printed,) = re.findall(r"Go on with: python -m llmattn\.(.*)", done.stdout)
    resumed = command(tmp_path, *shlex.split(printed))
    assert resumed.returncode == 0, resumed.stderr
