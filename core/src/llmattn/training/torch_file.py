"""Files of ``torch.save`` as far as llmattn writes them: plain values and whole tensors.

torch's own reader, even the restricted one, believes a file: it allocates what a number says,
makes tensors larger than what holds their numbers, and knows more kinds of objects than ours.
Here a file can make no more than what it holds.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
import zlib
from logging import WARNING
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from llmattn.digests import EMPTY, fill_digest, has_digest
from llmattn.errors import CheckpointDamaged, CheckpointError
from llmattn.notices import notify_once
from llmattn.training.recognise import check_checkpoint
from llmattn.training.torch_index import NotPlain, Storage, read_index
from llmattn.untrusted import check_plain
from llmattn.whole_files import open_file

__all__ = ["read_torch_file", "write_torch_file"]

_COMMENT_LENGTH = struct.Struct("<H")
"""The last field of an archive that has no comment."""
_TAIL = 128
"""Bytes at the end of a file in which its digest stands."""


def write_torch_file(file: IO[bytes], data: Any) -> None:
    """``torch.save`` into an open file, with a digest of all of it as the comment of the archive,
    which torch's own reader passes over. Raises OSError where torch raises what it likes, such as
    a RuntimeError for a full disk.
    """
    watched = _Watched(file)
    try:
        torch.save(data, watched)  # type: ignore[arg-type]
    except RuntimeError as error:
        raise watched.error or error from None
    comment = json.dumps(EMPTY).encode()
    file.seek(-_COMMENT_LENGTH.size, io.SEEK_END)
    file.write(_COMMENT_LENGTH.pack(len(comment)) + comment)
    file.flush()
    fill_digest(Path(file.name), _TAIL)


class _Watched:
    """A file that remembers the error it had, which torch does not pass on."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def read_torch_file(path: Path) -> Any:
    """The dicts, lists, numbers, texts and tensors of a file; nothing of it is executed, and
    no more memory is taken than it is long. A file without a digest is taken, and named.
    Raises CheckpointError.
    """
    check_checkpoint(path)
    try:
        with open_file(path) as file:
            digested = has_digest(path, _TAIL)
            if not digested:
                _check_end(file)
            found = _read(file)
        if not digested:
            notify_once(
                f"{path} has no digest: it is taken, but damage in it may not be seen.", WARNING
            )
        return found
    except NotPlain as error:
        raise CheckpointDamaged(
            f"{path} holds more than tensors and plain values ({error}), so it is not loaded: with "
            "more, a file can run any program. llmattn's own checkpoints never hold more."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointDamaged(
            f"{path} is truncated, damaged or no checkpoint ({reason.rstrip('.')}): take a whole "
            "copy, or train again."
        ) from None


_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
    RuntimeError,
)
"""What zipfile, the index's reader and torch raise for a file that is not as it should be."""


def _check_end(file: IO[bytes]) -> None:
    """Raise ValueError if a file has lost its digest, rather than never had one."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - _TAIL, 0))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")  # of the archive: 22 bytes, then its comment
    if end < 0 or len(tail) != end + 22:
        raise ValueError("the digest at its end is lost")
    if tail[-_COMMENT_LENGTH.size :] != _COMMENT_LENGTH.pack(0):
        raise ValueError("it was cut at its end")


def _read(file: IO[bytes]) -> Any:
    with zipfile.ZipFile(file) as archive:
        entries = _entries(archive, file.seek(0, io.SEEK_END))
        folder = min(entries, default="").split("/")[0]
        if archive.read(f"{folder}/byteorder") != sys.byteorder.encode():
            raise ValueError("it was written on a machine with another order of bytes")
        index = archive.read(f"{folder}/data.pkl")
        found = read_index(index, _Storages(archive, folder).find)
        check_plain(found, leaves=(Tensor,), most=len(index))
        return found


def _entries(archive: zipfile.ZipFile, size: int) -> set[str]:
    """The names of an archive's records. Raises ValueError unless each is there once, as it is,
    and all together are no larger than the file.
    """
    records = archive.infolist()
    names = {record.filename for record in records}
    if len(names) < len(records):
        raise ValueError("a record stands in it twice")
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise ValueError("its records are compressed")
    if any(record.file_size != record.compress_size for record in records):
        raise ValueError("the size of a record is wrong")
    if sum(record.file_size for record in records) > size:
        raise ValueError("its records are larger than the file")
    return names


class _Storages:
    """The storages of an archive by the name of their record, each read once."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self._archive, self._folder = archive, folder
        self._loaded: dict[str, Storage] = {}

    def find(self, pid: Any) -> Storage:
        """The storage that ``pid`` describes: its kind, its record, a device, and its length."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise ValueError("it describes no storage")
        if key not in self._loaded:
            with self._archive.open(f"{self._folder}/data/{key}") as record:
                data = bytearray(record.read())
            values = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            self._loaded[key] = Storage(values)
        storage = self._loaded[key]
        if storage.values.dtype != dtype or len(storage.values) != count:
            raise ValueError("a record is not as long as it should be")
        return storage
