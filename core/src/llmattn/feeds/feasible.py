"""Whether the controls of scores in context can be made, told before any score is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from llmattn.data.corpus import Corpus
from llmattn.errors import ConfigError
from llmattn.feeds.averaged import check_averages
from llmattn.rows import Scope
from llmattn.scoring.source import ScoreSource

__all__ = ["check_control"]

_PARTS = ("training", "validation", "test")


def check_control(
    arm: str, control: str, sources: Sequence[ScoreSource], corpus: Corpus, block_size: int
) -> None:
    """Raise ConfigError if the scores of ``arm``, those of ``sources``, cannot be ``control``:
    shuffled or averaged, or empty for neither.
    """
    in_context = [s.identity for s in sources if s.identity.scope is Scope.PREFIX]
    if control and not in_context:
        providers = "+".join(source.name for source in sources)
        verb = {"shuffled": "shuffle", "averaged": "average"}[control]
        raise ConfigError(
            f"The scores of {providers} belong to pairs of words, not to windows, "
            f"so there is nothing to {verb}: leave out /{control}. The control for them is "
            "the arm random."
        )
    if control == "shuffled":
        _check_windows(arm, corpus, block_size)
    if control == "averaged":
        for identity in in_context:
            channels = len(identity.channels)
            check_averages(corpus.train, channels=channels, block_size=block_size)


def _check_windows(arm: str, corpus: Corpus, block_size: int) -> None:
    for part, split in zip(_PARTS, corpus.splits, strict=False):
        if len(split.pieces(block_size)) < 2:
            raise ConfigError(
                f"The arm {arm!r} gives each window the scores of another one, and the {part} part "
                f"of this text is one window alone: give a smaller --block-size than {block_size}, "
                "a longer text, another --val-fraction or --test-fraction, or name the --arms "
                "without it."
            )
