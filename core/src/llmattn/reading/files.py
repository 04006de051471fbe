"""Reads a text file, however it is written, within bounds of time and memory."""

from __future__ import annotations

import os
import re
import select
import shlex
import stat
import time
from pathlib import Path

from llmattn.errors import CorpusError
from llmattn.reading.kinds import Foreign, other_encoding, recognise
from llmattn.reading.plain import LONGEST_WORD, check_runs, count_lines, long_run, plain_text

__all__ = ["LARGEST", "LARGEST_PIPE", "check_there", "decode", "is_pipe", "read_text"]

LARGEST = 1 << 30
"""Bytes that a file may have."""
LARGEST_PIPE = 1 << 27
"""Bytes that may come from what does not tell its size: a pipe, a file of /proc."""
_PATIENCE = 4.0
"""Seconds in which these must come to their end."""
_BREAK = re.compile(rb"[^0-9A-Za-z_\x80-\xff]")
_CHUNK = 1 << 20
_HEAD = 1 << 16


def read_text(path: Path, what: str = "corpus") -> str:
    """The text of a file or pipe in UTF-8, as :func:`plain_text` makes it.

    ``what``: what it is called in errors. Raises CorpusError for what cannot be read, is no text,
    is larger than :data:`LARGEST` (a pipe: :data:`LARGEST_PIPE`) or does not end, or holds a word
    of more than :data:`LONGEST_WORD` letters.
    """
    name = f"The {what} {path}"
    try:
        data = _read(path, name, what)
    except FileNotFoundError:
        raise CorpusError(_missing(path, what)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CorpusError(f"{name} cannot be read ({reason}): name a text file.") from None
    if not data:
        raise CorpusError(f"{name} is empty, it holds no text: {_WANTED}")
    text = decode(data, name, path)
    if not text.strip():
        raise CorpusError(f"{name} holds no text, only white space: {_WANTED}")
    return text


def check_there(path: Path, what: str = "corpus") -> None:
    """Raise CorpusError, as :func:`read_text` does, if nothing is at ``path`` or a folder: to be
    told before what takes seconds to load.
    """
    if path.is_dir():
        raise CorpusError(_folder(path, what))
    if not os.path.lexists(path) or (path.is_symlink() and not path.exists()):
        raise CorpusError(_missing(path, what))


def decode(data: bytes | bytearray, name: str, path: Path | None = None) -> str:
    """The plain text that ``data`` is in UTF-8.

    ``name``: what begins an error; ``path``: the file that it stands in, if any. Raises
    CorpusError.
    """
    whole = "it" if path is None else "the file"
    if foreign := recognise(bytes(data[:_HEAD])):
        raise CorpusError(f"{name} is {foreign.name}, not text in UTF-8. {_remedy(foreign, path)}")
    nul = data.find(0)
    if nul >= 0:
        line, place = _where(data, nul)
        remedy = Foreign("", "Take such bytes out: tr -d '\\000' < {file} > {text}")
        raise CorpusError(
            f"{name} is binary, or damaged: line {line} holds a NUL byte (byte {place} of "
            f"{whole}), which no text has. " + _remedy(remedy, path)
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        # As much around it as tells the encoding, no more than is quickly looked at.
        start = max(0, error.start - _HEAD)
        foreign = other_encoding(bytes(data[start : error.start + _HEAD]), error.start - start)
        line, place = _where(data, error.start)
        raise CorpusError(
            f"{name} is {foreign.name}: line {line} holds the byte 0x{data[error.start]:02x} "
            f"(byte {place} of {whole}). {_remedy(foreign, path)}"
        ) from None
    text = plain_text(text)
    check_runs(text, name)
    return text


def is_pipe(path: Path) -> bool:
    """Whether ``path`` can be read but once, as what a shell makes of ``<(command)``."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


_WANTED = "it needs sentences, one a line."


def _read(path: Path, name: str, what: str) -> bytearray:
    """The bytes of ``path``; of what is found to be no text, the first of them."""
    kind = os.stat(path).st_mode  # beforehand: opening a device may set something going
    is_file = stat.S_ISREG(kind)
    if stat.S_ISDIR(kind):
        raise CorpusError(_folder(path, what))
    if not is_file and not stat.S_ISFIFO(kind):
        raise CorpusError(
            f"{name} is a device or socket, not a text: name a file, or a pipe that ends."
        )
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    try:
        size = os.fstat(handle).st_size
        if size > LARGEST:
            raise CorpusError(
                f"{name} has {size:,} bytes, and a {what} may have {LARGEST:,}: take a part of it "
                f"(head -c {LARGEST} {shlex.quote(str(path))})."
            )
        if is_file and size:
            return _read_all(handle, LARGEST, f"{name} grows while it is read")
        return _read_all(handle, LARGEST_PIPE, name, ends=is_file, patience=_PATIENCE)
    finally:
        os.close(handle)


def _read_all(
    handle: int, limit: int, name: str, *, ends: bool = True, patience: float | None = None
) -> bytearray:
    """All bytes, at most ``limit`` of them.

    ``ends``: whether nothing means the end at once; of a pipe it may be that nobody has begun to
    write. ``patience``: seconds, for what might never end.
    """
    found = bytearray()
    until = None if patience is None else time.monotonic() + patience
    while True:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            had = f"{len(found):,} bytes came" if found else "nothing came"
            raise CorpusError(
                f"{name} has not ended after {patience:.0f} seconds ({had}): write the text to a "
                "file first, and name that."
            )
        try:
            chunk = os.read(handle, _CHUNK)
        except BlockingIOError:
            select.select([handle], [], [], left)
            continue
        if not chunk:
            if ends or found:
                return found
            # Of a pipe without a writer: wait for one. If that wakes us, there was one.
            ends = bool(select.select([handle], [], [], left)[0])
            continue
        found += chunk
        if len(found) > limit:
            raise CorpusError(
                f"{name} goes on after {limit:,} bytes: write as much of it to a file as is "
                "wanted (head -c), and name that."
            )
        if _tells_enough(chunk):
            for _ in range(4):  # no part of a character at the end
                if found[-1] >= 0x80:
                    is_first = found.pop() >= 0xC0
                    if is_first:
                        break
            return found


def _tells_enough(chunk: bytes) -> bool:
    """Whether ``chunk`` shows that this is no text, or one with a word that is too long."""
    if b"\0" in chunk:
        return True
    looks_long = len(chunk) > LONGEST_WORD and not _BREAK.search(chunk)
    return looks_long and long_run(chunk.decode("utf-8", "ignore")) is not None


def _where(data: bytes | bytearray, place: int) -> tuple[int, int]:
    """The number of the line and of the byte, from 1; what stands before is UTF-8."""
    return count_lines(data[:place].decode("utf-8", "replace")) + 1, place + 1


def _folder(path: Path, what: str) -> str:
    return f"The {what} {path} is a directory: name a text file in it."


def _missing(path: Path, what: str) -> str:
    if what != "corpus":
        return f"There is no {what} at {path}: name a text file."
    return f"There is no corpus at {path}: name a text file, one sentence a line, or put one there."


def _remedy(foreign: Foreign, path: Path | None) -> str:
    file, text = "FILE", "TEXT"
    if path is not None and not is_pipe(path):
        file = shlex.quote(str(path))
        bare = path.with_suffix("")  # story.txt.gz becomes story.txt
        target = bare if bare.suffix else path.with_name(f"{path.stem}.utf8.txt")
        text = shlex.quote(str(target))
    remedy = foreign.remedy.format(file=file, text=text)
    return remedy if path is None or ">" in remedy else f"{remedy}."
