"""Reads a GGUF file's description, without its tensors: a second where a full reader takes many."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from llmattn.plugin import ConfigError

__all__ = ["read_description"]

_STRING, _ARRAY = 8, 9
_FORMATS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
"""The number types of the format, by their code."""


def read_description(path: Path) -> Mapping[str, Any]:
    """The file's key-value pairs; arrays (the vocabulary, mostly) are skipped.

    The layout is that of the GGUF specification, versions 2 and 3 (little-endian). Raises
    ConfigError for a file that is not so.
    """
    found: dict[str, Any] = {}
    try:
        with path.open("rb") as file:
            magic, version, _, pairs = struct.unpack("<4sIQQ", file.read(24))
            if magic != b"GGUF":
                raise ConfigError(
                    f"{path} is not a GGUF file. transformers reads a GGUF file, a folder with "
                    "config.json, or a Hugging Face id."
                )
            if version not in (2, 3):
                raise ConfigError(
                    f"{path} is a GGUF file of version {version}; 2 and 3 can be read. Convert it "
                    "anew from the model."
                )
            for _ in range(pairs):
                key = _string(file)
                value = _value(file, *struct.unpack("<I", file.read(4)))
                if value is not None:
                    found[key] = value
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except (struct.error, UnicodeDecodeError, KeyError, OverflowError, MemoryError):
        raise ConfigError(f"{path} is a damaged GGUF file: download it again.") from None
    return found


def _string(file: BinaryIO) -> str:
    (size,) = struct.unpack("<Q", file.read(8))
    return file.read(size).decode()


def _value(file: BinaryIO, kind: int) -> Any:
    """The value at the file's position; None for an array, which is passed over."""
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        form = _FORMATS[kind]
        return struct.unpack(form, file.read(struct.calcsize(form)))[0]
    inner, count = struct.unpack("<IQ", file.read(12))
    if inner in _FORMATS:
        file.seek(count * struct.calcsize(_FORMATS[inner]), 1)
        return None
    for _ in range(count):
        if inner == _STRING:
            file.seek(struct.unpack("<Q", file.read(8))[0], 1)
        else:
            _value(file, inner)
    return None
