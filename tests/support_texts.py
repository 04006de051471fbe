"""Every kind of text that docs/corpora.md tells of, made on the spot."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import socket
import stat
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import repeat
from pathlib import Path

import pytest
from attrs import frozen

LINE = "the cat sees the dog .\n"
BODY = LINE * 100
"""A text that is read: 100 lines of 23 bytes."""

NOISE = random.Random(0).randbytes(5000)
FRENCH = "Été à la plage, où l’âne brait.\n" * 30
RUSSIAN = "Мама мыла раму. Кошка спит.\n" * 30
JAPANESE = "彼は学校へ行きました。ありがとう。\n" * 30
CHINESE = "我们是程序员。\n" * 30
THAI = "สวัสดีครับผมชื่อสมชายและผมเป็นคนไทย\n" * 30
PERSIAN = "می‌خواهم کتاب‌ها\n" * 30

Maker = Callable[[Path, ExitStack], Path]


@frozen
class Kind:
    """A text of one kind. ``same_as``: another text that is read alike."""

    make: Maker
    same_as: str | None = None
    options: tuple[str, ...] = ()


def _file(data: bytes | str, same_as: str | None = None, *options: str) -> Kind:
    def make(folder: Path, _: ExitStack) -> Path:
        path = folder / "text.txt"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return Kind(make, same_as, options)


def _pipe(parts: Callable[[], Iterable[bytes]] | None, same_as: str | None = None) -> Kind:
    """A pipe that a thread of its own writes to, if anything."""

    def make(folder: Path, stack: ExitStack) -> Path:
        path = folder / "pipe"
        os.mkfifo(path)
        if parts is not None:
            writer = threading.Thread(target=_write, args=(path, parts()))
            writer.start()
            stack.callback(writer.join)
        return path

    return Kind(make, same_as)


def _write(path: Path, parts: Iterable[bytes]) -> None:
    with suppress(BrokenPipeError), path.open("wb", buffering=0) as pipe:
        for part in parts:
            pipe.write(part)


def _trickle() -> Iterator[bytes]:
    while True:
        yield LINE.encode()
        time.sleep(0.2)


def _place(path: str) -> Kind:
    return Kind(lambda folder, _: folder / path)


def _device(folder: Path, _: ExitStack) -> Path:
    path = folder / "zeros"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")
    return path


def _socket(folder: Path, stack: ExitStack) -> Path:
    bound = stack.enter_context(socket.socket(socket.AF_UNIX))
    bound.bind(str(folder / "socket"))
    return folder / "socket"


def _sparse(head: bytes, size: int) -> Kind:
    def make(folder: Path, _: ExitStack) -> Path:
        path = folder / "text.txt"
        with path.open("wb") as file:
            file.write(head)
            file.truncate(size)
        return path

    return Kind(make)


def _zip(**names: str) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for name, text in names.items():
            archive.writestr(name, text)
    return found.getvalue()


def _tar() -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w") as archive:
        entry = tarfile.TarInfo("story.txt")
        entry.size = len(BODY)
        archive.addfile(entry, io.BytesIO(BODY.encode()))
    return found.getvalue()


def _lines(text: str, times: int = 30) -> str:
    return f"{text}\n" * times


def _ended(by: str) -> Kind:
    return _file(BODY.replace("\n", by), BODY)


def _with(hidden: str, seen: str = "") -> Kind:
    """A text with something inside some of its words."""
    return _file(BODY.replace("a", f"a{hidden}"), BODY.replace("a", f"a{seen}"))


_UNPACKED = {
    "gzip": gzip.compress(BODY.encode()),
    "bzip2": bz2.compress(BODY.encode()),
    "xz": lzma.compress(BODY.encode()),
    "zstd": b"\x28\xb5\x2f\xfd" + NOISE,
    "lz4": b"\x04\x22\x4d\x18" + NOISE,
    "zip": _zip(**{"story.txt": BODY}),
    "tar": _tar(),
    "7z": b"7z\xbc\xaf\x27\x1c" + NOISE,
    "RAR": b"Rar!\x1a\x07\x01\0" + NOISE,
    "PDF": b"%PDF-1.7\n1 0 obj\n",
    "RTF": b"{\\rtf1\\ansi hello}",
    "docx": _zip(**{"[Content_Types].xml": "<x/>", "word/document.xml": "<x/>"}),
    "EPUB": _zip(mimetype="application/epub+zip"),
    "OpenDocument": _zip(mimetype="application/vnd.oasis.opendocument.text"),
    "doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + NOISE,
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + NOISE,
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + NOISE,
    "MP3": b"ID3\x04\0\0" + NOISE,
    "a program": b"\x7fELF\x02\x01\x01\0" + NOISE,
    "SQLite": b"SQLite format 3\0" + NOISE,
    "Parquet": b"PAR1\x15\x04" + NOISE,
    "a checkpoint": _zip(**{"archive/data.pkl": "x"}),
    "GGUF": b"GGUF\x03\0\0\0" + NOISE,
    "safetensors": b"\x40\0\0\0\0\0\0\0" + b'{"a":{}}' + NOISE,
}

_WORD = "a" * 1_000_000 + "\n"

KINDS: dict[str, Kind] = {
    "line ends LF": _file(BODY),
    "line ends CR LF": _ended("\r\n"),
    "line ends CR alone": _ended("\r"),
    "line ends NEL": _ended("\x85"),
    "line ends U+2028": _ended("\u2028"),
    "line ends U+2029": _ended("\u2029"),
    "vertical tabs as line ends": _ended("\v"),
    "form feeds as line ends": _ended("\f"),
    "mixed line ends": _file((LINE + LINE.replace("\n", "\r\n")) * 50, BODY),
    "no line end at the end": _file(BODY.strip(), BODY),
    "a byte order mark": _file(f"\ufeff{BODY}", BODY),
    "U+FEFF inside": _with("\ufeff"),
    "letters and accents apart (NFD)": _file(
        BODY.replace("a", "a\u0301"), BODY.replace("a", "\u00e1")
    ),
    "soft hyphens": _with("\u00ad"),
    "zero-width spaces in Latin words": _with("\u200b"),
    "zero-width spaces in Khmer": _file(_lines("ខ្ញុំ\u200bទៅ\u200bផ្សារ"), _lines("ខ្ញុំ ទៅ ផ្សារ")),
    "word joiners": _with("\u2060"),
    "marks of direction": _with("\u200f\u202c\u2066"),
    "tags without a flag": _with("\U000e0041\U000e0042"),
    "joiners in Latin words": _with("\u200c\u200d"),
    "joiners in Persian": _file(PERSIAN, _lines("one two")),
    "emoji of several characters": _file(
        _lines("👩‍👩‍👧 sees 👍🏽 in 🇩🇪 🇫🇷 🏴\U000e0067\U000e0062\U000e007f"),
        _lines("a sees b in c d e"),
    ),
    "variation selectors": _file(_lines("I ❤️ 1️⃣ 葛󠄀"), _lines("i x 1 葛")),
    "control characters, a few": _file(BODY + "a\x07b c\x9bd\n", BODY + "a b c d\n"),
    "escape sequences": _file(BODY + "\x1b[31mred\x1b[0m\n", BODY + " [31mred [0m\n"),
    "right-to-left script": _file(_lines("שלום עולם."), _lines("hello world.")),
    "combining marks": _file(_lines("हिन्दी में क्ष।"), _lines("one two three.")),
    "private and unassigned characters": _file(_lines("\ue000 \U0010ffff \u0378"), _lines(". , ;")),
    "Chinese": _file(CHINESE, _lines("我 们 是 程 序 员 。")),
    "Han beyond the basic plane": _file(_lines("𠀀𠮷々〇"), _lines("a b c d")),
    "Japanese": _file(JAPANESE, _lines("彼 は 学 校 へ 行 きました 。 ありがとう 。")),
    "Korean": _file(_lines("한국어 단어 大韓은"), _lines("one two 大 韓 三")),
    "Thai": _file(THAI),
    "a million blank lines": _file(LINE + "\n" * 1_000_000 + LINE * 99, BODY),
    "one line": _file(BODY.replace("\n", " ")),
    "one line, with --stream": _file(BODY.replace("\n", " "), None, "--stream"),
    "one line of Chinese, with --stream": _file(CHINESE.replace("\n", ""), None, "--stream"),
    "three lines": _file(LINE * 3),
    "three lines, with --stream": _file(LINE * 3, None, "--stream"),
    "marks alone, with seed": _file("!!! ???\n" * 30, None, "--tokenizer", "seed"),
    "nothing": _file(b""),
    "white space alone": _file(" \n\t\r\n\u00a0\u3000\n"),
    "a byte order mark alone": _file("\ufeff"),
    "invisible characters alone": _file("\u200b\u2060\n\u00ad\x07"),
    "no file": _place("nowhere.txt"),
    "a folder": _place("."),
    "a file that fails": Kind(lambda *_: Path("/proc/self/mem")),
    "a device": Kind(_device),
    "a socket": Kind(_socket),
    "a pipe that ends": _pipe(lambda: repeat(LINE.encode(), 100), BODY),
    "an empty pipe": _pipe(lambda: ()),
    "a pipe that nobody writes to": _pipe(None),
    "a pipe that trickles": _pipe(_trickle),
    "a pipe without end": _pipe(lambda: repeat(LINE.encode() * 10_000)),
    "a pipe of NULs": _pipe(lambda: repeat(bytes(10_000))),
    "a sparse file of 10 GB": _sparse(BODY.encode(), 10_000_000_000),
    "a text with a hole": _sparse(BODY.encode(), 100_000_000),
    "a word of a megabyte": _file(BODY + _WORD + BODY),
    "a word of a megabyte, with bpe": _file(
        BODY + _WORD + BODY, None, "--tokenizer", "bpe", "--stream"
    ),
    "a megabyte of Thai without a space": _file("สวัสดี" * 60_000 + "\n" + BODY),
    "ten thousand accents on a letter": _file(BODY + "x" + "\u0301" * 10_000 + "\n"),
    "a megabyte of letters with apostrophes": _file("a'" * 500_000 + "\n" + BODY),
    "a megabyte of emoji joined to one": _file("👩\u200d" * 200_000 + "\n" + BODY),
    "a megabyte of numbers in boxes": _file("1\ufe0f\u20e3" * 200_000 + "\n" + BODY),
    "flags without a space": _file("🇩🇪" * 1900 + "\n" + BODY, "a " * 1900 + "\n" + BODY),
    "a megabyte of flags": _file("🇩🇪" * 200_000 + "\n" + BODY),
    "a megabyte of spaces in a line": _file(BODY + "a" + " " * 1_000_000 + "b\n"),
    "UTF-16": _file(BODY.encode("utf-16")),
    "UTF-16, big-endian": _file(b"\xfe\xff" + BODY.encode("utf-16be")),
    "UTF-16 without a mark": _file(BODY.encode("utf-16le")),
    "UTF-16, big-endian, without a mark": _file(JAPANESE.encode("utf-16be")),
    "Russian in UTF-16 without a mark": _file(RUSSIAN.encode("utf-16le")),
    "Chinese in UTF-16 without a mark or a line end": _file(
        CHINESE.replace("\n", "").encode("utf-16le")
    ),
    "UTF-32": _file(BODY.encode("utf-32")),
    "UTF-32 without a mark": _file(BODY.encode("utf-32le")),
    "Latin-1": _file(FRENCH.replace("’", "'").encode("latin1")),
    "Windows-1252": _file(FRENCH.encode("cp1252")),
    "Windows-1251": _file(RUSSIAN.encode("cp1251")),
    "Shift-JIS": _file(JAPANESE.encode("shift_jis")),
    "GBK": _file(CHINESE.encode("gbk")),
    "ISO-2022-JP": _file(JAPANESE.encode("iso2022_jp")),
    "UTF-8 with a stray byte": _file(FRENCH.encode() + b"caf\xe9 noir\n"),
    "UTF-8 cut short": _file(FRENCH.encode() + b"l\xe2\x80"),
    "surrogates in UTF-8": _file(BODY.encode() + b"\xed\xa0\xbd\xed\xb8\x80\n"),
    "a NUL in a text": _file(BODY + "x\0y\n" + BODY),
    "a NUL far down": _file(BODY * 1000 + "\0\n"),
    "binary data": _file(NOISE),
    "control characters throughout": _file("\x01\x02abc\x03" * 100),
    **{name: _file(data) for name, data in _UNPACKED.items()},
}
