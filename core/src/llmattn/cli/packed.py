"""How packed scores are described to a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.filesize import decimal

from llmattn.feeds.packed_folder import Packed
from llmattn.wording import counted

__all__ = ["date", "describe_packed"]


def describe_packed(found: Sequence[Packed]) -> str:
    """Files of packed scores, in words."""
    files = sum(each.files for each in found)
    text = f"{counted(files, 'file')}, {decimal(sum(each.bytes for each in found))}"
    if unfinished := sum(each.unfinished for each in found):
        text += f", {unfinished} of them unfinished"
    return f"{text}, the last written {date(max(each.updated for each in found))}"


def date(seconds: float) -> str:
    """Seconds since the epoch, to the minute."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
