"""The index of a torch file: what torch.save pickles of plain values and tensors, read without
pickle, whose reader hashes, adds and nests whatever a file asks for.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from llmattn.untrusted import MOST_INTEGER

__all__ = ["NotPlain", "Storage", "read_index"]

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
_MOST_OPERATIONS = 1 << 22
"""Enough for a million words."""
_MOST_DIMENSIONS = 8

_TENSOR, _HOOKS = "torch._utils._rebuild_tensor_v2", "collections.OrderedDict"
_GLOBALS: dict[str, Any] = {
    _TENSOR: _TENSOR,
    _HOOKS: _HOOKS,
    **{f"torch.{name}": dtype for name, dtype in _STORAGES.items()},
}
"""What stands for a name, never what bears it."""

_LEAVES = frozenset("BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE".split())  # noqa: SIM905
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class NotPlain(Exception):
    """The file holds more than plain values and tensors."""


@frozen
class Storage:
    """Numbers of a file that tensors are views of."""

    values: Tensor


def read_index(index: bytes, storage: Callable[[Any], Storage]) -> Any:
    """What ``index`` describes, in protocol 2; ``storage`` gives what a persistent id stands for.

    Time and memory grow with the length of ``index`` alone. Raises NotPlain for an operation or a
    name that is not of plain values and tensors; ValueError, TypeError, IndexError, KeyError or
    RuntimeError for what is damaged.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def taken(count: int | None = None) -> list[Any]:
        """The top ``count`` values, or those above the last mark."""
        start = marks.pop() if count is None else len(stack) - count
        if not (marks[-1] if marks else 0) <= start <= len(stack):
            raise ValueError("its index takes what is not there")
        values = stack[start:]
        del stack[start:]
        return values

    for count, (operation, argument, _) in enumerate(pickletools.genops(index)):
        name = operation.name
        if count > _MOST_OPERATIONS:
            raise ValueError("its index is too long")
        if name in _LEAVES:
            stack.append(_leaf(argument))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[int(argument or 0)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument or 0)])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in _TUPLES:
            stack.append(tuple(taken(_TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(taken()))
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("APPEND", "APPENDS"):
            _append(taken(1 if name == "APPEND" else None), stack[-1])
        elif name in ("SETITEM", "SETITEMS"):
            _set(taken(2 if name == "SETITEM" else None), stack[-1])
        elif name == "GLOBAL":
            stack.append(_named(str(argument).replace(" ", ".", 1)))
        elif name == "BINPERSID":
            stack.append(storage(*taken(1)))
        elif name == "REDUCE":
            stack.append(_made(*taken(2)))
        elif name == "STOP":
            (found,) = stack
            return found
        elif name != "PROTO":
            raise NotPlain(f"the operation {name}")
    raise ValueError("its index does not end")


def _leaf(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > MOST_INTEGER:
        raise ValueError("it holds a whole number of more than 64 bits")
    return value


def _append(values: list[Any], target: Any) -> None:
    if type(target) is not list:
        raise TypeError("its index adds to what is no list")
    target.extend(values)


def _set(values: list[Any], target: Any) -> None:
    """Keys are words and numbers: of a tuple within tuples the hash alone may take for ever."""
    keys = values[::2]
    if type(target) is not dict or len(values) % 2:
        raise TypeError("its index adds to what is no table")
    if not all(type(key) in (str, int) for key in keys):
        raise TypeError("a table in it has keys that are neither words nor whole numbers")
    target.update(zip(keys, values[1::2], strict=True))


def _named(name: str) -> Any:
    if name not in _GLOBALS:
        raise NotPlain(name[:100])
    return _GLOBALS[name]


def _made(name: object, arguments: object) -> Any:
    if type(arguments) is not tuple or name not in (_TENSOR, _HOOKS):
        raise TypeError("it makes something of what is no name")
    # An empty OrderedDict stands for a tensor's hooks.
    return {} if name == _HOOKS else _tensor(*arguments)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Tensor:
    """What ``torch._utils._rebuild_tensor_v2`` makes, of what the storage holds."""
    if not isinstance(storage, Storage) or type(shape) is not tuple or type(stride) is not tuple:
        raise ValueError("it describes no tensor")
    if len(shape) != len(stride) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"a tensor has more than {_MOST_DIMENSIONS} dimensions")
    if not all(type(n) is int and n >= 0 for n in (offset, *shape, *stride)):
        raise ValueError("it describes no tensor")
    if math.prod(shape) > len(storage.values) - offset:
        raise ValueError("a tensor is larger than what it holds")
    # A view outside of the storage is a RuntimeError here.
    return storage.values.as_strided(shape, stride, offset)
