"""Options about scores that nothing in a run would read: an error, so that none is ignored."""

from __future__ import annotations

from typing import Any

import typer

from llmattn.cli import options as o
from llmattn.cli.parsing import explicit_options, parse_options
from llmattn.comparing.arms import Arm
from llmattn.comparing.choices import default_providers, is_for, stated_again
from llmattn.comparing.config import CompareConfig
from llmattn.errors import ConfigError
from llmattn.training.choice import SETTINGS

__all__ = ["refuse_scores", "refuse_unread"]


def refuse_scores(ctx: typer.Context, chooser: str, why: str) -> None:
    """Raise ConfigError for an option about scores in a run that reads none.

    ``chooser``: the option that decides it. Where that was typed, a configuration file was
    written for more than the command leaves of it, so only typed options count. ``why``: what
    reads none, and what to do, for the message.
    """
    for option in _given(ctx, chooser):
        raise ConfigError(f"{_flag(option)} is for external scores, and {why}")


def refuse_unread(ctx: typer.Context, config: CompareConfig) -> None:
    """Raise ConfigError for an option about scores that no arm of the comparison reads."""
    readers = [arm for arm in config.arms if arm.uses_scores]
    if not readers:
        names = ", ".join(arm.name for arm in config.arms)
        refuse_scores(
            ctx, "arms", f"no arm reads any ({names}): leave it out, or add one, such as external."
        )
    default = default_providers(config.arms, config.scores)
    own = [arm for arm in readers if arm.providers in ((), default)]

    def arms_for(name: str) -> list[Arm]:
        return [arm for arm in readers if is_for(name, arm, default, config.scores.cache)]

    def is_read(name: str) -> bool:
        return not all(stated_again(name, arm, default) for arm in arms_for(name))

    given = parse_options(ctx.params["option"] or ())
    read = {
        "provider": bool(own),
        "model": any(arm.model is None for arm in own),
        **{name: is_read(name) for name in SETTINGS},
        # One for no arm at all gets an error that says what there is.
        "option": all(is_read(name) or not arms_for(name) for name in given),
        "score_transform": any(arm.score_transform is None for arm in readers),
        "context_words": any(arm.context_words is None for arm in readers),
    }
    for option in _given(ctx, "arms") if readers else ():
        if not read.get(option.name, True):
            names = ", ".join(arm.name for arm in readers)
            raise ConfigError(
                f"{_flag(option)} is for arms that say nothing of it themselves, and here all do "
                f"({names}): leave it out, or write it into the arm (-o NAME.KEY=VALUE for a "
                "provider's setting, [arms.NAME] in a file)."
            )


def _given(ctx: typer.Context, chooser: str) -> list[Any]:
    """The options about scores that the user set, and that count."""
    typed = explicit_options(ctx, files=False)
    counted = typed if chooser in typed else explicit_options(ctx)
    return [
        option
        for option in ctx.command.params
        if getattr(option, "rich_help_panel", None) in o.SCORE_PANELS
        and option.name in counted
        # A printed configuration names every option, also those that were left alone.
        and (option.name in typed or ctx.params[option.name] not in (option.default, None, []))
    ]


def _flag(option: Any) -> str:
    flag: str = max(option.opts, key=len)
    return flag
