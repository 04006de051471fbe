"""The loss over a whole split."""

from __future__ import annotations

import torch

from llmattn.data.batches import IGNORED, collate, sorted_batches
from llmattn.data.corpus import Split
from llmattn.feeds.feed import ScoreFeed
from llmattn.model.attn_gpt import AttnGPT
from llmattn.training.distributed import ALONE, Team

__all__ = ["split_loss"]

_TOKENS_A_BATCH = 4096


def split_loss(
    model: AttnGPT, feed: ScoreFeed, split: Split, *, pad_id: int, team: Team = ALONE
) -> float:
    """Mean cross-entropy in nats a token, over every token of the split, without dropout.

    The processes of ``team`` share the work, and all get the result.
    """
    device = model.token_embedding.weight.device
    pieces = split.pieces(model.config.block_size)
    batches = sorted_batches(pieces, _TOKENS_A_BATCH)
    own = batches[team.share]
    # A pass through a split model takes all processes: who has a batch less does one for nothing.
    idle = -(-len(batches) // team.world) - len(own) if team.sharded else 0
    total, tokens = 0.0, 0
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for number, chosen in enumerate(own + batches[:idle]):
            batch = collate(split, pieces, chosen, pad_id=pad_id, device=device)
            _, loss = model(batch.ids, feed.scores(batch), batch.targets)
            if number >= len(own):
                continue
            known = int((batch.targets != IGNORED).sum())
            total += loss.item() * known
            tokens += known
    model.train(was_training)
    loss_sum, count = team.total(total, tokens)
    return loss_sum / count
