"""What a server takes: how a request steps down from a JSON schema to plain text, and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen
from llmattn.plugin import Prompt

__all__ = ["EXACT", "FORMATS", "Agreement", "Form", "response_format"]

EXACT = "exact_schema"
FORMATS = (EXACT, "json_schema", "json_object", "text")
"""How a reply's form may be asked for, the strictest first."""

PLAINER = ("json_object", "text")
"""What is tried once when replies to a schema cannot be used: it may have been ignored."""

_NOT_TAKEN = re.compile(r"unsupported|not support|unrecogni|unknown|unexpected|not permitted|extra")
_FORMAT = re.compile(
    r"response_format|text\.format|json_schema|json_object|schema|grammar|structured|regex|pattern"
)
_OTHER_TROUBLE = re.compile(r"context|too long|too large|too many")
_REASONING = re.compile(r"reasoning|thinking|effort")
_SYSTEM = re.compile(
    r"system[\s'\"_-]*(?:role|message|prompt|instruction)|role[\s'\":=]*system"
    r"|developer instruction|roles must alternate|only[\w\s,'\"]{0,40}user[\w\s,'\"]{0,20}assistant"
)
_OFFERED = re.compile(r"supported values|must be|should be|one of|expected|allowed|choose from")
_EFFORTS = ("none", "minimal", "low", "medium", "high")


@frozen
class Form:
    """One form of a request.

    ``effort`` None: reasoning is not mentioned. ``system``: the constant text has a message of
    its own; else it begins the user's. ``most_tokens``: the longest reply that may be asked.
    """

    format: str
    limit_name: str
    temperature: bool = True
    effort: str | None = None
    system: bool = True
    most_tokens: int | None = None

    def messages(self, prompt: Prompt) -> list[dict[str, str]]:
        """The prompt as messages."""
        if not self.system:
            return [{"role": "user", "content": f"{prompt.system}\n\n{prompt.user}"}]
        return [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": prompt.user},
        ]

    def limit(self, prompt: Prompt) -> int:
        """The tokens that the reply may have."""
        most = self.most_tokens
        return prompt.max_output_tokens if most is None else min(prompt.max_output_tokens, most)


class Agreement:
    """The form that a server takes, found out by its refusals and kept for the object's life."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._confirmed = False
        # What has not been refused or tried yet, so that a server cannot send us in circles.
        self._limit_names = ["max_tokens", "max_completion_tokens"]
        self._efforts = list(_EFFORTS)
        self._plainer: list[str] | None = None
        self._first = form.format

    @property
    def confirmed(self) -> bool:
        """Whether the server has answered any request."""
        return self._confirmed

    def accepted(self) -> None:
        """A request of the present form was answered."""
        self._confirmed = True

    def plainer(self) -> bool:
        """Whether the next request asks in a plainer form, after a reply that was no use.

        Each is tried once; then it is the strictest again, since none was better.
        """
        if self._plainer is None:
            self._first = self.form.format
            place = FORMATS.index(self._first)
            self._plainer = [lower for lower in PLAINER if FORMATS.index(lower) > place]
        if self._plainer:
            self.form = evolve(self.form, format=self._plainer.pop(0))
            return True
        self.form = evolve(self.form, format=self._first)
        return False

    def keep(self) -> None:
        """The present form brought a usable reply: no other is tried."""
        self._plainer, self._first = [], self.form.format

    def limited(self, most_tokens: int) -> bool:
        """Ask for no longer replies than this; False if no longer ones were asked anyway."""
        if self.form.most_tokens is not None and self.form.most_tokens <= most_tokens:
            return False
        self.form = evolve(self.form, most_tokens=most_tokens)
        return True

    def refused(self, sent: Form, words: str, *, suspect: bool = False) -> bool:
        """Whether another form is worth a try after ``sent`` met the server's ``words``.

        ``suspect``: take it that the format was refused, though the words do not say so,
        unless the server has answered before.
        """
        if sent != self.form:
            return True  # another request has found out meanwhile
        lower = self._lower(words.lower(), suspect and not self._confirmed)
        if lower is not None:
            self.form = lower
        elif suspect and self._plainer is not None and self.form.format != self._first:
            self.plainer()  # it was on trial, and is no use whatever the words mean
        else:
            return False
        return True

    def _lower(self, words: str, suspect: bool) -> Form | None:
        form = self.form
        if "temperature" in words and form.temperature:
            return evolve(form, temperature=False)
        if _REASONING.search(words) and form.effort is not None:
            return evolve(form, effort=self._other_effort(words))
        if form.system and _SYSTEM.search(words):
            return evolve(form, system=False)
        if form.limit_name in words and _NOT_TAKEN.search(words) and self._other_limit_name():
            return evolve(form, limit_name=self._limit_names[0])
        suspect = suspect and not _OTHER_TROUBLE.search(words)
        place = FORMATS.index(form.format)
        if place + 1 < len(FORMATS) and (suspect or _FORMAT.search(words)):
            lower = FORMATS[place + 1]
            if self._plainer and lower in self._plainer:
                self._plainer.remove(lower)
            return evolve(form, format=lower)
        return None

    def _other_limit_name(self) -> bool:
        """Drop the limit's present name if another is left to try."""
        left = [name for name in self._limit_names if name != self.form.limit_name]
        if self.form.limit_name not in self._limit_names or not left:
            return False
        self._limit_names = left
        return True

    def _other_effort(self, words: str) -> str | None:
        """The least effort that the server's ``words`` offer, or None: leave it out."""
        self._efforts = [effort for effort in self._efforts if effort != self.form.effort]
        found = _OFFERED.search(words)
        offered = re.findall(r"[a-z]+", words[found.end() :]) if found else []
        return next((effort for effort in self._efforts if effort in offered), None)


def response_format(prompt: Prompt, format: str) -> dict[str, Any] | None:
    """The format in the words of chat completions, or None for plain text.

    The Responses API has the same members, without the level ``json_schema``.
    """
    if format == "text":
        return None
    if format == "json_object":
        return {"type": "json_object"}
    schema: Mapping[str, Any] = prompt.exact_schema if format == EXACT else prompt.schema
    return {
        "type": "json_schema",
        "json_schema": {"name": "scores", "strict": True, "schema": dict(schema)},
    }
