"""Whether the model that the environment means is on this machine; imports and loads nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from llmattn.plugin import user_path

from llmattn_transformers.installed import in_wheel
from llmattn_transformers.settings import TransformersSettings

__all__ = ["why_at_hand"]


def why_at_hand(environ: Mapping[str, str]) -> str:
    """In words, which model is at hand where nobody names a provider: that of LLM_MODEL, else the
    default one; empty if it would have to be fetched, or what reads it is not installed.
    """
    model = environ.get("LLM_MODEL", "").strip() or TransformersSettings().model
    path = user_path(model)
    if not path.exists() and (found := in_wheel(model)):
        path = found[0]
    if path.is_file():
        needed = ("gguf", "accelerate")
        readable = path.suffix == ".gguf" and all(find_spec(name) for name in needed)
    else:
        readable = (path / "config.json").is_file() or _is_fetched(model, environ)
    return f"the language model {model} is on this machine" if readable else ""


def _is_fetched(model: str, environ: Mapping[str, str]) -> bool:
    """Whether Hugging Face's cache holds a model of this id."""
    owner, slash, name = model.partition("/")
    if not (slash and owner and name) or "/" in name:
        return False
    home = environ.get("HF_HOME") or os.path.join(
        environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    cache = environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")
    folder = Path(cache).expanduser() / f"models--{owner}--{name}" / "snapshots"
    return any(folder.glob("*/config.json"))
