"""Planted keys and passwords appear in nothing that a command prints, logs or writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from llmattn.testing.server import ScoreServer
from support_cli import run_process

KEY, PASSWORD = "sk-planted-key-5417", "planted-password-8823"
CORPUS = "the cat eats fish .\nthe dog eats meat .\nthe cat sees the dog .\n" * 10


def run(folder: Path, *arguments: str, **environ: str) -> str:
    """Everything that a command prints; it may fail."""
    done = run_process(folder, *arguments, **environ)
    return done.stdout + done.stderr


def everything_written(folder: Path) -> bytes:
    return b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".env"
    )


@pytest.mark.parametrize(("provider", "where"), [("openai", "environment"), ("custom", "dotenv")])
def test_no_command_shows_or_writes_a_key(tmp_path: Path, provider: str, where: str) -> None:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    with ScoreServer(api_key=KEY) as server:
        settings = {
            "LLM_MODEL": "test-model",
            f"{provider.upper()}_API_KEY": KEY,
            f"{provider.upper()}_BASE_URL": server.url,
        }
        environ = settings if where == "environment" else {}
        if where == "dotenv":
            lines = [f"{name}={value}\n" for name, value in settings.items()]
            (tmp_path / ".env").write_text("".join(lines))
        asked = ("-p", provider, "--debug")
        printed = run(tmp_path, "plan", "corpus.txt", *asked, **environ)
        printed += run(tmp_path, "score", "corpus.txt", *asked, **environ)
        assert server.log.requests, printed
        train = ("train", "--corpus", "corpus.txt", "--steps", "2", *asked)
        printed += run(tmp_path, *train, **environ)
        assert (tmp_path / "checkpoint.pt").exists(), printed
        printed += run(tmp_path, "cache", "stats", **environ)
        printed += run(tmp_path, "cache", "export", "scores.jsonl", **environ)
        server.change(api_key="another")
        printed += run(tmp_path, "score", "corpus.txt", "-o", "temperature=1", *asked, **environ)
    assert f"{provider.upper()}_API_KEY" in printed
    assert KEY not in printed
    assert KEY.encode() not in everything_written(tmp_path)


def test_a_password_in_the_url_is_not_shown_or_written(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    with ScoreServer(basic_auth=f"me:{PASSWORD}") as server:
        url = server.url.replace("://", f"://me:{PASSWORD}@")
        environ = {"CUSTOM_BASE_URL": url, "LLM_MODEL": "test-model"}
        asked = ("corpus.txt", "-p", "custom", "--debug")
        printed = run(tmp_path, "plan", *asked, **environ)
        printed += run(tmp_path, "score", *asked, **environ)
        assert server.log.requests, printed
    environ["CUSTOM_BASE_URL"] = f"ftp://me:{PASSWORD}@127.0.0.1:9/v1"
    printed += run(tmp_path, "score", *asked, **environ)
    assert "127.0.0.1:9" in printed
    assert PASSWORD not in printed
    assert PASSWORD.encode() not in everything_written(tmp_path)


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        (("-p", "openai", "-o", f"openai.api_key={KEY}"), "OPENAI_API_KEY"),
        (("-p", "custom", "-o", f"api_key={KEY}"), "CUSTOM_API_KEY"),
        (("-p", "custom", "-o", f"custom.base_url=http://me:{KEY}@host/v1"), "CUSTOM_BASE_URL"),
        (("-o", f"redis.url=redis://:{KEY}@host:6379/0"), "REDIS_URL"),
    ],
)
def test_a_printed_config_leaves_out_keys_and_passwords(
    tmp_path: Path, given: tuple[str, ...], instead: str
) -> None:
    printed = run(tmp_path, "train", *given, "-o", "lmdb.sync=false", "--print-config")
    assert 'option = ["lmdb.sync=false"]' in printed
    assert f"set {instead} in the environment" in printed
    assert KEY not in printed


def test_a_printed_config_needs_the_plugin_that_knows_what_is_secret(tmp_path: Path) -> None:
    printed = run(tmp_path, "train", "-o", f"unknown.token={KEY}", "--print-config")
    assert "No provider is called 'unknown'" in printed
    assert KEY not in printed


@pytest.mark.parametrize(
    "given", [("-o", "api_key="), ("-p", "random", "-o", "api_key="), ("-o", "random.api_key=")]
)
def test_a_printed_config_leaves_out_a_key_whose_owner_is_not_known(
    tmp_path: Path, given: tuple[str, ...]
) -> None:
    *options, name = given
    printed = run(tmp_path, "train", *options, f"{name}{KEY}", "--print-config")
    assert 'tokenizer = "words"' in printed
    assert "api_key is left out, since it holds a key or a password: type it each time" in printed
    assert KEY not in printed
