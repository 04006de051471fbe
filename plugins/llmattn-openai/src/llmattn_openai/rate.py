"""Reads what a server says about its limits: Retry-After and x-ratelimit-* headers."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz

from llmattn.providers.protocol import RateHint

__all__ = ["rate_hint", "retry_after"]

_LONGEST = 24 * 3600.0  # seconds; a longer wait is no use to a run
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
# OpenAI names the allowance alone; Cerebras adds the window.
_REQUESTS = ("requests", "requests-minute", "requests-day")
_TOKENS = ("tokens", "tokens-minute", "tokens-day")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, or None if the server does not say.

    In this order: ``retry-after-ms``, ``Retry-After`` (seconds or a date), and the reset of
    an allowance of which nothing is left.
    """
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        return _bounded(wait / 1000)
    text = headers.get("retry-after")
    wait = _number(text)
    if wait is None and text and (date := parsedate_tz(text)):
        wait = mktime_tz(date) - time.time()
    if wait is not None:
        return _bounded(wait)
    hint = rate_hint(headers)
    waits = (
        []
        if hint is None
        else [
            reset
            for remaining, reset in (
                (hint.remaining_requests, hint.reset_requests),
                (hint.remaining_tokens, hint.reset_tokens),
            )
            if remaining == 0 and reset is not None
        ]
    )
    return max(waits, default=None)


def rate_hint(headers: Mapping[str, str]) -> RateHint | None:
    """What the x-ratelimit-* headers say, or None if there are none."""
    if not any(name[:12].lower() == "x-ratelimit-" for name in headers):
        return None
    hint = RateHint(
        remaining_requests=_count(headers, _REQUESTS),
        remaining_tokens=_count(headers, _TOKENS),
        reset_requests=_reset(headers, _REQUESTS),
        reset_tokens=_reset(headers, _TOKENS),
    )
    return None if hint == RateHint() else hint


def _count(headers: Mapping[str, str], windows: tuple[str, ...]) -> int | None:
    found = [_number(headers.get(f"x-ratelimit-remaining-{window}")) for window in windows]
    return min((int(number) for number in found if number is not None), default=None)


def _reset(headers: Mapping[str, str], windows: tuple[str, ...]) -> float | None:
    """The reset of the window of which least is left."""
    least: float | None = None
    reset = None
    for window in windows:
        remaining = _number(headers.get(f"x-ratelimit-remaining-{window}"))
        if remaining is not None and (least is None or remaining < least):
            least, reset = remaining, _duration(headers.get(f"x-ratelimit-reset-{window}"))
    return reset


def _duration(text: str | None) -> float | None:
    """Seconds in ``6m0s``, ``120ms`` or ``32.5``."""
    if text is None:
        return None
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return _bounded(sum(float(number) * _UNITS[unit] for number, unit in parts))
    number = _number(text)
    return None if number is None else _bounded(number)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST)
