"""Text from outside (words, names, paths, what servers say) as a terminal can show it unharmed."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control characters, invisible ones that order or join others, halves of characters, and
separators of lines: the categories that can act on a terminal, or hide what stands there.
"""


def printable(text: str, *, keep: str = "\n\t") -> str:
    r"""``text`` with what acts on a terminal written out, ESC as ``\x1b``; ``keep`` stays."""
    if text.isprintable():
        return text
    return "".join(
        _escaped(char) if unicodedata.category(char) in _HARMFUL and char not in keep else char
        for char in text
    )


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
