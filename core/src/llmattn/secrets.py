"""Keys as objects that do not print, and a filter that removes them from any text."""

from __future__ import annotations

import json
import logging
import re
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus, unquote_plus, urlsplit, urlunsplit

__all__ = ["RedactingFilter", "Secret", "query_secrets", "redact", "strip_credentials"]

_HIDDEN = "[hidden]"
_known: set[str] = set()
_KEY_NAME = re.compile(
    r"(?:^|[-_.])(?:api|access|auth)?(?:key|token|secret|password|passwd|pwd|auth|sig|signature|code"
    r"|credentials?)$",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?<=://)[^/\s@'\"]+@")


class Secret:
    """A string that shows as ``[hidden]``; :meth:`reveal` gives it to the one who sends it.

    Every secret made is remembered, so that :func:`redact` can remove it from messages
    that come from elsewhere, such as a server's error text.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if len(value) >= 4:
            _known.update(_spellings(value))

    def reveal(self) -> str:
        """The string itself."""
        return self._value

    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret cannot be pickled")


def _spellings(value: str) -> set[str]:
    """``value`` as texts hold it: as it is, escaped in Python and JSON, in a URL, in base64."""
    data = value.encode("utf-8", "surrogatepass")
    return {
        value,
        repr(value)[1:-1],
        repr(f"{value}'\"")[1:-4],  # in a text with both quotes
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(data),
        quote(data, safe=""),
        quote_plus(data),
        b64encode(data).decode(),
        urlsafe_b64encode(data).decode(),
    }


def redact(text: str) -> str:
    """``text`` without any known secret and without credentials inside URLs."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, _HIDDEN)
    return _USERINFO.sub(f"{_HIDDEN}@", text)


def strip_credentials(url: str) -> str:
    """``url`` without user name, password and keys in its query, lower-case host, no trailing
    slash.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    netloc = f"{host}:{parts.port}" if parts.port else host
    query = "&".join(part for part in parts.query.split("&") if not _is_key(part))
    return urlunsplit((parts.scheme.lower(), netloc, parts.path.rstrip("/"), query, ""))


def query_secrets(query: str) -> list[str]:
    """The values in a URL's query that are keys by their names (``api-key=``, ``token=``), as
    they stand there and decoded.
    """
    values = [part.partition("=")[2] for part in query.split("&") if _is_key(part)]
    return [form for value in values for form in (value, unquote_plus(value))]


def _is_key(part: str) -> bool:
    return _KEY_NAME.search(unquote_plus(part.partition("=")[0])) is not None


class RedactingFilter(logging.Filter):
    """Removes secrets from whatever a log handler is about to write."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # another library's arguments may not fit its message
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message), ()
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True
