"""Keys never print."""

from __future__ import annotations

import base64
import json
import logging
import pickle
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from llmattn.secrets import RedactingFilter, Secret, query_secrets, redact, strip_credentials


def test_a_secret_shows_nothing_of_itself() -> None:
    secret = Secret("sk-planted-123")
    assert "planted" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "sk-planted-123"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_a_known_secret_is_removed_from_texts_that_come_from_elsewhere() -> None:
    Secret("sk-planted-456")
    assert redact("Incorrect API key provided: sk-planted-456.") == (
        "Incorrect API key provided: [hidden]."
    )


def test_credentials_in_urls_are_removed() -> None:
    assert "hunter2" not in redact("POST http://me:hunter2@host:8080/v1 failed")
    assert strip_credentials("HTTP://me:hunter2@Host:8080/v1/") == "http://host:8080/v1"


@pytest.mark.parametrize(
    "name", ["key", "api-key", "api_key", "apikey", "subscription-key", "token", "access_token"]
)
def test_keys_in_a_urls_query_are_removed_and_the_rest_stays(name: str) -> None:
    url = f"https://host/openai/v1?api-version=2024-10-21&{name}=hunter2%2B&monkey=1"
    assert strip_credentials(url) == "https://host/openai/v1?api-version=2024-10-21&monkey=1"
    assert query_secrets(f"a=1&{name}=hunter2%2B") == ["hunter2%2B", "hunter2+"]


def test_logs_are_redacted(caplog: pytest.LogCaptureFixture) -> None:
    Secret("sk-planted-789")
    record = logging.LogRecord("x", 10, "f", 1, "header %s", ("Bearer sk-planted-789",), None)
    RedactingFilter().filter(record)
    assert record.getMessage() == "header Bearer [hidden]"


@pytest.mark.parametrize("key", ["sk-it's\\planted", 'sk-"planted"', "sk-planted/+=&?%7"])
@pytest.mark.parametrize(
    "written",
    [
        str,
        repr,
        json.dumps,
        quote,
        lambda key: quote(key, safe=""),
        quote_plus,
        lambda key: base64.b64encode(key.encode()).decode(),
        lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
        lambda key: repr({"error": f"no such key {key}"}),
    ],
)
def test_a_key_is_removed_however_an_error_writes_it(
    key: str, written: Callable[[str], str]
) -> None:
    Secret(key)
    text = redact(f"the server said: {written(key)} is wrong")
    assert "planted" not in text
    assert base64.b64encode(key.encode()).decode() not in text
    assert "[hidden]" in text
