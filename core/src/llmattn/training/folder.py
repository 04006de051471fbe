"""A checkpoint as a folder that other programs read: safetensors, JSON, and tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from llmattn.errors import CheckpointError
from llmattn.untrusted import WRONG_DATA, read_json
from llmattn.whole_files import check_file, replacing

__all__ = ["CONFIG", "MODEL", "SCORES", "TOKENIZER", "read_folder", "write_folder"]

MODEL, SCORES = "model.safetensors", "scores.safetensors"
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
_IN_LIBRARY = ("vocabulary", "merges")


def write_folder(folder: Path, data: Mapping[str, Any], library: str) -> list[Path]:
    """Write what a checkpoint file holds, but for the state of its training.

    Weights go to model.safetensors, the score table's tensors to scores.safetensors (if there
    is a table), the tokenizer as the tokenizers library reads it, ``library``, to tokenizer.json,
    and all else to config.json; a folder is made to be passed on, so the corpus's place on this
    machine is left out. Returns the files. Raises CheckpointError if the folder cannot be written.
    """
    left_out = ("weights", "last", "corpus")
    config = {key: value for key, value in data.items() if key not in left_out}
    tensors, config["table"] = _split(data["table"] or {})
    # Its words and merges stand in tokenizer.json.
    config["tokenizer"] = {
        name: value for name, value in data["tokenizer"].items() if name not in _IN_LIBRARY
    }
    paths = [folder / name for name in (MODEL, CONFIG, TOKENIZER)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.contiguous() for name, value in data["weights"].items()}
        with replacing(folder / MODEL) as new:
            save_file(weights, new, metadata={"format": "pt"})
        (folder / SCORES).unlink(missing_ok=True)  # of an earlier export
        if tensors:
            with replacing(folder / SCORES) as new:
                save_file(tensors, new, metadata={"format": "pt"})
            paths.insert(1, folder / SCORES)
        with replacing(folder / TOKENIZER) as new:
            new.write_text(library, encoding="utf-8")
        # Last: a folder without it is no export, so a broken one is never taken for whole.
        with replacing(folder / CONFIG) as new:
            new.write_text(
                json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
            )
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"The model cannot be exported to {folder} ({reason}): choose another folder."
        ) from None
    return paths


def read_folder(folder: Path) -> dict[str, Any]:
    """What :func:`write_folder` wrote, without a state of training; executes nothing.

    Raises CheckpointError if a file is missing or damaged.
    """
    try:
        data: dict[str, Any] = dict(read_json(folder / CONFIG))
        data["tokenizer"] = {**data["tokenizer"], **_words(read_json(folder / TOKENIZER)["model"])}
        data["weights"] = _tensors(folder / MODEL)
        data["table"] = {**data["table"], **_tensors(folder / SCORES)} if data["table"] else None
    except FileNotFoundError as error:
        name = Path(error.filename or MODEL).name
        raise CheckpointError(
            f"{folder} is a folder without {name}: name a checkpoint file, or a folder that "
            "`llmattn export` wrote."
        ) from None
    except (OSError, SafetensorError, *WRONG_DATA) as error:
        raise CheckpointError(
            f"The exported model in {folder} is damaged ({error}): export it again."
        ) from None
    return {**data, "last": {}, "corpus": ""}


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    """Raises OSError or SafetensorError."""
    check_file(path)
    return load_file(path)


def _words(model: Mapping[str, Any]) -> dict[str, Any]:
    """Words and merges, read as data out of what the library wrote; all else that tokenizer.json
    says follows from the preset, and is not read.
    """
    words = model["vocab"]
    in_order = sorted(words, key=words.__getitem__)
    if [words[word] for word in in_order] != list(range(len(words))):
        raise ValueError("the numbers of its words do not count up from 0")
    return {"merges": model["merges"]} if "merges" in model else {"vocabulary": in_order}


def _split(state: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of a state, and its plain values."""
    tensors = {k: v.contiguous() for k, v in state.items() if isinstance(v, torch.Tensor)}
    return tensors, {key: value for key, value in state.items() if key not in tensors}
