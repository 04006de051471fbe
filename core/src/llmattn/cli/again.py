"""Commands that go on from a run, complete with the options that its scores need."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from attrs import frozen

from llmattn.cli.parsing import explicit_options
from llmattn.cli.secret_options import without_secrets
from llmattn.training.choice import SETTINGS

__all__ = ["Again"]

_NAMES = ("model", *SETTINGS, "option", "cache", "cache_dir")
"""Options of `train` by which `sample` finds the same scores: a checkpoint sets none of them."""


@frozen
class Again:
    """The options of a run that the commands after it need. ``providers``: whom it asks."""

    values: Mapping[str, Any]
    providers: tuple[str, ...]

    @classmethod
    def of(cls, ctx: typer.Context, values: Mapping[str, Any]) -> Again:
        """From what the user set, on the command line or in a configuration file."""
        explicit = explicit_options(ctx)
        given = {n: values[n] for n in _NAMES if n in explicit and values[n] not in (None, [])}
        return cls(given, tuple(values["provider"] or ()))

    def sample(self, out: Path, *, uses_scores: bool) -> str:
        """Samples from the checkpoint ``out``."""
        words = ["python", "-m", "llmattn.sample", "--checkpoint", str(out)]
        return shlex.join([*words, *(self._scores() if uses_scores else ())])

    def resume(self, out: Path, corpus: str, *, reads_texts: bool) -> str:
        """Goes on with the run in ``out``; only scores in context are opened again for it."""
        words = ["python", "-m", "llmattn.train", "--resume", "--out", str(out)]
        words += ["--corpus", corpus]
        if reads_texts:
            words += [word for name in self.providers for word in ("--provider", name)]
            words += self._scores()
        return shlex.join(words)

    def _scores(self) -> list[str]:
        """The options about scores, without keys and passwords."""
        words: list[str] = []
        for name, value in self.values.items():
            texts: Sequence[object] = [value]
            if name == "option":
                texts = without_secrets(value, self.providers)
            for text in texts:
                words += [f"--{name.replace('_', '-')}", str(text)]
        return words
