"""Names what is no text in UTF-8 by its first bytes, and says how it becomes one."""

from __future__ import annotations

import re
import unicodedata

from attrs import frozen

__all__ = ["Foreign", "other_encoding", "recognise"]


@frozen
class Foreign:
    """Something that is no text in UTF-8.

    ``remedy``: what to do; ``{file}`` and ``{text}`` stand in it for what is read and what to
    write.
    """

    name: str
    remedy: str


_PLAIN = "Save it as plain text in UTF-8, and name that"
_OTHER = "Name a file of plain text"
_EXPORT = "Export its texts, one a line, and name that"

_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32", "iconv -f utf-32 -t utf-8 {file} > {text}"),
    (b"\0\0\xfe\xff", "UTF-32", "iconv -f utf-32 -t utf-8 {file} > {text}"),
    (b"\xff\xfe", "UTF-16", "iconv -f utf-16 -t utf-8 {file} > {text}"),
    (b"\xfe\xff", "UTF-16", "iconv -f utf-16 -t utf-8 {file} > {text}"),
)
"""Byte order marks; the longer ones first."""

_PACKED = {
    (0, b"\x1f\x8b"): ("gzip", "gunzip -c"),
    (4, b"1AY&SY"): ("bzip2", "bunzip2 -c"),
    (0, b"\xfd7zXZ\0"): ("xz", "unxz -c"),
    (0, b"\x5d\0\0"): ("lzma", "unlzma -c"),
    (0, b"\x28\xb5\x2f\xfd"): ("zstd", "zstd -dc"),
    (0, b"\x04\x22\x4d\x18"): ("lz4", "lz4 -dc"),
    (0, b"LZIP"): ("lzip", "lzip -dc"),
    (0, b"\x1f\x9d"): ("compress", "uncompress -c"),
}
"""How a compressed file begins; its name, and what unpacks it to stdout."""

_ESCAPED = re.compile(rb"\x1b\$(?:[@B]|[()][@-G])")
"""How other letters begin in ISO-2022, which is all ASCII: an old encoding of mail in East Asia."""

_ARCHIVES = {
    (0, b"7z\xbc\xaf\x27\x1c"): ("a 7z archive", "7z x {file}"),
    (0, b"Rar!"): ("a RAR archive", "unrar x {file}"),
    (257, b"ustar"): ("a tar archive", "tar -xf {file}"),
}

_ZIPPED = {
    b"word/": "a Word document (docx)",
    b"xl/": "an Excel workbook (xlsx)",
    b"ppt/": "a PowerPoint presentation (pptx)",
    b"mimetypeapplication/epub": "an EPUB book",
    b"mimetypeapplication/vnd.oasis": "an OpenDocument file",
}
"""What else a zip archive may be, by what is found in its beginning."""

_DOCUMENTS = {
    (0, b"%PDF-"): ("a PDF document", "Take its text out: pdftotext {file} {text}"),
    (0, b"{\\rtf"): ("an RTF document", _PLAIN),
    (0, b"%!PS"): ("a PostScript document", "Take its text out: ps2ascii {file} > {text}"),
}
"""What may be all ASCII, and yet no text that a person would read."""

_OTHERS = {
    (0, b"\xd0\xcf\x11\xe0"): ("an old Office document (doc, xls, ppt)", _PLAIN),
    (60, b"BOOKMOBI"): ("a Kindle book", _PLAIN),
    (0, b"AT&TFORM"): ("a DjVu document", "Take its text out: djvutxt {file} > {text}"),
    (0, b"\x89PNG"): ("a PNG image", _OTHER),
    (0, b"\xff\xd8\xff"): ("a JPEG image", _OTHER),
    (0, b"GIF8"): ("a GIF image", _OTHER),
    (8, b"WEBP"): ("a WebP image", _OTHER),
    (0, b"II*\0"): ("a TIFF image", _OTHER),
    (0, b"MM\0*"): ("a TIFF image", _OTHER),
    (0, b"BM"): ("a BMP image", _OTHER),
    (0, b"ID3"): ("an MP3 recording", _OTHER),
    (0, b"OggS"): ("an Ogg recording", _OTHER),
    (0, b"fLaC"): ("a FLAC recording", _OTHER),
    (8, b"WAVE"): ("a WAV recording", _OTHER),
    (4, b"ftyp"): ("an MP4 recording", _OTHER),
    (0, b"\x1a\x45\xdf\xa3"): ("a Matroska recording", _OTHER),
    (0, b"\x7fELF"): ("a program", _OTHER),
    (0, b"MZ"): ("a program", _OTHER),
    (0, b"SQLite format 3"): ("an SQLite database", _EXPORT),
    (0, b"PAR1"): ("a Parquet table", _EXPORT),
    (0, b"ARROW1"): ("an Arrow table", _EXPORT),
    (0, b"\x89HDF"): ("an HDF5 file", _EXPORT),
    (0, b"\x93NUMPY"): ("a NumPy array", _OTHER),
    (0, b"GGUF"): ("a GGUF model", _OTHER),
    (8, b'{"'): ("a safetensors model", _OTHER),
}
"""By the place and the bytes; looked for only in what is no text by its other bytes."""

_ODD = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
"""Bytes that a text does not need."""
_MOST_ODD = 0.02
_CLEAN = 1024

_SIGNS = frozenset(
    "\u0152\u0153\u2018\u2019\u201a\u201c\u201d\u201e\u2013\u2014\u2026\u20ac\xa0\xa1\xa7\xab\xad\xb0\xb7\xbb\xbf"
)
"""Quotes, dashes and other marks that texts have between their words."""


def recognise(head: bytes) -> Foreign | None:
    """What begins with ``head``, if it is no text of one byte a letter; None if it may be one."""
    for mark, name, command in _MARKS:
        if head.startswith(mark):
            return Foreign(f"{name} text", f"Convert it: {command}")
    if found := _document(head):
        return found
    if _ESCAPED.search(head):
        command = "iconv -f iso-2022-jp -t utf-8 {file} > {text} (or iso-2022-kr, iso-2022-cn)"
        return Foreign("ISO-2022 text", f"Convert it: {command}")
    odd = len(_ODD.findall(head))
    if not odd and _is_utf8(head):
        return None
    found = _packed(head) or _at(_OTHERS, head)
    if found is not None:
        return found
    if odd and (encoding := _wide_encoding(head)):
        command = f"iconv -f {encoding} -t utf-8 {{file}} > {{text}}"
        name = encoding.upper().replace("LE", " (little-endian)").replace("BE", " (big-endian)")
        return Foreign(f"{name} text without a byte order mark", f"Convert it: {command}")
    clean = head.partition(b"\0")[0]
    if len(clean) >= _CLEAN and not _ODD.search(clean) and _is_utf8(clean):
        return None  # a text with a hole, which can be told where
    if odd > _MOST_ODD * len(head):
        return Foreign("binary data", _OTHER)
    return None


def other_encoding(data: bytes, place: int) -> Foreign:
    """What ``data`` is, which is no UTF-8 from ``place`` on and was not recognised."""
    if len(data) - place < 4 and _is_cut(data[place:]):
        return Foreign(
            "no text in UTF-8 to its end, cut off in the middle of a character",
            "Take the whole file, or leave its end out: iconv -c -f utf-8 -t utf-8 {file} > {text}",
        )
    told = data.decode("utf-8", "replace")
    bad = told.count("\ufffd")
    good = sum(char > "\x7f" for char in told) - bad
    if good > bad or _OVERLONG.match(data, place):
        return Foreign(
            "no text in UTF-8 all through",
            "Mend that place, or leave such bytes out: iconv -c -f utf-8 -t utf-8 {file} > {text}",
        )
    if encoding := _western(data):
        command = f"iconv -f {encoding} -t utf-8 {{file}} > {{text}}"
        return Foreign("no text in UTF-8", f"Convert it, for example: {command}")
    return Foreign(
        "no text in UTF-8, but in another encoding, or no text at all",
        "Find out which (file -i {file}; for example windows-1251, koi8-r, gb18030, big5, "
        "shift_jis or euc-kr), and convert it: iconv -f ENCODING -t utf-8 {file} > {text}",
    )


_OVERLONG = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]|\xc0\x80|[\xf5-\xfd][\x80-\xbf]{3}")
"""What careless programs write in place of UTF-8: halves of characters, NUL in two bytes."""


def _document(head: bytes) -> Foreign | None:
    found = _at(_DOCUMENTS, head)
    if found is None and head[:4] in (b"PK\3\4", b"PK\5\6"):
        if b"data.pkl" in head:
            return Foreign("a PyTorch checkpoint", _OTHER)
        if b"mimetype" in head or b"[Content_Types].xml" in head:
            return next(
                (Foreign(name, _PLAIN) for sign, name in _ZIPPED.items() if sign in head),
                Foreign("an Office document", _PLAIN),
            )
        return Foreign(
            "a zip archive", "Unpack it with unzip {file}, then name the text that was in it"
        )
    return found


def _packed(head: bytes) -> Foreign | None:
    if found := _at(_PACKED, head):
        return Foreign(
            f"compressed with {found.name}", f"Unpack it: {found.remedy} {{file}} > {{text}}"
        )
    found = _at(_ARCHIVES, head)
    return found and Foreign(
        found.name, f"Unpack it with {found.remedy}, then name the text that was in it"
    )


def _at(signs: dict[tuple[int, bytes], tuple[str, str]], head: bytes) -> Foreign | None:
    for (place, sign), (name, remedy) in signs.items():
        # Few letters may begin a text in another encoding as well.
        is_sure = len(sign) > 3 or not sign.isascii() or b"\0" in head
        if is_sure and head.startswith(sign, place):
            return Foreign(name, remedy)
    return None


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return len(head) - error.start < 4 and _is_cut(head[error.start :])
    return True


def _is_cut(tail: bytes) -> bool:
    """Whether a character of UTF-8 begins with ``tail``, and lacks its end."""
    sizes = ((0xC2, 0xE0, 2), (0xE0, 0xF0, 3), (0xF0, 0xF5, 4))
    size = next((size for low, high, size in sizes if low <= tail[0] < high), 0)
    return len(tail) < size and all(0x80 <= byte < 0xC0 for byte in tail[1:])


def _wide_encoding(head: bytes) -> str:
    """The encoding of two or four bytes a letter in which ``head`` is a text; empty for none."""
    best, name = 0.95, ""
    for encoding, width in (("utf-32le", 4), ("utf-32be", 4), ("utf-16le", 2), ("utf-16be", 2)):
        text = head[: len(head) - len(head) % width].decode(encoding, "replace")
        share = sum(map(_is_usual, text)) / max(1, len(text))
        # The right one has spaces, line ends or Chinese marks; read the wrong way round, a space is
        # U+2000.
        if share > best and re.search(r"[ \n\r\u3001\u3002]|^[\x21-\x7e]+$", text):
            best, name = share, encoding
    return name


def _is_usual(char: str) -> bool:
    return char in "\t\n\r\ufeff" or (
        char != "\ufffd" and unicodedata.category(char) not in ("Cc", "Cn", "Co", "Cs")
    )


def _western(data: bytes) -> str:
    """``latin1`` or ``windows-1252`` if that gives words with letters here and there outside
    ASCII, as in the languages of Western Europe; empty otherwise.
    """
    encoding = "windows-1252" if re.search(rb"[\x80-\x9f]", data) else "latin1"
    if _ODD.search(data):
        return ""
    try:
        text = data.decode("cp1252" if encoding == "windows-1252" else encoding)
    except UnicodeDecodeError:
        return ""
    signs = [char for char in text if char > "\x7f"]
    accented = sum("\xc0" <= char <= "\xff" for char in signs)
    usual = accented + sum(char in _SIGNS for char in signs)
    is_western = accented <= 0.4 * sum(map(str.isalpha, text)) and usual >= 0.8 * len(signs)
    return encoding if is_western else ""
