"""The training loop: steps, evaluations, the best so far, and a state that resumes exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmattn.data.batches import BatchOrder, collate
from llmattn.data.corpus import Corpus
from llmattn.errors import LlmattnError
from llmattn.feeds.feed import ScoreFeed
from llmattn.model.attn_gpt import AttnGPT
from llmattn.training.compiling import compile_model
from llmattn.training.config import TrainConfig
from llmattn.training.distributed import ALONE, Team
from llmattn.training.evaluate import split_loss
from llmattn.training.heap import keep_heap
from llmattn.training.history import Report
from llmattn.training.imitation import Imitation
from llmattn.training.interrupt import Stop
from llmattn.training.optimizer import build_optimizer, lr_at, set_lr
from llmattn.training.sharding import (
    load_optimizer_state,
    load_whole_weights,
    optimizer_state,
    whole_weights,
)

__all__ = ["Trainer"]


class Trainer:
    """One model on its way; what it remembers is in :meth:`state`.

    The processes of ``team`` share each batch, and the course is the same for any number of
    them, but for rounding and for what dropout draws.
    """

    def __init__(
        self,
        model: AttnGPT,
        corpus: Corpus,
        config: TrainConfig,
        *,
        train_feed: ScoreFeed,
        val_feed: ScoreFeed,
        compiled: bool = False,
        team: Team = ALONE,
        imitation: Imitation | None = None,
    ) -> None:
        self.model = model
        self.imitation = imitation
        self.team = team
        self.corpus = corpus
        self.config = config
        self.optimizer = build_optimizer(model, config)
        self._train_feed, self._val_feed = train_feed, val_feed
        self._device = model.token_embedding.weight.device
        steps = compile_model(model) if compiled else model
        self._step_model = team.wrap(steps, self._device)
        self._pieces = corpus.train.pieces(model.config.block_size)
        self._order = BatchOrder(self._pieces, batch_size=config.batch_size, seed=config.seed)
        self.step = 0
        self.tokens = 0
        self.seconds = self.train_seconds = 0.0
        self.best_loss = math.inf
        self.best_step = 0
        self.best_weights: Mapping[str, Tensor] = {}
        self._waited = 0  # evaluations since the best
        self._loss_sum = torch.zeros((), device=self._device)
        self._loss_tokens = 0

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values.

        The processes of a split model must call it together; the first one gets it all.
        """
        return {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "train_seconds": self.train_seconds,
            "waited": self._waited,
            "loss_sum": self._loss_sum.item(),
            "loss_tokens": self._loss_tokens,
            "model": whole_weights(self.model, self.team),
            "optimizer": optimizer_state(self.optimizer, self.team),
        }

    def load_state(self, state: Mapping[str, Any], best: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`; ``best`` holds loss, step and weights of the best so far.

        Raises CheckpointError if the weights do not fit; KeyError, TypeError or ValueError if
        the rest does not.
        """
        load_whole_weights(self.model, state["model"], self.team)
        load_optimizer_state(self.optimizer, state["optimizer"], self.team)
        self.step = int(state["step"])
        self.tokens = int(state["tokens"])
        self.seconds = float(state["seconds"])
        self.train_seconds = float(state["train_seconds"])
        self._waited = int(state["waited"])
        self._loss_sum.fill_(float(state["loss_sum"]) if self.team.is_first else 0.0)
        self._loss_tokens = int(state["loss_tokens"])
        self.best_loss, self.best_step = float(best["loss"]), int(best["step"])
        self.best_weights = best["weights"]

    def run(
        self,
        *,
        on_report: Callable[[Report], None],
        save: Callable[[], None],
        stop: Stop,
        max_seconds: float = math.inf,
        save_every: float = 30.0,
        save_on_the_way: Callable[[], None] | None = None,
    ) -> str:
        """Train to the end, or until something stops it.

        ``save`` is called at the end, and it or ``save_on_the_way`` after evaluations that are
        ``save_every`` seconds apart. A stop that one process of the team wants stops all after the
        same step; the first one's clock is the one that counts. Returns ``finished``,
        ``interrupted``, ``patience`` or ``time``. Raises LlmattnError when the loss is no longer a
        number.
        """
        if self._device.type == "cpu":
            keep_heap()
        began = time.monotonic()
        saved = began
        if self.step == 0:
            self.best_loss, self._waited = math.inf, 0  # a run that was stopped here begins anew
            self._evaluate(on_report)
        outcome, _ = self._outcome(stop, began + max_seconds, math.inf)
        while outcome is None:
            before = time.monotonic()
            self._train_step()
            evaluated = self.step % self.config.eval_every == 0 or self.step == self.config.steps
            if evaluated:
                self._loss_sum.item()  # a GPU lags behind: its steps are no time of the evaluation
            after = time.monotonic()
            self.train_seconds += after - before
            self.seconds += after - before
            if evaluated:
                self._evaluate(on_report)
                self.seconds += time.monotonic() - after
            outcome, due = self._outcome(stop, began + max_seconds, saved + save_every)
            if outcome is None and evaluated and due:
                self._save(save_on_the_way or save)
                saved = time.monotonic()
        self._save(save)
        return outcome

    def _save(self, save: Callable[[], None]) -> None:
        """Let the first process save, after it has what only the others know; those with a part
        of the model save along with it.
        """
        (loss_sum,) = self.team.total(self._loss_sum.item())
        self._loss_sum.fill_(loss_sum if self.team.is_first else 0.0)
        if self.team.is_first or self.team.sharded:
            save()

    def _outcome(self, stop: Stop, end: float, save_at: float) -> tuple[str | None, bool]:
        """What ends the run now, if anything, and whether ``save_at`` has come."""
        first, now = self.team.is_first, time.monotonic()
        stopped, late, due = self.team.any(
            stop.wanted, first and now >= end, first and now >= save_at
        )
        if self.step >= self.config.steps:
            return "finished", due
        if self.config.patience and self._waited >= self.config.patience:
            return "patience", due
        if stopped:
            return "interrupted", due
        return ("time" if late else None), due

    def _train_step(self) -> None:
        config = self.config
        self.model.train()
        # Dropout follows from the step alone, so that nothing of it need be remembered.
        draw = np.random.SeedSequence((config.seed, self.step, self.team.rank))
        torch.manual_seed(int(draw.generate_state(1, np.uint64)[0] >> 1))
        set_lr(self.optimizer, lr_at(self.step, config))
        first = self.step * config.grad_accum
        parts = [self._order.batch(first + part) for part in range(config.grad_accum)]
        tokens = sum(int(self._pieces.lengths[part].sum()) for part in parts)
        self.optimizer.zero_grad(set_to_none=True)
        for part in parts:
            with self.team.keeps_gradients(self._step_model, part is parts[-1]):
                self._backward(part, tokens)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip)
        self.optimizer.step()
        self._loss_tokens += tokens
        self.tokens += tokens
        self.step += 1

    def _backward(self, part: NDArray[np.int64], tokens: int) -> None:
        """Add the gradient of this process's pieces of ``part``, in a step of ``tokens``."""
        chosen = part[self.team.share]
        count = int(self._pieces.lengths[chosen].sum())
        batch = collate(
            self.corpus.train,
            self._pieces,
            chosen if count else part[:1],  # all must take part; what has no weight adds nothing
            pad_id=self.corpus.tokenizer.eol_id,
            device=self._device,
        )
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"
        ):
            scores = self._train_feed.scores(batch)
            aims = self.imitation.aims(batch) if self.imitation else ()
            apart, loss = self._step_model(batch.ids, scores, batch.targets, aims)
            whole = loss + self.imitation.weight * apart if self.imitation else loss
        # The team's gradient is the mean over processes; the loss's weights make it a sum.
        (whole * (count * self.team.world / tokens)).backward()
        self._loss_sum += loss.detach() * count

    def _evaluate(self, on_report: Callable[[Report], None]) -> None:
        train_loss: float | None = None
        if self._loss_tokens:
            (loss_sum,) = self.team.total(self._loss_sum.item())
            train_loss = loss_sum / self._loss_tokens
        val_loss = split_loss(
            self.model,
            self._val_feed,
            self.corpus.val,
            pad_id=self.corpus.tokenizer.eol_id,
            team=self.team,
        )
        if not math.isfinite(val_loss):
            raise LlmattnError(f"The loss is no longer a number at step {self.step}: lower --lr.")
        is_best = val_loss < self.best_loss
        if is_best:
            self.best_loss, self.best_step = val_loss, self.step
            self.best_weights = whole_weights(self.model, self.team)
        self._waited = 0 if is_best else self._waited + 1
        self._loss_sum.zero_()
        self._loss_tokens = 0
        on_report(
            Report(
                step=self.step,
                train_loss=train_loss,
                val_loss=val_loss,
                lr=lr_at(max(0, self.step - 1), self.config),
                tokens=self.tokens,
                seconds=self.seconds,
                is_best=is_best,
                train_seconds=self.train_seconds,
            )
        )
