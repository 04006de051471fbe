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

__all__ = ["CONFIG", "MODEL", "SCORES", "TOKENIZER", "read_folder", "write_folder"]

MODEL, SCORES = "model.safetensors", "scores.safetensors"
CONFIG, TOKENIZER = "config.json", "tokenizer.json"


def write_folder(folder: Path, data: Mapping[str, Any]) -> list[Path]:
    """Write what a checkpoint file holds, but for the state of its training.

    Weights go to model.safetensors, the score table's tensors to scores.safetensors (if there
    is a table), the tokenizer to tokenizer.json, which the tokenizers library reads, and all
    else to config.json; a folder is made to be passed on, so the corpus's place on this machine
    is left out. Returns the files. Raises CheckpointError if the folder cannot be written.
    """
    left_out = ("weights", "last", "corpus")
    config = {key: value for key, value in data.items() if key not in left_out}
    tokenizer = json.loads(data["tokenizer"])
    text = tokenizer.pop("tokenizer")
    tensors, config["table"] = _split(data["table"] or {})
    config["tokenizer"] = tokenizer
    paths = [folder / name for name in (MODEL, CONFIG, TOKENIZER)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.contiguous() for name, value in data["weights"].items()}
        save_file(weights, folder / MODEL, metadata={"format": "pt"})
        (folder / SCORES).unlink(missing_ok=True)  # of an earlier export
        if tensors:
            save_file(tensors, folder / SCORES, metadata={"format": "pt"})
            paths.insert(1, folder / SCORES)
        (folder / TOKENIZER).write_text(text, encoding="utf-8")
        # Last: a folder without it is no export, so a broken one is never taken for whole.
        (folder / CONFIG).write_text(
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
        data: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
        data["tokenizer"] = json.dumps({**data["tokenizer"], "tokenizer": tokenizer})
        data["weights"] = load_file(folder / MODEL)
        if data["table"]:
            data["table"] = {**data["table"], **load_file(folder / SCORES)}
    except FileNotFoundError as error:
        name = Path(error.filename or MODEL).name
        raise CheckpointError(
            f"{folder} is a folder without {name}: name a checkpoint file, or a folder that "
            "`llmattn export` wrote."
        ) from None
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"The exported model in {folder} is damaged ({error}): export it again."
        ) from None
    return {**data, "last": {}, "corpus": ""}


def _split(state: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of a state, and its plain values."""
    tensors = {k: v.contiguous() for k, v in state.items() if isinstance(v, torch.Tensor)}
    return tensors, {key: value for key, value in state.items() if key not in tensors}
