"""Keeps Hugging Face's libraries from the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

__all__ = ["offline"]


@contextmanager
def offline(wanted: bool = True) -> Iterator[None]:
    """Within the block nothing is fetched, if ``wanted``. ``local_files_only`` is not enough: to
    say who they are the libraries ask the hub for a list first, even for a model in a folder.
    """
    constants: Any = import_module("huggingface_hub.constants")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
