"""Pages as a browser reads them, and words that would be more than words."""

from __future__ import annotations

import html.parser

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    '"><b onclick="x">',
    "a\u2028b\u2029c",
    "\u202eevil\x1b[31m",
    "&lt;i&gt;",
    "$names ${text}",
    "\ud800",
]


class Reader(html.parser.HTMLParser):
    """What a browser would find: elements with their attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] in ("script", "style"):
            self.raw.append((self.elements[-1][0], data))

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """The elements and the names of their attributes."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]
