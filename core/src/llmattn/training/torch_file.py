"""Files of ``torch.save`` as far as llmattn writes them: plain values and whole tensors.

torch's own reader, even the restricted one, believes a file: it allocates what a number says,
makes tensors larger than what holds their numbers, and knows more kinds of objects than ours.
Here a file can make no more than what it holds.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from attrs import frozen
from torch import Tensor

from llmattn.errors import CheckpointError
from llmattn.untrusted import check_plain

__all__ = ["read_torch_file"]

_STORAGES = {
    f"{name}Storage": dtype
    for name, dtype in {
        "Double": torch.float64,
        "Float": torch.float32,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
    }.items()
}
_OPCODES = frozenset(
    """
    PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE
    EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    GLOBAL REDUCE BINPERSID BINPUT LONG_BINPUT BINGET LONG_BINGET
    """.split()  # noqa: SIM905  (readable as it is)
)
"""What torch.save writes for such data, in protocol 2."""

_MOST_OPERATIONS = 1 << 22
"""Of an index: enough for a million words."""


class _NotPlain(Exception):
    """The file holds more than plain values and tensors."""


def read_torch_file(path: Path) -> Any:
    """The dicts, lists, numbers, texts and tensors of a file; nothing of it is executed, and
    no more memory is taken than it is long. Raises CheckpointError.
    """
    try:
        with path.open("rb") as file:
            _check_kind(path, file.read(4096))
            return _read(file)
    except FileNotFoundError:
        raise CheckpointError(
            f"There is no checkpoint at {path}: make one with `python -m llmattn.train`, or "
            "name one with --checkpoint FILE."
        ) from None
    except _NotPlain as error:
        raise CheckpointError(
            f"{path} holds more than tensors and plain values ({error}), so it is not loaded: with "
            "more, a file can run any program. llmattn's own checkpoints never hold more."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} is truncated, damaged or no checkpoint ({reason.rstrip('.')}): take a whole "
            "copy, or train again."
        ) from None


_DAMAGE = (
    pickle.UnpicklingError,
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
"""What zipfile, pickle and torch raise for a file that is not as it should be."""


def _check_kind(path: Path, start: bytes) -> None:
    """Raise CheckpointError for a file that is no archive, and say what it is."""
    if start.startswith(b"PK\x03\x04"):
        return
    if start.startswith(b"\x80") and start[1:2] <= b"\x05":
        raise _NotPlain("it is a bare pickle")
    if not start:
        what = "is empty, or was truncated"
    elif _is_text(start):
        what = "is a text, and no checkpoint"
    else:
        what = "is no checkpoint, or was truncated at its beginning"
    raise CheckpointError(
        f"{path} {what}: name a checkpoint, which `python -m llmattn.train` writes (checkpoint.pt "
        "if nothing else is said)."
    )


def _is_text(start: bytes) -> bool:
    text = start.decode("utf-8", "ignore")
    return len(text.encode()) > len(start) - 4 and "\0" not in text


@frozen
class _Storage:
    """Numbers of a file that tensors are views of."""

    values: Tensor


def _read(file: IO[bytes]) -> Any:
    with zipfile.ZipFile(file) as archive:
        entries = _entries(archive, file.seek(0, io.SEEK_END))
        folder = min(entries, default="").split("/")[0]
        if archive.read(f"{folder}/byteorder") != sys.byteorder.encode():
            raise ValueError("it was written on a machine with another order of bytes")
        index = archive.read(f"{folder}/data.pkl")
        _check_index(index)
        found = _Unpickler(index, archive, folder).load()
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


def _check_index(index: bytes) -> None:
    """Raise _NotPlain for an operation or a name that is not ours, ValueError for one that would
    take room for more than there is.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(index)):
        if count > _MOST_OPERATIONS:
            raise ValueError("its index is too long")
        if opcode.name not in _OPCODES:
            raise _NotPlain(f"the operation {opcode.name}")
        if opcode.name == "GLOBAL":
            name = str(argument).replace(" ", ".", 1)
            if name not in _GLOBALS:
                raise _NotPlain(name[:100])
        if opcode.name in ("BINPUT", "LONG_BINPUT") and int(argument or 0) > count:
            raise ValueError("its index counts wrongly")


class _Unpickler(pickle.Unpickler):
    """Knows the names of :data:`_GLOBALS` alone, which stand for functions of ours."""

    def __init__(self, index: bytes, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(index))
        self._archive, self._folder = archive, folder
        self._loaded: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name, never what bears it."""
        return _GLOBALS[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage that ``pid`` describes: its kind, its record, a device, and its length."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise ValueError("it describes no storage")
        if key not in self._loaded:
            with self._archive.open(f"{self._folder}/data/{key}") as record:
                data = bytearray(record.read())
            values = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            self._loaded[key] = _Storage(values)
        storage = self._loaded[key]
        if storage.values.dtype != dtype or len(storage.values) != count:
            raise ValueError("a record is not as long as it should be")
        return storage


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Tensor:
    """What ``torch._utils._rebuild_tensor_v2`` makes, of what the storage holds."""
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("it describes no tensor")
    if math.prod(shape) > len(storage.values) - offset:
        raise ValueError("a tensor is larger than what it holds")
    # A view outside of the storage is a RuntimeError here.
    return storage.values.as_strided(tuple(shape), tuple(stride), offset)


def _nothing(*_: Any) -> dict[Any, Any]:
    """An empty OrderedDict stands for a tensor's hooks."""
    return {}


_GLOBALS: Mapping[str, torch.dtype | Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "collections.OrderedDict": _nothing,
    **{f"torch.{name}": dtype for name, dtype in _STORAGES.items()},
}
