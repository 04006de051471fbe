"""Answers in forms of their own from which the scores can be taken all the same, or must not be."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from llmattn.causes import Cause
from llmattn.errors import BadReply
from llmattn.providers.prompt import read_rows
from llmattn.testing.api import Answer, scores_text
from llmattn.testing.objects import response
from llmattn.testing.server import ScoreServer
from support_causes import chat, message
from support_providers import ROWS, ask, expected, make

Body = dict[str, Any]


def rows_in(body: Body) -> list[str]:
    rows: list[str] = json.loads(scores_text(body))["relevance"]
    return rows


def rewritten(write: Callable[[list[str]], object]) -> Callable[[Body], Answer]:
    return lambda body: chat(json.dumps(write(rows_in(body))))


def by_query(body: Body) -> Answer:
    queries = [query for query, _ in read_rows(body["messages"][-1]["content"])]
    return chat(json.dumps({"relevance": dict(zip(queries, rows_in(body), strict=True))}))


def in_object(choice: object) -> Answer:
    return message({"choices": choice})


def in_parts(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text[:9]}, {"type": "text", "text": {"value": text[9:]}}]


TAKEN: dict[str, Callable[[Body], Answer]] = {
    "in reasoning_content": lambda b: chat("", reasoning_content=f"So: {scores_text(b)}"),
    "in reasoning, no content": lambda b: chat(None, reasoning=scores_text(b)),
    "complete, though cut": lambda b: chat(scores_text(b), "length"),
    "thoughts before": lambda b: chat('<think>{"relevance":["0"]}?</think>' + scores_text(b)),
    "thoughts after": lambda b: chat(scores_text(b) + "<think>was that {right?"),
    "thoughts begun by the template": lambda b: chat("Well, {} </think>" + scores_text(b)),
    "parts": lambda b: chat(in_parts(scores_text(b))),
    "strings": lambda b: chat([scores_text(b)[:9], scores_text(b)[9:]]),
    "thinking parts": lambda b: chat(
        [{"type": "thinking", "thinking": [{"text": "{}"}]}, *in_parts(scores_text(b))]
    ),
    "an object for its text": lambda b: chat(json.loads(scores_text(b))),
    "a refusal with content": lambda b: chat(scores_text(b), refusal="Hm."),
    "no finish reason": lambda b: chat(scores_text(b), None),  # type: ignore[arg-type]
    "spaced digits": rewritten(lambda rows: {"relevance": [" ".join(row) for row in rows]}),
    "digits as strings": rewritten(lambda rows: {"relevance": [list(row) for row in rows]}),
    "rows in lists of their own": rewritten(lambda rows: {"relevance": [[row] for row in rows]}),
    "rows by query": by_query,
    "rows alone": rewritten(lambda rows: rows),
    "wrapped": rewritten(lambda rows: {"result": {"relevance": rows}}),
    "capitals": rewritten(lambda rows: {"Relevance": rows}),
    "JSON in a string": lambda b: chat(json.dumps(scores_text(b))),
    "single quotes": lambda b: chat(scores_text(b).replace('"', "'")),
    "trailing commas": lambda b: chat(scores_text(b).replace("]", ",]")),
    "after a mark of byte order": lambda b: chat("\ufeff" + scores_text(b)),
    "a megabyte of words before": lambda b: chat("so " * 350_000 + scores_text(b)),
    "a list of one answer": lambda b: message([chat(scores_text(b)).body]),
    "a completion's text": lambda b: in_object([{"text": scores_text(b)}]),
    "a delta": lambda b: in_object([{"delta": {"content": scores_text(b)}}]),
    "a choice without a list": lambda b: in_object({"message": {"content": scores_text(b)}}),
    "a message without choices": lambda b: message({"message": {"content": scores_text(b)}}),
}


@pytest.mark.parametrize("form", TAKEN)
def test_scores_are_taken_from(form: str) -> None:
    with ScoreServer(script=lambda number, body: TAKEN[form](body)) as server:
        got = ask(make("custom", server.url))
    for row, scores in zip(ROWS, got.scores, strict=True):
        np.testing.assert_allclose(scores, expected(row), rtol=1e-6)


DEEP = 20_000
LEFT: dict[str, tuple[Callable[[Body], Answer], Cause]] = {
    "a draft before a reply that was cut": (
        lambda b: chat(scores_text(b) + ' better: {"relevance":["', "length"),
        Cause.CUT,
    ),
    "a draft in thoughts that were cut": (
        lambda b: chat("<think>Perhaps " + scores_text(b), "length"),
        Cause.REASONING,
    ),
    "a draft in the midst of thoughts": (
        lambda b: chat("", reasoning_content=scores_text(b) + " but I doubt it"),
        Cause.REASONING,
    ),
    "shares in place of digits": (
        rewritten(lambda rows: {"relevance": [[int(d) / 9 for d in row] for row in rows]}),
        Cause.SCORES,
    ),
    "digits run together": (
        rewritten(lambda rows: {"relevance": [int("1" + row) for row in rows]}),
        Cause.SCORES,
    ),
    "other scripts' digits": (
        rewritten(lambda rows: {"relevance": ["\u0661" * len(row) for row in rows]}),
        Cause.SCORES,
    ),
    "a name twice": (lambda b: chat(scores_text(b)[:-1] + ',"relevance":[]}'), Cause.FORM),
    "a flood of braces": (lambda b: chat("x{" * 300_000), Cause.NO_JSON),
    "a flood of thoughts": (lambda b: chat("<think>" * 100_000), Cause.EMPTY),
    "deep JSON in the text": (lambda b: chat('{"a":' * DEEP), Cause.NO_JSON),
    "deep JSON": (lambda b: Answer(200, b"[" * DEEP), Cause.NOT_JSON),
    "NaN": (lambda b: Answer(200, b"NaN"), Cause.NOT_JSON),
    "bytes that are no text": (lambda b: Answer(200, b'{"choices":"\xff"}'), Cause.NOT_JSON),
    "gzip that is none": (
        lambda b: Answer(200, b"\0\1", {"Content-Encoding": "gzip"}),
        Cause.NOT_JSON,
    ),
    "204": (lambda b: Answer(204, b""), Cause.EMPTY_BODY),
    "choices of nothing": (lambda b: in_object([None]), Cause.NO_REPLY),
    "choices of text": (lambda b: in_object("no"), Cause.NO_REPLY),
    "a message that is none": (lambda b: in_object([{"message": 7}]), Cause.NO_REPLY),
    "nothing at all": (lambda b: message({}), Cause.NO_REPLY),
    "an old function call": (lambda b: chat(None, function_call={}), Cause.EMPTY),
    "a function call": (lambda b: chat(None, function_call={"name": "f"}), Cause.TOOL_CALLS),
    "a number for an error": (lambda b: message({"error": 1}), Cause.ERROR),
    "a filter that answers 400": (
        lambda b: message({"error": {"code": "content_filter", "message": "flagged"}}, 400),
        Cause.FILTERED,
    ),
}


@pytest.mark.parametrize("form", LEFT)
def test_no_scores_are_guessed_from(form: str) -> None:
    answer, cause = LEFT[form]
    with (
        ScoreServer(script=lambda number, body: answer(body)) as server,
        pytest.raises(BadReply) as caught,
    ):
        ask(make("custom", server.url))
    assert caught.value.cause is cause
    assert len(str(caught.value)) < 1000


def responses(text: str, **change: object) -> Answer:
    body = response("test-model", text, "stop", {"prompt": 9, "completion": 9})
    return message({**body, **change})


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"output": []}, Cause.NO_REPLY),
        ({"output": None}, Cause.NO_REPLY),
        ({"output": [{"type": "function_call", "name": "f"}]}, Cause.TOOL_CALLS),
        ({"output": [{"type": "reasoning", "summary": [{"text": "Hm"}]}]}, Cause.REASONING),
        ({"output": [7, {"type": "message", "content": [None, 3]}]}, Cause.EMPTY),
        ({"status": "failed", "error": {"code": "strange", "message": "x"}, "output": []}, None),
    ],
)
def test_responses_of_no_use_have_the_same_causes(
    change: dict[str, object], cause: Cause | None
) -> None:
    with (
        ScoreServer(script=lambda number, body: responses("", **change)) as server,
        pytest.raises(Exception) as caught,  # noqa: PT011  (its kind is checked below)
    ):
        ask(make("openai", server.url))
    assert getattr(caught.value, "cause", None) is cause
    assert type(caught.value).__name__ == ("BadReply" if cause else "ProviderUnavailable")


def test_thoughts_and_text_of_a_response_are_told_apart() -> None:
    thoughts = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "{}"}]}

    def script(number: int, body: Body) -> Answer:
        made = responses(scores_text(body)).body
        return message({**made, "output": [thoughts, *made["output"]]})

    with ScoreServer(script=script) as server:
        got = ask(make("openai", server.url))
    np.testing.assert_allclose(got.scores[0], expected(ROWS[0]), rtol=1e-6)
