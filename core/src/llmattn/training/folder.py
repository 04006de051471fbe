"""A checkpoint as a folder that other programs read: safetensors, JSON, and tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from logging import WARNING
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from llmattn.digests import EMPTY, digest_of, fill_digest, has_digest
from llmattn.errors import CheckpointDamaged, CheckpointError
from llmattn.notices import notify_once
from llmattn.untrusted import WRONG_DATA, read_json
from llmattn.whole_files import check_file
from llmattn.writing import Kind, check_output, written

__all__ = ["CONFIG", "MODEL", "SCORES", "TOKENIZER", "check_folder", "read_folder", "write_folder"]

MODEL, SCORES = "model.safetensors", "scores.safetensors"
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
_MADE = {"format": "pt"}
_CONFIG = Kind(
    "the settings of an exported model",
    lambda head, _: head.startswith(b'{\n  "format": "llmattn-checkpoint"'),
    CheckpointError,
    in_folder=True,
)
_PART = Kind("a part of an exported model", None, CheckpointError, in_folder=True)
"""Whose folder it is, the settings tell."""
_IN_LIBRARY = ("vocabulary", "merges")
_DIGESTS = "digests"
_TAIL = 128
"""Bytes at the end of config.json in which its own digest stands."""


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
    check_folder(folder)
    weights = {name: value.contiguous() for name, value in data["weights"].items()}
    try:
        with ExitStack() as last_first:
            # All are written before the first gets its name, and this one gets it last: a folder
            # without it is no export, so a broken one is never taken for whole.
            last = _new(last_first, folder / CONFIG)
            made = {TOKENIZER: _new(last_first, folder / TOKENIZER)}
            made[TOKENIZER].write(library.encode())
            made[TOKENIZER].flush()
            if tensors:
                made[SCORES] = _new(last_first, folder / SCORES)
                save_file(tensors, made[SCORES].name, metadata=_MADE)
            else:
                (folder / SCORES).unlink(missing_ok=True)  # of an earlier export
            made[MODEL] = _new(last_first, folder / MODEL)
            save_file(weights, made[MODEL].name, metadata=_MADE)
            digests = {name: digest_of(Path(file.name)) for name, file in made.items()}
            described = {**config, _DIGESTS: digests, **EMPTY}
            text = json.dumps(described, ensure_ascii=False, indent=2) + "\n"
            last.write(text.encode())
            last.flush()
            fill_digest(Path(last.name), _TAIL)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"The model cannot be exported to {folder} ({reason}): choose another folder."
        ) from None
    names = (MODEL, SCORES, CONFIG, TOKENIZER) if tensors else (MODEL, CONFIG, TOKENIZER)
    return [folder / name for name in names]


def check_folder(folder: Path) -> None:
    """Raise CheckpointError unless a model can be exported to ``folder``: one that is new, or holds
    no file of these names, or an export of ours. It is made if need be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"The model cannot be exported to {folder} ({error.strerror}): choose another folder."
        ) from None
    check_output(folder / CONFIG, _CONFIG)
    there = [name for name in (MODEL, SCORES, TOKENIZER) if (folder / name).exists()]
    if there and not (folder / CONFIG).exists():
        raise CheckpointError(
            f"{folder} holds a {there[0]} and no {CONFIG} of llmattn, so it is left as it is: "
            "choose another folder, or move the file away."
        )


def _new(stack: ExitStack, path: Path) -> IO[bytes]:
    """A file that gets its name when ``stack`` is left without an error."""
    kind = _CONFIG if path.name == CONFIG else _PART
    return stack.enter_context(written(path, kind))


def read_folder(folder: Path) -> dict[str, Any]:
    """What :func:`write_folder` wrote, without a state of training; executes nothing.

    Raises CheckpointError if a file is missing or damaged.
    """
    try:
        digested = has_digest(folder / CONFIG, _TAIL)
        data: dict[str, Any] = dict(read_json(folder / CONFIG))
        _check_files(folder, data, digested)
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
        raise CheckpointDamaged(
            f"The exported model in {folder} is damaged ({error}): export it again."
        ) from None
    return {**data, "last": {}, "corpus": ""}


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    """Raises OSError or SafetensorError."""
    check_file(path)
    return load_file(path)


def _check_files(folder: Path, config: Mapping[str, Any], digested: bool) -> None:
    """Raise ValueError if a file is another than the one that was written with this config."""
    if not digested:
        if _DIGESTS in config:
            raise ValueError(f"{CONFIG} has lost its digest")
        notify_once(
            f"{folder} has no digests: it is taken, but damage in it would not be seen.", WARNING
        )
        return
    digests = config[_DIGESTS]
    for name in (MODEL, SCORES, TOKENIZER):
        if name in digests and digest_of(folder / name) != digests[name]:
            raise ValueError(f"{name} is not as it was written: its digest is another")


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
