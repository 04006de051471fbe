"""Keeps the memory that one training step frees for the next one."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_heap"]

# Numbers of mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_LARGE = 2**31 - 1


def keep_heap() -> bool:
    """Tell glibc to hold on to large blocks. Whether it will; elsewhere nothing happens.

    By default each tensor of more than 32 MiB is mapped when made and unmapped when freed, and
    the kernel clears its pages anew in every step. Kept in the heap they are cleared once; the
    process then does not give memory back before it ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    # A threshold cannot exceed 32 MiB, so blocks are kept off mmap by allowing no maps at all.
    wishes = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _LARGE}
    return all(mallopt(name, value) == 1 for name, value in wishes.items())
