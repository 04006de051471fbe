"""Alterations of plain data and of bytes, drawn from a seeded generator."""

from __future__ import annotations

import copy
import math
import random
from pathlib import Path
from typing import Any

import torch

__all__ = ["alter_bytes", "alter_pages", "alter_values"]

STRANGE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    255,
    2**31,
    2**63 - 1,
    10**12,
    -(10**12),
    10**30,
    0.0,
    -0.5,
    1.5,
    1e300,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "x",
    "0",
    "\x1b]0;owned\x07",
    "\u202eevil\u2066",
    "\x9b31m",
    "[bold]x[/nothing]",
    "\ud800",
    "a\0b",
    "/dev/zero",
    "../../etc/passwd",
    "$(id)",
    "é" * 5000,
    [],
    {},
    [None],
    [[]],
    [1, "a", None],
    {"a": 1},
    {"\x1b[31m": {"b": []}},
)


def _deep(levels: int, kind: type) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found] if kind is list else {"a": found}
    return found


def _strange(random: random.Random, old: Any) -> Any:
    choice = random.randrange(12)
    if choice == 0:
        return _deep(random.choice((3, 40, 150)), random.choice((list, dict)))
    if isinstance(old, bool):
        return random.choice((not old, int(old), str(old), None))
    if isinstance(old, int) and choice < 7:
        return random.choice((old + 1, old - 1, -old, old * 1000, old << 40, float(old), str(old)))
    if isinstance(old, float) and choice < 7:
        return random.choice((-old, old * 1e30, old + 1, math.nan, math.inf, str(old), 7))
    if isinstance(old, str) and choice < 7:
        return random.choice(
            (old[:-1], old + "\x1b[2J", old[::-1], old * 50, old.upper(), [old], old + "\u202e")
        )
    if isinstance(old, list) and choice < 9:
        return _altered_list(random, old)
    if isinstance(old, torch.Tensor):
        return _altered_tensor(random, old)
    return copy.deepcopy(random.choice(STRANGE))


def _altered_list(random: random.Random, old: list[Any]) -> list[Any]:
    place = random.randrange(len(old) + 1)
    return random.choice(
        (
            old[:place],
            old[place:],
            old[::-1],
            old + old,
            [*old[:place], copy.deepcopy(random.choice(STRANGE)), *old[place:]],
            old[:place] + old[place + 1 :],
        )
    )


def _altered_tensor(random: random.Random, old: torch.Tensor) -> Any:
    choice = random.randrange(14)
    if choice == 0:
        return old.flatten()[: old.numel() // 2].clone()
    if choice == 1:
        return torch.zeros(1, dtype=old.dtype).expand(10**12)
    if choice == 2:
        return old.to(random.choice((torch.float16, torch.float64, torch.int64, torch.bool)))
    if choice == 3:
        return old.to("meta")
    if choice == 4:
        return old.to_sparse() if old.dim() else old
    if choice == 5:
        return old[None]
    if choice == 6:
        return old.T.contiguous() if old.dim() == 2 else old.flatten()
    if choice == 7:
        return torch.zeros(0, dtype=old.dtype)
    if choice == 8:
        return torch.complex(old.float(), old.float())
    if choice == 9:
        return torch.nn.Parameter(old.float())
    if choice == 10:
        return old.tolist()
    changed = old.clone()
    if changed.numel():
        wild = random.choice((math.nan, math.inf, -1.0, 1e30, 3e38, 2.0, 0.0))
        place = random.randrange(changed.numel())
        if not changed.is_floating_point():
            wild = random.choice((-1, 2**31 - 1, 10**6, 0))
        if random.random() < 0.5:
            changed.view(-1)[place] = wild
        else:
            changed.fill_(wild)
    return changed


def _places(value: Any, most: int = 20_000) -> list[tuple[Any, Any]]:
    """Containers with keys into them, in breadth."""
    found: list[tuple[Any, Any]] = []
    level = [value]
    while level and len(found) < most:
        below = []
        for each in level:
            keys = list(each) if isinstance(each, dict) else range(len(each))
            for key in keys:
                found.append((each, key))
                if isinstance(each[key], (dict, list)):
                    below.append(each[key])
        level = below
    return found


def alter_values(value: Any, random: random.Random) -> Any:
    """``value`` with one to three alterations: changed, deleted, inserted and swapped values."""
    changed = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = _places(changed)
        if not places:
            return copy.deepcopy(random.choice(STRANGE))
        # A list of many equals counts no more than a name: half of the draws look at names alone.
        named = [place for place in places if isinstance(place[0], dict)]
        inside, key = random.choice(named if named and random.random() < 0.6 else places)
        action = random.random()
        if action < 0.15:
            del inside[key]
        elif action < 0.25:
            other, place = random.choice(places)
            with_other = other[place] if _has(other, place) else None
            inside[key] = copy.deepcopy(with_other)
        elif action < 0.32 and isinstance(inside, dict):
            inside[random.choice(("x", "\x1b[1m", "", "__class__"))] = _strange(random, None)
        elif action < 0.36 and isinstance(inside, dict):
            inside[f"{key}2"] = inside.pop(key)
        else:
            inside[key] = _strange(random, inside[key])
    return changed


def _has(inside: Any, key: Any) -> bool:
    return key in inside if isinstance(inside, dict) else key < len(inside)


def alter_bytes(data: bytes, random: random.Random) -> bytes:
    """``data`` with flipped bits, cut, doubled, swapped or overwritten parts."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        if not found:
            break
        place = random.randrange(len(found))
        length = random.choice((1, 2, 8, 64, 1000))
        action = random.randrange(9)
        if action <= 1:
            found[place] ^= 1 << random.randrange(8)
        elif action == 2:
            del found[place:]
        elif action == 3:
            del found[place : place + length]
        elif action == 4:
            found[place:place] = found[place : place + length]
        elif action == 5:
            other = random.randrange(len(found))
            found[place : place + length] = found[other : other + length]
        elif action == 6:
            found[place : place + length] = random.randbytes(len(found[place : place + length]))
        elif action == 7:
            found[place:place] = random.choice((b"[", b'{"a":')) * 5000
        else:
            found[place : place + length] = b"\xff" * len(found[place : place + length])
    return bytes(found)


PAGE = 4096


def alter_pages(path: Path, random: random.Random) -> None:
    """One to eight damages of an LMDB file, in place: of whole pages, or of what they say."""
    pages = path.stat().st_size // PAGE
    with path.open("r+b") as file:

        def alter(place: int, length: int) -> None:
            file.seek(place)
            found = bytearray(file.read(length))
            for _ in range(random.choice((1, 1, 2))):
                found[random.randrange(len(found))] ^= 1 << random.randrange(8)
            file.seek(place)
            file.write(found)

        for _ in range(random.choice((1, 1, 1, 2, 8))):
            page = random.choice((0, 1)) if random.random() < 0.05 else random.randrange(pages)
            page = _with_records(file, page, pages, random)
            start = page * PAGE
            action = random.randrange(10)
            if action <= 2:
                alter(start, 16)  # its number, its kind, and where its room begins and ends
            elif action <= 4:
                alter(start + 16, 64)  # where its records are
            elif action == 5:
                alter(start, PAGE)
            elif action == 6:
                file.seek(start)
                file.write(bytes(PAGE))
            elif action == 7:
                file.seek(random.randrange(pages) * PAGE)
                other = file.read(PAGE)
                file.seek(start)
                file.write(other)
            elif action == 8:
                file.seek(start + random.randrange(PAGE - 64))
                file.write(random.randbytes(64))
            elif random.random() < 0.3:
                file.truncate(start + random.randrange(PAGE))
                return
            else:
                file.seek(start)
                file.write(random.randbytes(PAGE))


def _with_records(file: Any, page: int, pages: int, random: random.Random) -> int:
    """Mostly another page: one of the few that lead to others or hold short records."""
    if random.random() < 0.3:
        return page
    for _ in range(400):
        other = random.randrange(pages)
        file.seek(other * PAGE + 10)
        if file.read(2) in (b"\x01\x00", b"\x02\x00"):
            return other
    return page
