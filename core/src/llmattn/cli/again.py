"""Commands that go on from a run, complete with the options that its scores need."""

from __future__ import annotations

import shlex
from pathlib import Path

from attrs import frozen

from llmattn.cli.given import Given
from llmattn.scoring.options import SETTINGS

__all__ = ["Again"]

_NAMES = ("model", *SETTINGS, "option", "cache", "cache_dir")
"""Options of `train` by which `sample` finds the same scores: a checkpoint sets none of them."""


@frozen
class Again:
    """What the user gave to a run, of which the commands after it need some, keys left out."""

    given: Given
    out: Path | None = None
    """Of two runs that are one command: the checkpoint of the second."""

    def sample(self, out: Path, *, uses_scores: bool) -> str:
        """Samples from the checkpoint ``out``."""
        words = ["python", "-m", "llmattn.sample", "--checkpoint", str(out)]
        return shlex.join([*words, *(self.given.words(_NAMES) if uses_scores else ())])

    def resume(self, out: Path, corpus: str, *, reads_texts: bool) -> str:
        """Goes on with the run in ``out``; only scores in context are opened again for it."""
        words = ["python", "-m", "llmattn.train", "--resume", "--out", str(self.out or out)]
        words += ["--corpus", corpus]
        if self.out:
            words += self.given.words(("imitate", "imitate_weight", "word_vectors"))
        if reads_texts or self.out:
            words += self.given.words(("provider", *_NAMES))
        return shlex.join(words)
