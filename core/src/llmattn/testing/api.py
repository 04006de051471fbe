"""What the test server answers: models, chat completions, responses, and how it scores."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import Factory, define, field, frozen

from llmattn.providers.prompt import read_rows
from llmattn.providers.reply import last_object
from llmattn.testing.faults import HTTP_FAULTS, FaultPlan, spoil
from llmattn.testing.objects import rate_headers
from llmattn.testing.shapes import OPENAI, ChatShape, RowShape, message_texts

__all__ = [
    "ANSWERS",
    "REFUSABLE",
    "Answer",
    "RequestLog",
    "ServerOptions",
    "answer",
    "digit",
    "scores_text",
]

REFUSABLE = (
    "exact_schema",
    "json_schema",
    "json_object",
    "temperature",
    "system",
    "reasoning",
    "max_tokens",
    "max_completion_tokens",
)
"""Parts of a request that a server can be told not to take."""


def digit(query: str, key: str, criterion: str) -> int:
    """The score, 0 to 9, that the server gives: the same for ever, whatever else is asked."""
    text = f"{criterion}\0{query}\0{key}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=4).digest()[0] % 10


ANSWERS: dict[str, Callable[[str, list[str], str], list[int]]] = {
    "hash": lambda query, keys, criterion: [digit(query, key, criterion) for key in keys],
    "constant": lambda query, keys, criterion: [5 for _ in keys],
    "counting": lambda query, keys, criterion: [(i + 1) % 10 for i in range(len(keys))],
    "saturated": lambda query, keys, criterion: [9 * (len(key) % 2) for key in keys],
}
"""Ways of answering: a stable hash of both words, or as models do that cannot score."""


@frozen
class ServerOptions:
    """How the server behaves. ``refuse`` names members of REFUSABLE."""

    models: tuple[str, ...] = ("test-model", "gpt-5.4-mini", "gpt-oss-120b")
    """The names that a request may call the model; none: any."""
    shape: ChatShape | RowShape | None = None
    """An API beside OpenAI's."""
    api_key: str | None = None
    """The bearer key that is demanded, or None."""
    basic_auth: str | None = None
    """``user:password`` that is demanded, or None."""
    latency: float = 0.0
    """Seconds before each answer to a request for scores."""
    faults: FaultPlan = field(factory=FaultPlan)
    retry_after: float = 0.05
    """Seconds that a 429 tells the client to wait."""
    refuse: tuple[str, ...] = ()
    refuse_status: int = 400
    efforts: tuple[str, ...] | None = None
    """The values of the reasoning effort that are taken; None: all."""
    answers: str | Callable[[str, list[str], str], list[int]] = "hash"
    """A name in ANSWERS, or a function of (query, keys, criterion) to digits."""
    script: Callable[[int, dict[str, Any]], Answer | None] | None = None
    """What a request for scores is answered, from its number (from 0) and its JSON; None: as
    usual. It goes before everything else.
    """
    rate_headers: bool = False
    """Whether answers carry x-ratelimit-* headers."""
    quota: bool = False
    """Whether every request fails as when an account has no money left."""
    batch_polls: int = 1
    """How often a batch is asked about before it has ended."""
    batch_busy: int = 0
    """How many requests about files and batches are answered with 503 first."""
    batch_end: str = "completed"
    """``completed``, ``expired`` (half of it done), ``failed`` or ``cancelled``."""
    batch_id: str = "batch_{}"
    """The form of the ids; ``{}`` stands for a number."""
    batch_page: int = 100
    """How many batches or files a page of a list has at most."""
    batch_unanswered: int = 0
    """How many batches are begun, and the connection dropped in place of an answer."""
    batch_latency: float = 0.0
    """Seconds between beginning a batch and the answer."""


@define
class RequestLog:
    """What the server was asked. Read it at any time; the server's thread writes it."""

    requests: list[dict[str, Any]] = Factory(list)
    """Each request for scores: number, path, body, fault, pairs asked."""
    answered: Counter[tuple[str, str]] = Factory(Counter)
    """How often each (query, key) was answered with a score."""
    faults: Counter[str] = Factory(Counter)
    paths: list[str] = Factory(list)
    """Path and query of everything that was asked, for models and files too."""
    in_flight: int = 0
    most_in_flight: int = 0
    _lock: threading.Lock = field(factory=threading.Lock, eq=False, repr=False)

    @property
    def received(self) -> int:
        """How many requests of any kind there were."""
        return len(self.paths)

    def add(self, path: str, body: dict[str, Any], fault: str | None) -> dict[str, Any]:
        """Note a request before it is answered."""
        with self._lock:
            entry = {"number": len(self.requests), "path": path, "body": body, "fault": fault}
            self.requests.append(entry)
            if fault:
                self.faults[fault] += 1
        return entry

    def count(self, rows: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Note the pairs that are answered with scores."""
        with self._lock:
            for query, keys in rows:
                self.answered.update((query, key) for key in keys)

    def summary(self) -> dict[str, Any]:
        """Counts, as the admin URL shows them."""
        with self._lock:
            return {
                "requests": len(self.requests),
                "pairs_answered": sum(self.answered.values()),
                "distinct_pairs": len(self.answered),
                "most_times_one_pair": max(self.answered.values(), default=0),
                "faults": dict(self.faults),
                "in_flight": self.in_flight,
                "most_in_flight": self.most_in_flight,
            }


@frozen
class Answer:
    """An HTTP answer: a body that is sent as JSON, or bytes."""

    status: int
    body: Any
    headers: Mapping[str, str] = Factory(dict)


def error(
    status: int, message: str, code: str | None = None, param: str | None = None, **headers: str
) -> Answer:
    """An error in the form that OpenAI's API has."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Answer(status, body, {name.replace("_", "-"): text for name, text in headers.items()})


def http_fault(fault: str, options: ServerOptions) -> Answer | None:
    """The answer of a fault that happens before any model is asked, or None."""
    wait = f"{options.retry_after:g}"
    return {
        "rate_limit": error(429, "Rate limit reached.", "rate_limit_exceeded", Retry_After=wait),
        "rate_limit_ms": error(
            429,
            "Rate limit reached.",
            "rate_limit_exceeded",
            retry_after_ms=f"{1000 * options.retry_after:g}",
        ),
        "rate_limit_bare": error(429, "Rate limit reached.", "rate_limit_exceeded"),
        "server_error": error(500, "The server had an error."),
        "loading": error(503, "Loading model", "unavailable_error"),
        "content_type": Answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}),
    }.get(fault)


def answer(entry: Mapping[str, Any], options: ServerOptions, log: RequestLog) -> Answer:
    """Answer a request for scores, as :meth:`RequestLog.add` noted it: to
    ``/v1/chat/completions`` or ``/v1/responses``.
    """
    number, path, body, fault = (entry[name] for name in ("number", "path", "body", "fault"))
    if options.script and (scripted := options.script(number, body)) is not None:
        return scripted
    if options.quota:
        return error(429, "You exceeded your current quota.", "insufficient_quota")
    if fault in HTTP_FAULTS and (failed := http_fault(fault, options)):
        return failed
    if options.shape and path == options.shape.path:
        shape: ChatShape | RowShape = options.shape
    else:
        shape = OPENAI[path]
        if options.models and body.get("model") not in options.models:
            return error(404, f"The model {body.get('model')!r} does not exist.", "model_not_found")
    if isinstance(shape, RowShape):
        return _answer_rows(shape, body, fault, options, log)
    if refused := next((part for part in options.refuse if _has(body, part)), None):
        return error(options.refuse_status, f"'{_WORDS[refused]}' is not supported.")
    effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
    if effort and options.efforts and effort not in options.efforts:
        offered = ", ".join(f"'{value}'" for value in options.efforts)
        refusal = f"Unsupported value: '{effort}' is not supported. Supported values are: {offered}"
        return error(400, refusal, "unsupported_value", "reasoning.effort")
    system, user = shape.texts(body)
    try:
        rows = read_rows(user)
    except (ValueError, KeyError, TypeError):
        return error(400, "The user's message holds no rows.")
    form = last_object(system) or {"relevance": [""]}
    text, finish = spoil(fault, _reply(rows, form, options))
    if fault in (None, "prose"):
        log.count(rows)
    usage = {"prompt": len(system + user) // 4 + 1, "completion": len(text) // 2 + 1}
    headers = rate_headers(number + 1) if options.rate_headers else {}
    return Answer(200, shape.reply(str(body.get("model", "")), text, finish, usage), headers)


def _answer_rows(
    shape: RowShape,
    body: Mapping[str, Any],
    fault: str | None,
    options: ServerOptions,
    log: RequestLog,
) -> Answer:
    try:
        rows = [(query, tuple(keys)) for query, keys in shape.rows(body)]
    except (ValueError, KeyError, TypeError, IndexError):
        return error(400, "The request holds no rows.")
    scores = _reply(rows, {"scores": [[0]]}, options)["scores"]
    if fault is None:
        log.count(rows)
    return Answer(200, shape.answer(fault, [[one / 9 for one in row] for row in scores]))


def scores_text(body: Mapping[str, Any]) -> str:
    """The JSON that a model would reply to a request, whose JSON is ``body``."""
    system, user = message_texts(body)
    reply = _reply(read_rows(user), last_object(system) or {"relevance": [""]}, ServerOptions())
    return json.dumps(reply, separators=(",", ":"))


def _reply(
    rows: list[tuple[str, tuple[str, ...]]], form: Mapping[str, Any], options: ServerOptions
) -> dict[str, Any]:
    score = ANSWERS[options.answers] if isinstance(options.answers, str) else options.answers
    reply: dict[str, Any] = {}
    for criterion, example in form.items():
        digits = bool(example) and isinstance(example[0], str)
        numbers = [score(query, list(keys), criterion) for query, keys in rows]
        reply[criterion] = ["".join(map(str, n)) for n in numbers] if digits else numbers
    return reply


_WORDS = {
    "exact_schema": "json_schema with prefixItems",
    "json_schema": "response_format of type json_schema",
    "json_object": "response_format of type json_object",
    "temperature": "temperature",
    "system": "system role",
    "reasoning": "reasoning_effort",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_completion_tokens",
}


def _has(body: Mapping[str, Any], part: str) -> bool:
    """Whether a request's body holds a part that the server refuses."""
    form = body.get("response_format") or (body.get("text") or {}).get("format") or {}
    if part == "exact_schema":
        return "prefixItems" in json.dumps(form)
    if part in ("json_schema", "json_object"):
        return form.get("type") == part
    if part == "system":
        return bool(message_texts(body, fold=False)[0])
    if part == "reasoning":
        return bool(body.get("reasoning") or body.get("reasoning_effort"))
    return part in body
