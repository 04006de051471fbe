"""With which versions a loss was reached."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement

__all__ = ["versions"]


def versions() -> dict[str, str]:
    """Of every installed distribution that a score or a loss can depend on."""
    installed = {(d.metadata["Name"] or "").lower(): d for d in metadata.distributions()}
    ours = {name: d for name, d in installed.items() if name.startswith(("llmattn", "llm-"))}
    required = {Requirement(text).name.lower() for d in ours.values() for text in d.requires or ()}
    return {name: installed[name].version for name in sorted({*ours, *required} & set(installed))}
