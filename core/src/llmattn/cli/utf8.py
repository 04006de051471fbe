"""Text that a person typed, which may be of other bytes than UTF-8."""

from __future__ import annotations

from llmattn.errors import ConfigError

__all__ = ["check_utf8"]


def check_utf8(text: str, what: str) -> None:
    """Raise ConfigError for a text of other bytes than UTF-8, which Python carries as surrogates.

    ``what``: what the text is called in the message.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{what} is no text in UTF-8 from its character {error.start + 1} on: type it anew, or "
            "convert it (iconv -t utf-8)."
        ) from None
