"""Before money is spent: what is told, who is asked, and how far it goes without an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llmattn import get_attention_matrix
from llmattn.errors import BudgetExceeded, ConfigError
from llmattn.scoring.options import ScoringOptions
from llmattn.testing.server import ScoreServer
from support_cli import FAILED, run_cli, run_on_terminal
from support_engine import SMALL, write_corpus
from support_scoring import custom_source, some_rows

KEY = "sk-never-seen-1234567890"
FEW = ("-o", "pairs_per_request=20")


@pytest.fixture
def server() -> Iterator[ScoreServer]:
    with ScoreServer() as running:
        yield running


def paid(server: ScoreServer, **more: str) -> dict[str, str]:
    """A key that happens to be set; the model has a price."""
    return {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.url, **more}


def unpriced(server: ScoreServer, **more: str) -> dict[str, str]:
    return paid(server, LLM_MODEL="test-model", **more)


def score(folder: Path, environ: dict[str, str], *options: str) -> Any:
    write_corpus(folder)
    return run_cli(folder, "score", "corpus.txt", *options, **environ)


def test_the_first_line_tells_what_is_asked_and_what_it_costs_at_most(
    tmp_path: Path, server: ScoreServer
) -> None:
    write_corpus(tmp_path)
    plan = run_cli(tmp_path, "plan", "corpus.txt", "--json", **paid(server))
    (found,) = json.loads(plan.stdout)
    done = score(tmp_path, paid(server))
    assert done.returncode == 0, done.stderr
    chosen, first = done.stderr.splitlines()[:2]
    assert "using openai, since OPENAI_API_KEY is set" in chosen
    assert first.startswith("openai: 1 request to send, about ")
    assert f", for {found['pairs']:,} pairs by gpt-5.4-mini; at most $1.00" in first
    assert "LLMATTN_MAX_COST" in first
    assert KEY not in done.stderr


@pytest.mark.parametrize("answer", ["", "n", "what?"])
def test_on_a_terminal_anything_but_a_yes_sends_nothing(
    tmp_path: Path, server: ScoreServer, answer: str
) -> None:
    write_corpus(tmp_path)
    done = run_on_terminal(tmp_path, "score", "corpus.txt", answer=answer, **paid(server))
    assert done.returncode in FAILED
    assert len(server.log.requests) == 0
    assert "at most $" in done.stderr
    assert "Ask? [y/N]" in done.stderr
    assert "Nothing was asked" in done.stderr


def test_a_yes_on_a_terminal_asks_and_is_asked_for_once(
    tmp_path: Path, server: ScoreServer
) -> None:
    write_corpus(tmp_path)
    command = ("train", "--corpus", "corpus.txt", "--steps", "1", *SMALL, *FEW)
    done = run_on_terminal(tmp_path, *command, answer="y", **paid(server))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("[y/N]") == 1
    assert len(server.log.requests) > 3


@pytest.mark.parametrize(
    ("options", "environ"),
    [
        (("--yes",), {}),
        (("--max-cost", "0.5"), {}),
        (("--max-requests", "50"), {}),
        ((), {"LLMATTN_MAX_COST": "0.5"}),
    ],
)
def test_no_question_comes_where_the_user_has_answered(
    tmp_path: Path, server: ScoreServer, options: tuple[str, ...], environ: dict[str, str]
) -> None:
    write_corpus(tmp_path)
    command = ("score", "corpus.txt", *options)
    done = run_on_terminal(tmp_path, *command, answer="n", **paid(server, **environ))
    assert done.returncode == 0, done.stderr
    assert "[y/N]" not in done.stderr
    assert "at most" in done.stderr
    assert server.log.requests


def test_what_the_cache_has_needs_no_question(tmp_path: Path, server: ScoreServer) -> None:
    assert score(tmp_path, paid(server)).returncode == 0
    again = run_on_terminal(tmp_path, "score", "corpus.txt", answer="n", **paid(server))
    assert again.returncode == 0
    assert "at most" not in again.stderr


@pytest.mark.parametrize("command", ["score", "train", "compare"])
def test_without_a_terminal_a_run_stops_at_the_default_limit_with_a_message(
    tmp_path: Path, server: ScoreServer, command: str
) -> None:
    write_corpus(tmp_path)
    options = {
        "score": ("corpus.txt", *FEW),
        "train": ("--corpus", "corpus.txt", *SMALL, *FEW),
        "compare": ("corpus.txt", "--arms", "external:openai", "-o", "openai.pairs_per_request=20"),
    }[command]
    limited = unpriced(server, LLMATTN_MAX_REQUESTS="2")
    done = run_cli(tmp_path, command, *options, **limited)
    assert done.returncode in FAILED
    assert "at most 2 requests" in done.stderr
    assert "--max-requests" in done.stderr.splitlines()[-1]
    assert len(server.log.requests) == 2
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_provider_of_unknown_price_is_limited_in_requests(
    tmp_path: Path, server: ScoreServer
) -> None:
    done = score(tmp_path, unpriced(server, LLMATTN_MAX_REQUESTS="3"), *FEW)
    assert done.returncode in FAILED
    assert len(server.log.requests) == 3
    assert "price not known, for 124 pairs by test-model; at most 3 requests" in done.stderr
    assert "LLMATTN_MAX_REQUESTS" in done.stderr.splitlines()[-1]


def test_a_hundred_requests_are_the_limit_where_nobody_has_set_one(
    tmp_path: Path, server: ScoreServer
) -> None:
    done = score(tmp_path, unpriced(server), "-o", "pairs_per_request=1")
    assert done.returncode in FAILED
    assert len(server.log.requests) == 100


@pytest.mark.parametrize(
    ("name", "value"), [("LLMATTN_MAX_COST", "lots"), ("LLMATTN_MAX_REQUESTS", "1.5")]
)
def test_a_limit_of_the_environment_that_is_no_number_is_told_by_name(
    tmp_path: Path, server: ScoreServer, name: str, value: str
) -> None:
    environ = (paid if name == "LLMATTN_MAX_COST" else unpriced)(server, **{name: value})
    done = score(tmp_path, environ)
    assert done.returncode in FAILED
    assert len(server.log.requests) == 0
    assert f"{name} is '{value}'" in done.stderr


def test_the_users_own_limit_ends_a_run_without_an_error(
    tmp_path: Path, server: ScoreServer
) -> None:
    done = score(tmp_path, unpriced(server), "--max-requests", "2", *FEW)
    assert (done.returncode, len(server.log.requests)) == (0, 2)
    assert "Stopped early" in done.stdout


@pytest.mark.parametrize("command", ["score", "train"])
def test_for_nothing_a_provider_of_unknown_price_reads_the_cache_alone(
    tmp_path: Path, server: ScoreServer, command: str
) -> None:
    write_corpus(tmp_path)
    custom = ("-p", "custom", "--model", "test-model", "-o", f"base_url={server.url}")
    assert run_cli(tmp_path, "score", "corpus.txt", *custom).returncode == 0
    asked = len(server.log.requests)
    text = (tmp_path / "corpus.txt").read_text()
    (tmp_path / "corpus.txt").write_text(text + "a wholly new line.\n")
    options = {"score": ("corpus.txt",), "train": ("--corpus", "corpus.txt", "--steps", "1")}
    more = SMALL if command == "train" else ()
    done = run_cli(tmp_path, command, *options[command], *more, *custom, "--max-cost", "0")
    assert done.returncode == 0, done.stderr
    assert len(server.log.requests) == asked > 0


def test_a_local_server_is_asked_without_question_or_limit(
    tmp_path: Path, server: ScoreServer
) -> None:
    write_corpus(tmp_path)
    custom = ("-p", "custom", "--model", "test-model", "-o", f"base_url={server.url}")
    command = ("score", "corpus.txt", *custom, "-o", "pairs_per_request=1")
    done = run_on_terminal(tmp_path, *command, answer="n")
    assert done.returncode == 0, done.stderr
    assert "[y/N]" not in done.stderr
    assert len(server.log.requests) > 100


def test_a_server_elsewhere_is_no_local_one() -> None:
    from llmattn_custom.provider import CustomProvider
    from llmattn_custom.settings import CustomSettings

    here = ("http://127.0.0.1:1/v1", "http://localhost:1/v1", "http://[::1]:1/v1")
    there = ("http://10.0.0.1:1/v1", "https://localhost.example.org/v1", "http://example.org/127")
    for address in (*here, *there):
        provider = CustomProvider(CustomSettings(base_url=address, model="m"))
        assert provider.on_this_machine == (address in here)


def test_a_probe_tells_its_cost_first(tmp_path: Path, server: ScoreServer) -> None:
    done = run_cli(tmp_path, "score", "--probe", "-p", "openai", **paid(server))
    assert done.returncode == 0, done.stderr
    assert "openai: 1 request to send" in done.stderr
    assert "for 120 pairs by gpt-5.4-mini; at most $1.00" in done.stderr


def test_python_code_is_held_to_the_default_too(
    tmp_path: Path, server: ScoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in unpriced(server, LLMATTN_MAX_REQUESTS="0").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BudgetExceeded, match="LLMATTN_MAX_REQUESTS"):
        get_attention_matrix("the cat sat", provider="openai", cache="memory")
    assert not server.log.requests


def test_a_price_of_nothing_is_no_reason_to_ask(tmp_path: Path, server: ScoreServer) -> None:
    free = ("--price-in", "0", "--price-out", "0")
    done = score(tmp_path, unpriced(server, LLMATTN_MAX_REQUESTS="1"), *free, *FEW)
    assert done.returncode == 0, done.stderr
    assert len(server.log.requests) > 1


def test_a_second_fill_within_what_was_allowed_is_not_told_again(
    tmp_path: Path, server: ScoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    options = ScoringOptions(quiet=True, price_in=1.0, price_out=1.0)
    caplog.set_level("INFO")
    with custom_source(server, tmp_path, options) as source:
        source.fill(some_rows(3, 4))
        source.fill(some_rows(6, 4))
    assert caplog.text.count("to send") == 1


def test_max_cost_still_needs_a_price(tmp_path: Path, server: ScoreServer) -> None:
    limited = ScoringOptions(max_cost=1.0)
    with pytest.raises(ConfigError, match="--price-in"), custom_source(server, tmp_path, limited):
        pass


def test_a_batch_is_asked_about_before_its_first_pair(tmp_path: Path, server: ScoreServer) -> None:
    write_corpus(tmp_path)
    command = ("score", "corpus.txt", "--batch")
    done = run_on_terminal(tmp_path, *command, answer="n", **paid(server))
    assert done.returncode in FAILED
    assert len(server.log.requests) == 0
    assert "for 124 pairs by gpt-5.4-mini; at most $" in done.stderr


def test_sampling_that_may_ask_says_so_once_and_keeps_the_limit(
    tmp_path: Path, server: ScoreServer
) -> None:
    write_corpus(tmp_path)
    train = ("train", "--corpus", "corpus.txt", "--steps", "1", *SMALL)
    assert run_cli(tmp_path, *train, **unpriced(server)).returncode == 0
    asked = len(server.log.requests)
    command = ("sample", "--ask", "--prompt", "sees sees likes likes")
    done = run_cli(tmp_path, *command, **unpriced(server, LLMATTN_MAX_REQUESTS="0"))
    assert done.returncode in FAILED
    assert len(server.log.requests) == asked
    assert "asked for scores as they are needed; at most 0 requests" in done.stderr
    done = run_on_terminal(tmp_path, *command, answer="y", **unpriced(server))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("[y/N]") == 1
    assert len(server.log.requests) > asked
