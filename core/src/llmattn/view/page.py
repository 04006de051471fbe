"""The frame of an offline HTML page: one file that asks nothing of anybody, in which a stranger's
words are text and never markup or script.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from attrs import evolve

from llmattn.printable import printable
from llmattn.writing import Kind, check_output, written

__all__ = ["asset", "check_page", "escaped", "is_page", "render_page", "save_page"]

_MARK = '<meta name="generator" content="llmattn">'
_PAGE = Kind("a page", lambda head, tail: _MARK.encode() in head)
_ENDINGS = (".html", ".htm")


def is_page(path: Path) -> bool:
    """Whether the name's ending asks for an HTML page."""
    return path.suffix.lower() in _ENDINGS


def check_page(path: Path, said: str = "--out", *, in_folder: bool = False) -> None:
    """Raise ConfigError unless a page can be written to ``path``, which the option ``said``
    names; ``in_folder``: only its folder was named, so a link there is not followed.
    """
    check_output(path, evolve(_PAGE, in_folder=in_folder), said)


def save_page(page: str, path: Path, said: str = "--out", *, in_folder: bool = False) -> None:
    """Write a page. Raises ConfigError as :func:`check_page` does."""
    with written(path, evolve(_PAGE, in_folder=in_folder), said) as file:
        file.write(page.encode("utf-8"))


def escaped(text: str) -> str:
    """``text`` for the body of a page or a quoted attribute; what is invisible is written out."""
    return html.escape(printable(text), quote=True)


def asset(name: str) -> str:
    """A style or a script that comes with this package."""
    return (files("llmattn.view") / "assets" / name).read_text("utf-8")


def render_page(
    title: str,
    body: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
) -> str:
    """A whole page. ``body`` is markup, made with :func:`escaped`; ``title`` is text.

    ``styles`` and ``scripts`` are assets beside the frame's own style. They alone run: a policy in
    the page names them by their hashes, and forbids everything else, and every address.
    ``data`` is what a script finds in the element ``data``, as JSON.
    """
    sheets = [asset("page.css"), *map(asset, styles)]
    codes = [*map(asset, scripts)]
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hashes(codes)}",
            f"style-src {_hashes(sheets)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    held = "" if data is None else _embedded(data)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            _MARK,
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escaped(title)}</title>",
            *(f"<style>{sheet}</style>" for sheet in sheets),
            "</head>",
            "<body>",
            body,
            held,
            *(f"<script>{code}</script>" for code in codes),
            "</body>",
            "</html>",
            "",
        ]
    )


def _hashes(texts: Sequence[str]) -> str:
    digests = (hashlib.sha256(text.encode("utf-8")).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests) or "'none'"


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON in ASCII, in which no ``<`` can end the element or begin another."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return f'<script type="application/json" id="data">{text}</script>'
