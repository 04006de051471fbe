"""What a server takes: how a request steps down from a JSON schema to plain text, and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen
from llmattn.providers.prompt import Prompt

__all__ = ["EXACT", "FORMATS", "Agreement", "Form", "response_format"]

EXACT = "exact_schema"
FORMATS = (EXACT, "json_schema", "json_object", "text")
"""How a reply's form may be asked for, the strictest first."""

_NOT_TAKEN = re.compile(r"unsupported|not support|unrecogni|unknown|unexpected|not permitted|extra")
_FORMAT = re.compile(
    r"response_format|text\.format|json_schema|json_object|schema|grammar|structured|regex|pattern"
)
_OTHER_TROUBLE = re.compile(r"context|too long|too large|too many")
_LEAST_EFFORT = ("none", "minimal", "low")


@frozen
class Form:
    """One form of a request. ``effort`` None: reasoning is not mentioned."""

    format: str
    limit_name: str
    temperature: bool = True
    effort: str | None = None


class Agreement:
    """The form that a server takes, found out by its refusals and kept for the object's life."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._confirmed = False
        # What has not been refused yet, so that a server cannot send us in circles.
        self._limit_names = ["max_tokens", "max_completion_tokens"]
        self._efforts = list(_LEAST_EFFORT)

    @property
    def confirmed(self) -> bool:
        """Whether the server has answered any request."""
        return self._confirmed

    def accepted(self) -> None:
        """A request of the present form was answered."""
        self._confirmed = True

    def refused(self, sent: Form, words: str, *, suspect: bool = False) -> bool:
        """Whether another form is worth a try after ``sent`` met the server's ``words``.

        ``suspect``: take it that the format was refused, though the words do not say so,
        unless the server has answered before.
        """
        if sent != self.form:
            return True  # another request has found out meanwhile
        lower = self._lower(words.lower(), suspect and not self._confirmed)
        if lower is None:
            return False
        self.form = lower
        return True

    def _lower(self, words: str, suspect: bool) -> Form | None:
        form = self.form
        if "temperature" in words and form.temperature:
            return evolve(form, temperature=False)
        if "reasoning" in words and form.effort is not None:
            return evolve(form, effort=self._less_effort(words))
        if form.limit_name in words and _NOT_TAKEN.search(words) and self._other_limit_name():
            return evolve(form, limit_name=self._limit_names[0])
        suspect = suspect and not _OTHER_TROUBLE.search(words)
        place = FORMATS.index(form.format)
        if place + 1 < len(FORMATS) and (suspect or _FORMAT.search(words)):
            return evolve(form, format=FORMATS[place + 1])
        return None

    def _other_limit_name(self) -> bool:
        """Drop the limit's present name if another is left to try."""
        left = [name for name in self._limit_names if name != self.form.limit_name]
        if self.form.limit_name not in self._limit_names or not left:
            return False
        self._limit_names = left
        return True

    def _less_effort(self, words: str) -> str | None:
        """The least effort that the server's ``words`` offer, or None: leave it out."""
        offered = words.partition("supported values")[2]
        self._efforts = [e for e in self._efforts if e != self.form.effort]
        return next((effort for effort in self._efforts if f"'{effort}'" in offered), None)


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
