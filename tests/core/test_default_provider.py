"""Which provider is used where nobody names one, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import frozen
from llmattn.plugins import Plugins
from llmattn.registry import CacheRegistry, ProviderRegistry
from llmattn.scoring.find_provider import Chosen, choose_provider
from llmattn_transformers.at_hand import why_at_hand
from support_cli import run_cli
from support_engine import write_corpus
from support_transformers import gguf_of_wheel, needs_smollm2, save_model


@frozen
class Settings:
    pass


def at_hand(environ: Mapping[str, str]) -> str:
    return "it is here" if environ.get("HERE") else ""


def fails(environ: Mapping[str, str]) -> str:
    raise RuntimeError("no")


def offering(**providers: object) -> Plugins:
    registry = ProviderRegistry()
    for name, when in providers.items():
        registry.add(name, "nowhere:Nothing", Settings, "", chosen_when=when)  # type: ignore[arg-type]
    return Plugins((), registry, CacheRegistry())


def test_a_function_says_whether_a_provider_is_at_hand() -> None:
    plugins = offering(mine=at_hand)
    assert choose_provider(plugins, {"HERE": "1"}) == Chosen("mine", "it is here")
    assert choose_provider(plugins, {}).name == "cooccurrence"


def test_a_function_that_fails_harms_no_other_provider() -> None:
    assert choose_provider(offering(a=fails, b="B"), {"B": "1"}).name == "b"


def test_a_line_names_the_variable_that_has_chosen(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, "plan", "corpus.txt", OPENAI_API_KEY="k")
    assert done.stderr.startswith("No provider is named: using openai, since OPENAI_API_KEY is set")


@needs_smollm2
def test_an_installed_language_model_is_chosen_before_counting_words(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, "plan", "corpus.txt")
    assert "using transformers, since the language model smollm2 is on this" in done.stderr
    assert done.stdout.startswith("provider")


def test_without_a_language_model_words_are_counted(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, "plan", "corpus.txt", LLM_MODEL="nobody/has-this")
    assert "using cooccurrence, since no other is set up" in done.stderr


@needs_smollm2
def test_a_model_is_at_hand_by_its_short_name_or_its_file() -> None:
    assert why_at_hand({}) == "the language model smollm2 is on this machine"
    assert why_at_hand({"LLM_MODEL": str(gguf_of_wheel())})


def test_a_model_is_at_hand_as_a_folder_or_in_hugging_faces_cache(tmp_path: Path) -> None:
    assert why_at_hand({"LLM_MODEL": str(save_model(tmp_path / "own"))})
    fetched = {"LLM_MODEL": "who/what", "HF_HOME": str(tmp_path)}
    assert not why_at_hand(fetched)
    snapshot = tmp_path / "hub" / "models--who--what" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    assert why_at_hand(fetched)


@pytest.mark.parametrize(
    "command", [("plan",), ("score", "--max-cost", "0"), ("score", "--max-requests", "0")]
)
def test_no_key_is_needed_where_nothing_is_sent(tmp_path: Path, command: tuple[str, ...]) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, *command, "--corpus", "corpus.txt", "--provider", "openai")
    assert done.returncode == 0, done.stderr
    assert "OPENAI_API_KEY" not in done.stderr


def test_a_key_is_needed_where_something_is_sent(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, "score", "corpus.txt", "--provider", "openai", "--max-cost", "1")
    assert "OPENAI_API_KEY" in done.stderr
