"""Leaves the choice of channels to the validation text: a first model reads all of them, and shows
which it can do without.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs
import torch

from llmattn.data.corpus import Corpus
from llmattn.errors import ConfigError
from llmattn.feeds.feed import Feeds
from llmattn.model.attn_gpt import AttnGPT
from llmattn.model.config import ModelConfig
from llmattn.notices import notify
from llmattn.providers.protocol import ChannelChooser
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource
from llmattn.training.config import TrainConfig
from llmattn.training.interrupt import StopWish
from llmattn.training.loop import Trainer
from llmattn.training.ranking import rank_channels

__all__ = ["choose_few", "undecided", "with_channels"]

_STEPS = 400
"""Of the first model, at most: it need not be good, only show what it reads."""


def undecided(sources: Sequence[ScoreSource]) -> ScoreSource | None:
    """The source whose provider leaves its channels to be chosen; None if none does.

    Raises ConfigError if that is one of several, whose channels would have to be told apart.
    """
    found = [s for s in sources if isinstance(s.provider, ChannelChooser) and s.provider.undecided]
    if found and len(sources) > 1:
        raise ConfigError(
            f"-o {found[0].name}.channels=auto chooses channels of a provider that stands alone; "
            "name those of several (llmattn show CHECKPOINT ranks them)."
        )
    return found[0] if found else None


def with_channels(choice: ScoreChoice, provider: str, names: Sequence[str]) -> ScoreChoice:
    """``choice`` with the provider's setting ``channels`` a list of these names."""
    return choice.with_settings({**choice.settings, f"{provider}.channels": ",".join(names)})


def choose_few(
    corpus: Corpus,
    config: TrainConfig,
    model_config: ModelConfig,
    feeds: Feeds,
    choosable: Sequence[str],
    device: torch.device,
) -> tuple[str, ...]:
    """The channels, in the order of ``model_config``, that keep nine tenths of what all of them
    are worth on the validation text; one at least, and all that may not be chosen.

    A model is trained for 400 steps at most, and not kept. Raises KeyboardInterrupt.
    """
    began = time.monotonic()
    torch.manual_seed(config.seed)
    model = AttnGPT(model_config).to(device)
    course = attrs.evolve(config, steps=min(config.steps, _STEPS))
    notify(
        f"Choosing channels: a first model reads all {len(model_config.channels)}, "
        f"for {course.steps} steps at most."
    )
    trainer = Trainer(model, corpus, course, train_feed=feeds.train, val_feed=feeds.val)
    with StopWish(quiet=True) as stop:
        outcome = trainer.run(on_report=lambda _: None, save=lambda: None, stop=stop)
    if outcome == "interrupted":
        raise KeyboardInterrupt
    model.load_state_dict(dict(trainer.best_weights))
    found = rank_channels(model, feeds.val, corpus.val, among=choosable)
    few = {*found.channels[: max(1, found.few)]}
    chosen = tuple(name for name in model_config.channels if name in few or name not in choosable)
    notify(
        f"Chosen in {time.monotonic() - began:.0f} s: {', '.join(chosen)}. Validation loss "
        f"{found.loss:.3f} with all channels, {found.kept[max(1, found.few)]:.3f} with these left "
        f"of them, {found.kept[0]:.3f} with none."
    )
    return chosen
