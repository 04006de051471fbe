"""Reads what a server says about its limits: Retry-After and x-ratelimit-* headers."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import mktime_tz, parsedate_tz

from llmattn.plugin import RateHint

__all__ = ["rate_hint", "retry_after"]

_LONGEST = 24 * 3600.0  # seconds; a longer wait is no use to a run
_UNITS = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_PART = r"(\d{1,9}(?:\.\d{1,9})?)\s?(ms|milli|[smhd])[a-z]*\s?"
_IN_WORDS = re.compile(rf"(?:again|retry)\s+(?:in|after)\s+((?:{_PART})+)", re.ASCII)
# OpenAI names the allowance alone; Cerebras adds the window; others tell of requests only.
_REQUESTS = ("-requests", "-requests-minute", "-requests-day", "")
_TOKENS = ("-tokens", "-tokens-minute", "-tokens-day")
_EPOCH = 1e9  # a reset above it is a moment, in seconds since 1970, or in milliseconds


def retry_after(headers: Mapping[str, str], words: str = "") -> float | None:
    """Seconds to wait, or None if the server does not say.

    In this order: ``retry-after-ms``, ``Retry-After`` (seconds or a date), the reset of an
    allowance of which nothing is left, and what the error's ``words`` ask for.
    """
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        return _bounded(wait / 1000)
    text = (headers.get("retry-after") or "").strip()
    for read in (_duration, _until_date):
        if text and (wait := read(text)) is not None:
            return wait
    hint = rate_hint(headers) or RateHint()
    resets = (
        (hint.remaining_requests, hint.reset_requests),
        (hint.remaining_tokens, hint.reset_tokens),
    )
    waits = [reset for remaining, reset in resets if remaining == 0 and reset is not None]
    asked = _IN_WORDS.search(words[:2000].lower())
    if not waits and asked:
        parts = re.findall(_PART, asked[1])
        return _bounded(sum(float(number) * _UNITS[unit] for number, unit in parts))
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
    found = [_number(headers.get(f"x-ratelimit-remaining{window}")) for window in windows]
    return min((int(number) for number in found if number is not None), default=None)


def _reset(headers: Mapping[str, str], windows: tuple[str, ...]) -> float | None:
    """The reset of the window of which least is left."""
    least: float | None = None
    reset = None
    for window in windows:
        remaining = _number(headers.get(f"x-ratelimit-remaining{window}"))
        if remaining is not None and (least is None or remaining < least):
            least = remaining
            text = headers.get(f"x-ratelimit-reset{window}") or ""
            reset = _duration(text)
            if reset is None and text:
                reset = _until_date(text)
    return reset


def _until_date(text: str) -> float | None:
    """Seconds until a date as HTTP or ISO 8601 writes it; 0 for one that has passed."""
    # Years that no clock has, and the parser's own stumbles over nonsense.
    with suppress(ValueError, OverflowError, TypeError, IndexError, OSError):
        if text[:4].isdigit():
            date = datetime.fromisoformat(text.replace("Z", "+00:00"))
            moment = (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
        elif parsed := parsedate_tz(text):
            moment = float(mktime_tz(parsed))
        else:
            return None
        return _bounded(moment - time.time())
    return None


def _duration(text: str) -> float | None:
    """Seconds in ``6m0s``, ``120ms`` or ``32.5``, or until a moment in seconds since 1970."""
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return _bounded(sum(float(number) * _UNITS[unit] for number, unit in parts))
    number = _number(text)
    if number is None:
        return None
    if number >= _EPOCH:
        number = number / (1000 if number >= 1000 * _EPOCH else 1) - time.time()
    return _bounded(number)


def _number(text: str | None) -> float | None:
    text = (text or "")[:400]
    try:
        number = float(text) if text.isascii() else -1.0  # other scripts have digits, too
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST)
