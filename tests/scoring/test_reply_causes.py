"""Servers that never give usable scores: few requests, and the cause is told.

The table is that of docs/misbehaving.md; the answers are in ``support_causes``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attrs import frozen
from llmattn.causes import Cause
from llmattn.errors import BadReply, ProviderError
from llmattn.providers.prompt import read_rows
from llmattn.rows import prefix_rows
from llmattn.scoring.options import ScoringOptions
from llmattn.testing.api import Answer, scores_text
from llmattn.testing.faults import FaultPlan
from llmattn.testing.server import ScoreServer
from support_causes import CAUSES, chat, html, message
from support_scoring import assert_scored, custom_source, some_rows

_TABLE = Path(__file__).parents[2] / "docs" / "misbehaving.md"


@frozen
class Line:
    cause: str
    example: str
    requests: int
    told: str


def table() -> list[Line]:
    """The lines of the table of causes."""
    after = _TABLE.read_text().partition("## A provider that never answers usably\n")[2]
    text = after.partition("\n## ")[0]
    cells = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [
        Line(cause.strip(), example.strip(" `"), int(requests), told.strip())
        for cause, example, requests, told in cells[1:]
    ]


def sent(answer: Answer) -> str:
    """What goes over the wire, with its status, to look for examples in."""
    body = answer.body
    text = body.decode() if isinstance(body, bytes) else json.dumps(body)
    return f"{answer.status} {text}".replace('\\"', '"')


def test_the_table_has_a_line_for_each_cause_that_is_tried() -> None:
    assert [line.cause for line in table()] == list(CAUSES)


@pytest.mark.parametrize("line", table(), ids=lambda line: line.cause)
def test_a_server_that_never_answers_usably_costs_few_requests_and_the_cause_is_told(
    line: Line, tmp_path: Path
) -> None:
    answers: list[Answer] = []

    def script(number: int, body: dict[str, object]) -> Answer:
        answers.append(CAUSES[line.cause](body))
        return answers[-1]

    with (
        ScoreServer(script=script) as server,
        custom_source(server, tmp_path, pairs_per_request=100) as source,
        pytest.raises(ProviderError) as caught,
    ):
        source.fill(some_rows(60, 20))
    assert line.told in str(caught.value)
    assert line.example in sent(answers[0])
    assert server.log.received == line.requests <= 5


def test_a_context_too_small_for_any_text_is_told_as_one_for_any_pair(tmp_path: Path) -> None:
    script = CAUSES["a context that is too small"]
    with (
        ScoreServer(script=lambda number, body: script(body)) as server,
        custom_source(server, tmp_path, scope="prefix") as source,
        pytest.raises(ProviderError, match=r"\. Not even one pair fits"),
    ):
        source.fill(prefix_rows(["the", " cat", " ran"]))


@pytest.mark.parametrize("name", ["words", "a refusal", "a web page", "a reply cut short"])
@pytest.mark.parametrize("at_once", [1, 64])
@pytest.mark.parametrize("queries", [1, 300])
def test_neither_size_nor_concurrency_make_a_useless_server_dearer(
    name: str, at_once: int, queries: int, tmp_path: Path
) -> None:
    with (
        ScoreServer(script=lambda number, body: CAUSES[name](body), latency=0.01) as server,
        custom_source(server, tmp_path, rows_per_request=1, requests_at_once=at_once) as source,
        pytest.raises(BadReply),
    ):
        source.fill(some_rows(queries, 8))
    assert server.log.received <= 5


def test_causes_that_alternate_are_told_by_the_most_frequent(tmp_path: Path) -> None:
    names = ["a web page", "words", "an empty body", "words", "a web page"]
    with (
        ScoreServer(script=lambda number, body: CAUSES[names[number % 5]](body)) as server,
        custom_source(server, tmp_path) as source,
        pytest.raises(BadReply, match="web page"),
    ):
        source.fill(some_rows(40, 20))
    assert server.log.received == 5


def test_no_more_is_asked_than_the_summary_says(tmp_path: Path, told: Callable[[], str]) -> None:
    with (
        ScoreServer(script=lambda number, body: CAUSES["words"](body)) as server,
        custom_source(server, tmp_path) as source,
        pytest.raises(BadReply) as caught,
    ):
        source.fill(some_rows(4, 4))
    received = server.log.received
    shown = "1 of 1 request" if received == 1 else f"{received} requests (1 planned)"
    assert shown in told()
    assert caught.value.cause is Cause.NO_JSON


_OF_MODELS = (
    "a refusal",
    "a content filter",
    "reasoning without an answer",
    "a reply cut short",
    "an empty reply",
    "words",
    "JSON that ends in the middle",
    "another form",
    "words for scores",
)


@pytest.mark.parametrize("name", _OF_MODELS)
def test_a_server_whose_fifth_answer_is_the_first_of_use_gets_through(
    name: str, tmp_path: Path
) -> None:
    rows = some_rows(30, 10)

    def script(number: int, body: dict[str, object]) -> Answer | None:
        return CAUSES[name](body) if number < 4 else None

    with ScoreServer(script=script) as server, custom_source(server, tmp_path) as source:
        assert source.fill(rows).left == 0
        assert_scored(source, rows)


def test_a_server_that_ignores_the_schema_is_asked_in_the_form_that_works_from_then_on(
    tmp_path: Path,
) -> None:
    def script(number: int, body: dict[str, object]) -> Answer | None:
        form = body.get("response_format")
        return chat("No.") if form != {"type": "json_object"} else None

    rows = some_rows(30, 10)
    with (
        ScoreServer(script=script) as server,
        custom_source(server, tmp_path, pairs_per_request=50) as source,
    ):
        source.fill(rows)
        assert_scored(source, rows)
        assert len(server.log.requests) == 1 + 6


def test_words_that_a_model_refuses_do_not_block_the_others(tmp_path: Path) -> None:
    def script(number: int, body: dict[str, object]) -> Answer | None:
        messages = body["messages"]
        assert isinstance(messages, list)
        queries = [query for query, _ in read_rows(messages[-1]["content"])]
        return chat(None, refusal="Not that.") if "query1" in queries else None

    rows = some_rows(24, 8)
    with ScoreServer(script=script) as server:
        for size in (1, 128):  # requests of their own, and one for all
            folder = tmp_path / str(size)
            with custom_source(server, folder, rows_per_request=size) as source:
                report = source.fill(rows)
                assert source.missing(rows) == [rows[1]]
                assert report.trouble is not None
                assert "The model refused: 'Not that.'" in source.summary(report)


def test_control_characters_of_a_server_reach_no_terminal(tmp_path: Path) -> None:
    said = "\x1b]0;owned\x07 \u202eevil"
    for script in (lambda n, body: chat(said), lambda n, body: message({"error": said}, 400)):
        with (
            ScoreServer(script=script) as server,
            custom_source(server, tmp_path) as source,
            pytest.raises(ProviderError) as caught,
        ):
            source.fill(some_rows(4, 4))
        assert str(caught.value).isprintable()


def test_a_key_that_a_server_gives_back_is_hidden(tmp_path: Path) -> None:
    key = "sk-planted-and-echoed"
    with (
        ScoreServer(script=lambda number, body: html(f"<html>{key}")) as server,
        custom_source(server, tmp_path, api_key=key) as source,
        pytest.raises(ProviderError) as caught,
    ):
        source.fill(some_rows(4, 4))
    assert key not in str(caught.value)
    assert "[hidden]" in str(caught.value)


def test_what_ended_a_fill_does_not_end_the_next_of_the_same_source(tmp_path: Path) -> None:
    rows = some_rows(4, 4)
    with ScoreServer() as server, custom_source(server, tmp_path) as source:
        for name in ("a web page", "a wrong key", "a fault of the server"):
            server.change(script=lambda number, body, name=name: CAUSES[name](body))
            with pytest.raises(ProviderError):
                source.fill(rows)
        server.change(script=None)
        report = source.fill(rows)
        assert (report.left, report.stopped, report.trouble) == (0, None, None)


def test_tokens_that_cannot_be_meant_are_not_booked(tmp_path: Path) -> None:
    told: list[object] = [None, "lots", [], {}, {"prompt_tokens": -5, "completion_tokens": 1}]
    told.append({"prompt_tokens": "12", "completion_tokens": "9"})
    told.append({"prompt_tokens": float("nan"), "completion_tokens": 10**400})
    for number, usage in enumerate(told):

        def script(n: int, body: dict[str, object], usage: object = usage) -> Answer:
            answer = chat(scores_text(body))
            return Answer(200, {**answer.body, "usage": usage})

        options = ScoringOptions(quiet=True, price_in=1.0, price_out=1.0)
        with (
            ScoreServer(script=script) as server,
            custom_source(server, tmp_path / str(number), options) as source,
        ):
            rows = some_rows(4, 8)
            report = source.fill(rows)
            assert report.left == 0
            estimate = source.provider.estimate(rows)  # type: ignore[attr-defined]
            assert report.usage.prompt_tokens == estimate.prompt_tokens


def test_faults_once_the_provider_has_answered_are_tried_again_as_before(tmp_path: Path) -> None:
    class Later(FaultPlan):
        def draw(self, number: int) -> str | None:
            return "empty" if 1 <= number < 13 else None

    rows = some_rows(30, 8)
    with (
        ScoreServer(faults=Later()) as server,
        custom_source(server, tmp_path, rows_per_request=1, requests_at_once=4) as source,
    ):
        assert source.fill(rows).left == 0


def test_a_sample_asks_no_more_of_a_provider_that_never_answers_usably(
    tmp_path: Path, told: Callable[[], str]
) -> None:
    with (
        ScoreServer(script=lambda number, body: CAUSES["words"](body)) as server,
        custom_source(server, tmp_path) as source,
    ):
        for row in some_rows(10, 4):
            (scores,) = source.scores_given([row])
            assert np.isnan(scores).all()
        assert server.log.received <= 5
    assert told().count("Going on without") == 1
