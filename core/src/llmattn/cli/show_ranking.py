"""How ``llmattn show`` tells which channels a model needs."""

from __future__ import annotations

from typing import Any

from rich import box

from llmattn.console import Table, make_console
from llmattn.training.ranking import Ranking

__all__ = ["print_ranking", "ranking_data"]

_RANKED = 12
"""Channels that are printed; --json has all."""


def print_ranking(ranking: Ranking) -> None:
    """What the model loses without each channel, the one that it needs most first."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("channel")
    for name in ("lost without it", "loss with it and those above"):
        table.add_column(name, justify="right")
    rows = zip(ranking.channels, ranking.without, ranking.kept[1:], strict=True)
    for name, without, kept in list(rows)[:_RANKED]:
        table.add_row(name, f"{without - ranking.loss:+.4f}", f"{kept:.4f}")
    console = make_console()
    console.print(table)
    count, few = len(ranking.channels), ranking.few
    text = (
        f"Nats a token, over {ranking.tokens:,} tokens of validation text, with channels left out "
        f"of the model as it is: {ranking.loss:.4f} with all {count}, {ranking.kept[0]:.4f} with "
        "none."
    )
    if count > 1 and few:
        text += f" {few} would do for nine tenths of that: {', '.join(ranking.channels[:few])}."
    elif not few:
        text += " It needs none of them."
    console.print(text)


def ranking_data(ranking: Ranking) -> dict[str, Any]:
    """The same as plain values, of all channels."""
    return {
        "tokens": ranking.tokens,
        "loss": ranking.loss,
        "loss_without_any": ranking.kept[0],
        "few": list(ranking.channels[: ranking.few]),
        "channels": [
            {"channel": name, "loss_without": without, "loss_with_those_above": kept}
            for name, without, kept in zip(
                ranking.channels, ranking.without, ranking.kept[1:], strict=True
            )
        ],
    }
