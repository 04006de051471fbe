from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from llmattn.providers.protocol import RateHint
from llmattn_openai.rate import rate_hint, retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e300"}, 86400.0),
        ({}, None),
        (
            {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"},
            360.0,
        ),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after": "\u0663"}, None),
        ({"retry-after": "NaN"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86400.0),
        ({"retry-after": "Fri, 99 Foo -1 99:99:99 GMT"}, None),
        ({"retry-after": "2999-01-01T00:00:00Z"}, 86400.0),
        ({"retry-after": "2001-01-01T00:00:00+00:00"}, 0.0),
        ({"retry-after": "99999-99-99T00:00:00Z"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "90"}, 90.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "99999999999999"}, 86400.0),
    ],
)
def test_the_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached. Please try again in 6m0s.", 360.0),
        ("Please try again in 1.5s. Visit the site", 1.5),
        ("Please retry after 20 seconds.", 20.0),
        ("Try again in a while", None),
        ("try again in " + "9" * 5000, None),
    ],
)
def test_a_wait_that_only_the_words_tell_is_read(words: str, seconds: float | None) -> None:
    assert retry_after({}, words) == seconds


def test_a_wait_may_be_a_date() -> None:
    wait = retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    assert wait is not None
    assert 50 < wait <= 60


def test_a_date_that_has_passed_is_no_wait() -> None:
    assert retry_after({"retry-after": formatdate(time.time() - 60, usegmt=True)}) == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120ms", 0.12), ("6m0s", 360.0), ("1h2m3.5s", 3723.5), ("32.5", 32.5), ("later", None)],
)
def test_resets_are_read_in_each_vendors_form(text: str, seconds: float | None) -> None:
    hint = rate_hint({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": text})
    assert hint == RateHint(remaining_requests=1, reset_requests=seconds)


def test_of_several_windows_the_tightest_counts() -> None:
    hint = rate_hint(
        {
            "x-ratelimit-remaining-tokens-minute": "500",
            "x-ratelimit-reset-tokens-minute": "20.5",
            "x-ratelimit-remaining-tokens-day": "100",
            "x-ratelimit-reset-tokens-day": "4000",
            "x-ratelimit-remaining-requests-day": "7",
            "x-ratelimit-reset-requests-day": "4000",
        }
    )
    assert hint == RateHint(7, 100, 4000.0, 4000.0)


def test_without_headers_there_is_no_hint() -> None:
    assert rate_hint({"content-type": "application/json"}) is None
