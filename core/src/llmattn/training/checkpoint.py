"""One file that holds what sampling needs and what resuming needs; written in one piece."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from attrs import field, frozen

from llmattn.data.text_tokenizer import TextTokenizer, read_tokenizer
from llmattn.errors import CheckpointDamaged, CheckpointError, LlmattnError
from llmattn.feeds.channels import Scored
from llmattn.feeds.table import ScoreTable
from llmattn.model.attn_gpt import AttnGPT
from llmattn.model.config import ModelConfig
from llmattn.rows import Scope
from llmattn.training.config import TrainConfig
from llmattn.training.fitting import check_weights
from llmattn.training.folder import read_folder, write_folder
from llmattn.training.history import History
from llmattn.training.taken import checked_taken
from llmattn.training.torch_file import read_torch_file, write_torch_file
from llmattn.untrusted import WRONG_DATA, build
from llmattn.writing import Kind, check_output, written

__all__ = [
    "Checkpoint",
    "check_writable",
    "export_checkpoint",
    "load_checkpoint",
    "save_checkpoint",
]

FORMAT = "llmattn-checkpoint"
VERSION = 1
_HEAD = 4096
CHECKPOINT = Kind(
    "a checkpoint",
    # An archive of torch.save, whose first record begins with the format.
    lambda head, _: head.startswith(b"PK\x03\x04") and FORMAT.encode() in head[:_HEAD],
    CheckpointError,
)


@frozen(eq=False)
class Checkpoint:
    """A trained or half-trained model with all that belongs to it.

    ``weights``: the best model's, for use. ``best``: its step and validation loss.
    ``last``: the training state after the last step (model, optimizer, RNG, counters).
    ``coverage``: share of the training text's attention positions whose pair was scored.
    ``control``: what a comparison did to the scores in context (``shuffled``, ``averaged``),
    empty for nothing. ``taken``: what its training took of other models, see
    ``llmattn.training.taken``. ``history``: how its training went, to be shown.
    """

    model_config: ModelConfig
    train_config: TrainConfig
    tokenizer: TextTokenizer
    weights: Mapping[str, torch.Tensor]
    best: Mapping[str, Any]
    last: Mapping[str, Any]
    table: ScoreTable | None
    scored: tuple[Scored, ...]
    coverage: float
    corpus: str
    corpus_digest: str
    control: str = ""
    taken: Mapping[str, Any] = field(factory=dict)
    history: History = field(factory=History)

    def check_scores(self) -> None:
        """Raise CheckpointError if no provider gives the scores that the model was trained on.

        It would run on plain ones too, and what comes out would pass for its own.
        """
        if self.control:
            raise CheckpointError(
                f"This model was trained on {self.control} scores, a control of `llmattn compare`; "
                "no provider gives them, and with plain ones it would be another model. Its losses "
                "are in the comparison's report; take the checkpoint of an arm with plain scores."
            )

    def model(self, device: torch.device | str = "cpu") -> AttnGPT:
        """The best model, ready for use. Raises CheckpointError if the weights do not fit."""
        model = AttnGPT(self.model_config).to(device)
        load_weights(model, self.weights)
        return model.eval()


def load_weights(model: AttnGPT, weights: Mapping[str, torch.Tensor]) -> None:
    """Put weights into a model; raises CheckpointError if they do not fit it."""
    try:
        model.load_state_dict(dict(weights))
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointDamaged(
            f"The checkpoint's weights do not fit its model: {reason}"
        ) from None


def check_writable(path: Path) -> None:
    """Raise CheckpointError unless a checkpoint can be written to ``path``."""
    check_output(path, CHECKPOINT, "--out")


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, see :func:`llmattn.writing.written`. Raises CheckpointError.

    A reader, or a crash at any moment, finds the old file or the new one, whole.
    """
    data = _pack(checkpoint)
    with written(path, CHECKPOINT, "--out") as file:
        write_torch_file(file, data)


def export_checkpoint(folder: Path, checkpoint: Checkpoint) -> list[Path]:
    """Write the best model for other programs, without the state of its training.

    The folder, whose files are returned, can be read by :func:`load_checkpoint` too. Raises
    CheckpointError.
    """
    data = {name: each for name, each in _pack(checkpoint).items() if name != "history"}
    return write_folder(folder, data, checkpoint.tokenizer.library_json())


def load_checkpoint(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu"
) -> Checkpoint:
    """Read a checkpoint, or a folder made by :func:`export_checkpoint`; executes nothing of it.

    Raises CheckpointError if the file is missing, damaged, foreign, or of a newer format.
    """
    if not isinstance(path, str | os.PathLike):
        raise CheckpointError(f"A checkpoint is named by a path, not a {type(path).__name__}.")
    path = Path(path)
    data = read_folder(path) if path.is_dir() else read_torch_file(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise CheckpointDamaged(
            f"{path} is no checkpoint of llmattn; make one with: python -m llmattn.train"
        )
    version = data.get("version")
    if type(version) is not int:
        raise CheckpointDamaged(f"{path} is damaged: its version is no number; train again.")
    if version != VERSION:
        raise CheckpointError(
            f"{path} has checkpoint format {version}, and this llmattn reads "
            f"{VERSION}: use the llmattn that wrote it, or train again."
        )
    try:
        return _checked(data, device)
    except LlmattnError as error:
        raise CheckpointDamaged(f"{path} is damaged: {error}") from None
    except WRONG_DATA as error:
        raise CheckpointDamaged(
            f"{path} is damaged or incomplete ({type(error).__name__}: {error}); train again."
        ) from None


def _checked(data: Mapping[str, Any], device: torch.device | str) -> Checkpoint:
    """The parts of a file, each of which is checked before it is used, and against the others."""
    config = build(ModelConfig, data["model_config"])
    check_weights(config, data["weights"])
    if not isinstance(data["last"], dict):
        raise TypeError("its state of training is no table")
    tokenizer = read_tokenizer(data["tokenizer"])
    if len(tokenizer) != config.vocab_size:
        raise ValueError(f"{len(tokenizer)} tokens, and a model of {config.vocab_size}")
    scored = tuple(map(Scored.from_dict, data["scored"]))
    channels = sum(len(each.identity.channels) for each in scored)
    if channels != len(config.channels):
        raise ValueError(f"{channels} channels of scores, and a model of {len(config.channels)}")
    table = None
    if data["table"] is not None:
        in_pairs = [s.identity.channels for s in scored if s.identity.scope is Scope.PAIR]
        table = ScoreTable.from_state(
            data["table"],
            vocab_size=len(tokenizer.scored_words),
            channels=sum(map(len, in_pairs)),
            device=device,
        )
    return Checkpoint(
        model_config=config,
        train_config=build(TrainConfig, data["train_config"]),
        tokenizer=tokenizer,
        weights=data["weights"],
        best=_best(data["best"]),
        last=data["last"],
        table=table,
        scored=scored,
        coverage=_share(data["coverage"]),
        corpus=_text(data["corpus"]),
        corpus_digest=_text(data["corpus_digest"]),
        control=_text(data["control"]),
        taken=checked_taken(data.get("taken", {})),
        history=History.from_dict(data.get("history", {})),
    )


def _best(data: Mapping[str, Any]) -> dict[str, Any]:
    """Raises ValueError unless it is a loss and a step."""
    loss, step = data["loss"], data["step"]
    if type(loss) is not float or type(step) is not int or loss != loss or step < 0:
        raise ValueError("its best loss and step are no numbers")
    return {"loss": loss, "step": step}


def _share(value: object) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:  # type: ignore[operator]
        raise ValueError("its coverage is no share")
    return float(value)  # type: ignore[arg-type]


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a name in it is no text")
    return value


def _pack(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint as tensors and plain values."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "model_config": _plain(checkpoint.model_config),
        "train_config": _plain(checkpoint.train_config),
        "tokenizer": checkpoint.tokenizer.to_dict(),
        "weights": dict(checkpoint.weights),
        "best": dict(checkpoint.best),
        "last": dict(checkpoint.last),
        "table": checkpoint.table.state() if checkpoint.table else None,
        "scored": [scored.to_dict() for scored in checkpoint.scored],
        "coverage": checkpoint.coverage,
        "corpus": checkpoint.corpus,
        "corpus_digest": checkpoint.corpus_digest,
        "control": checkpoint.control,
        **({"taken": dict(checkpoint.taken)} if checkpoint.taken else {}),
        "history": checkpoint.history.to_dict(),
    }


def _plain(config: ModelConfig | TrainConfig) -> dict[str, Any]:
    """An attrs object as values that the restricted unpickler reads."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in attrs.asdict(config).items()
    }
