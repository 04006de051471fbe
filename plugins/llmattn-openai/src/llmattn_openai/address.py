"""A base URL in its parts: what is sent, what is shown, and how paths are put to it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from llmattn.plugin import strip_credentials

__all__ = ["Address"]


class Address:
    """``base``: without credentials and query, as the SDK wants it; ``query``: what goes with
    every request (``?api-version=...``, keys too); ``shown``: for people, without any key.
    """

    def __init__(self, url: str) -> None:
        self._given = urlsplit(url)
        self.shown = strip_credentials(url)
        parts = urlsplit(self.shown)
        self.base = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        self.query: Mapping[str, str] = dict(parse_qsl(self._given.query, keep_blank_values=True))

    def of(self, path: str) -> str:
        """Where ``path`` is, with the query."""
        query = self._given.query
        return f"{self.base}{path}?{query}" if query else f"{self.base}{path}"

    def basic_auth(self) -> dict[str, str]:
        """The header for a user name and password; it goes before the key's.

        A header, since httpx2 logs the whole URL, credentials and all.
        """
        user, password = self._given.username, self._given.password
        if user is None and password is None:
            return {}
        both = f"{unquote(user or '')}:{unquote(password or '')}"
        return {"Authorization": f"Basic {b64encode(both.encode()).decode()}"}
