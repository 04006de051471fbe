"""``llmattn.toml``: what counts before what, and what ``config show`` says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support_settle import command, own_folder, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text("the cat eats fish .\nthe dog eats meat .\n" * 9)
    return tmp_path


def trusting(folder: Path, text: str = "") -> Path:
    """The user's own file, which trusts the folder."""
    return write(own_folder(folder) / "llmattn.toml", f'trusted = ["{folder}"]\n{text}')


def shown(folder: Path, *arguments: str, **environ: str) -> dict[str, tuple[str, str]]:
    done = command(folder, "config", "show", "--json", *arguments, **environ)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["settings"]
    return {row["setting"]: (row["value"], row["from"]) for row in rows}


def test_each_source_goes_before_the_next(folder: Path) -> None:
    custom = ("-p", "custom")
    own = trusting(folder, '[settings.custom]\nbase_url = "http://own/v1"\n')
    assert shown(folder, *custom)["custom.base_url"] == (
        "http://own/v1",
        f"custom.base_url in {own}",
    )
    project = write(
        folder / "llmattn.toml", '[settings.custom]\nbase-url = "http://project/v1"\ntimeout = 7\n'
    )
    found = shown(folder, *custom)
    assert found["custom.base_url"][1] == f"custom.base_url in {project}"
    assert found["custom.timeout"] == ("7", f"custom.timeout in {project}")
    dotenv = write(folder / ".env", "CUSTOM_BASE_URL=http://dotenv/v1\n")
    assert shown(folder, *custom)["custom.base_url"] == (
        "http://dotenv/v1",
        f"CUSTOM_BASE_URL in {dotenv}",
    )
    environ = {"CUSTOM_BASE_URL": "http://environ/v1"}
    assert shown(folder, *custom, **environ)["custom.base_url"] == (
        "http://environ/v1",
        "CUSTOM_BASE_URL",
    )
    typed = shown(folder, *custom, "-o", "base_url=http://typed/v1", **environ)
    assert typed["custom.base_url"] == ("http://typed/v1", "option base_url")
    assert typed["custom.reply"] == ("digits", "the default")


def test_what_stands_at_the_top_is_what_its_variable_is(folder: Path) -> None:
    own = trusting(folder, 'provider = "custom"\nmodel = "one"\nmax-cost = 2.5\n')
    found = shown(folder)
    assert found["provider"] == ("custom", f"provider in {own}")
    assert found["max_cost"] == ("2.5", f"max_cost in {own}")
    assert found["custom.model"] == ("one", f"model in {own}")
    assert shown(folder, LLM_MODEL="two")["custom.model"] == ("two", "LLM_MODEL")
    trusting(folder, 'provider = "custom"\nmodel = "one"\n[settings.custom]\nmodel = "own"\n')
    assert shown(folder)["custom.model"] == ("own", f"custom.model in {own}")


def test_a_relative_path_starts_at_the_file(folder: Path) -> None:
    own = trusting(folder, 'cache-dir = "there"\n[train]\nout = "model.pt"\n')
    done = command(folder, "cache", "path")
    assert done.stdout == f"{folder / 'scores'}/scores.mdb\n"  # the environment's, as set here
    done = command(folder, "cache", "path", LLMATTN_CACHE_DIR="")
    assert done.stdout == f"{own.parent / 'there'}/scores.mdb\n"
    assert shown(folder, "train")["train --out"][0] == str(own.parent / "model.pt")


def test_a_commands_table_is_its_default_and_what_is_typed_counts(folder: Path) -> None:
    own = trusting(folder, "[train]\nsteps = 1\nn-layer = 2\nn_embd = 16\nn_head = 2\n")
    small = ("--corpus", "corpus.txt", "-p", "random", "--block-size", "8")
    done = command(folder, "train", *small, "--n-layer", "1", "--print-config")
    assert "n-layer = 1\n" in done.stdout
    assert "steps = 1\n" in done.stdout
    assert shown(folder, "train")["train --n-layer"] == ("2", f"[train] n_layer in {own}")
    assert "sets" not in done.stderr
    (folder / "file.toml").write_text("n-layer = 4\n")
    done = command(folder, "train", *small, "--config", "file.toml", "--print-config")
    assert "n-layer = 4\n" in done.stdout


def test_a_default_of_a_file_is_no_word_against_a_checkpoint(folder: Path) -> None:
    small = ("--block-size", "8", "--n-layer", "1", "--n-head", "2", "--n-embd", "16")
    train = ("train", "--corpus", "corpus.txt", "-p", "random", "--steps", "1", *small)
    assert command(folder, *train).returncode == 0
    trusting(folder, "[train]\nn-layer = 3\nrpm = 5\n")
    done = command(folder, "train", "--resume", "--steps", "2")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("provider = ", "cannot be read"),
        ('provder = "x"', "there is no setting 'provder'"),
        ("provider = []", "no text or number"),
        ("[trian]\nsteps = 1", "[trian] is no command"),
        ("[train]\nstep = 1", "[train] step is no option of `llmattn train`"),
        ('[train]\nsteps = "many"', "[train] steps = 'many' is no value of it"),
        ("[train]\nn-layer = 0", "it must be at least 1"),
        ("[train]\nmodel = 'm'", "write it at the top"),
        ("[settings.random]\nsed = 1", "random has no setting 'sed'"),
        ("settings = 3", "there is no setting 'settings'"),
        ("[settings]\nrandom = 3", "[settings.random]"),
        ("trusted = 3", "trusted is a list of folders"),
        ("[settings.openai]\napi_key = 'sk-in-a-file'", "llmattn keys set OPENAI_API_KEY"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_place(folder: Path, text: str, told: str) -> None:
    own = write(own_folder(folder) / "llmattn.toml", text)
    provider = "openai" if "openai" in text else "random"
    done = command(folder, "train", "--corpus", "corpus.txt", "-p", provider)
    assert done.returncode == 3, done.stderr
    assert told in done.stderr
    assert str(own) in done.stderr
    assert "sk-in-a-file" not in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_and_passwords_are_not_shown(folder: Path) -> None:
    environ = {
        "OPENAI_API_KEY": "sk-planted-5417",
        "OPENAI_BASE_URL": "http://me:planted-word@host/v1?token=planted-too",
    }
    for more in ((), ("--json",)):
        done = command(folder, "config", "show", "-p", "openai", *more, **environ)
        assert done.returncode == 0, done.stderr
        assert "planted" not in done.stdout + done.stderr
        assert "(a key, not shown)" in done.stdout
        assert "http://host/v1" in done.stdout
