"""The training loop: steps, evaluations, the best so far, and a state that resumes exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from llmattn.data.batches import IGNORED, Batch, BatchOrder, collate
from llmattn.data.corpus import Corpus
from llmattn.data.feed import ScoreFeed
from llmattn.errors import LlmattnError
from llmattn.model.attn_gpt import AttnGPT
from llmattn.training.checkpoint import load_weights
from llmattn.training.config import TrainConfig
from llmattn.training.evaluate import split_loss
from llmattn.training.interrupt import StopWish
from llmattn.training.optimizer import build_optimizer, lr_at, set_lr

__all__ = ["Report", "Trainer"]


@frozen
class Report:
    """One evaluation. Losses are nats a token; ``train_loss`` is the mean since the last
    evaluation (None before the first step); ``seconds`` and ``tokens`` count from the start.
    """

    step: int
    train_loss: float | None
    val_loss: float
    lr: float
    tokens: int
    seconds: float
    is_best: bool


class Trainer:
    """One model on its way; what it remembers is in :meth:`state`."""

    def __init__(
        self,
        model: AttnGPT,
        corpus: Corpus,
        config: TrainConfig,
        *,
        train_feed: ScoreFeed,
        val_feed: ScoreFeed,
    ) -> None:
        self.model = model
        self.corpus = corpus
        self.config = config
        self.optimizer = build_optimizer(model, config)
        self._train_feed, self._val_feed = train_feed, val_feed
        self._device = model.token_embedding.weight.device
        self._pieces = corpus.train.pieces(model.config.block_size)
        self._order = BatchOrder(self._pieces, batch_size=config.batch_size, seed=config.seed)
        self.step = 0
        self.tokens = 0
        self.seconds = 0.0
        self.best_loss = math.inf
        self.best_step = 0
        self.best_weights: Mapping[str, Tensor] = {}
        self._waited = 0  # evaluations since the best
        self._loss_sum = torch.zeros((), device=self._device)
        self._loss_tokens = 0

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values."""
        rng = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state(self._device)
        return {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "waited": self._waited,
            "loss_sum": self._loss_sum.item(),
            "loss_tokens": self._loss_tokens,
            "model": _copy(self.model),
            "optimizer": self.optimizer.state_dict(),
            "rng": rng,
        }

    def load_state(self, state: Mapping[str, Any], best: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`; ``best`` holds loss, step and weights of the best so far.

        Raises CheckpointError if the weights do not fit; KeyError, TypeError or ValueError if
        the rest does not.
        """
        load_weights(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        self.tokens = int(state["tokens"])
        self.seconds = float(state["seconds"])
        self._waited = int(state["waited"])
        self._loss_sum.fill_(float(state["loss_sum"]))
        self._loss_tokens = int(state["loss_tokens"])
        self.best_loss, self.best_step = float(best["loss"]), int(best["step"])
        self.best_weights = best["weights"]
        torch.set_rng_state(state["rng"]["cpu"])
        if self._device.type == "cuda" and "cuda" in state["rng"]:
            torch.cuda.set_rng_state(state["rng"]["cuda"], self._device)

    def run(
        self,
        *,
        on_report: Callable[[Report], None],
        save: Callable[[], None],
        stop: StopWish,
        max_seconds: float = math.inf,
        save_every: float = 30.0,
    ) -> str:
        """Train to the end, or until something stops it.

        ``save`` is called at the end, and on the way after evaluations that are ``save_every``
        seconds apart. Returns ``finished``, ``interrupted``, ``patience`` or ``time``. Raises
        LlmattnError when the loss is no longer a number.
        """
        began = time.monotonic()
        saved = began
        if self.step == 0:
            self._evaluate(on_report)
        outcome = self._outcome(stop, began, max_seconds)
        while outcome is None:
            before = time.monotonic()
            self._train_step()
            evaluated = self.step % self.config.eval_every == 0 or self.step == self.config.steps
            if evaluated:
                self.seconds += time.monotonic() - before
                before = time.monotonic()
                self._evaluate(on_report)
            self.seconds += time.monotonic() - before
            outcome = self._outcome(stop, began, max_seconds)
            if outcome is None and evaluated and time.monotonic() - saved >= save_every:
                save()
                saved = time.monotonic()
        save()
        return outcome

    def _outcome(self, stop: StopWish, began: float, max_seconds: float) -> str | None:
        if self.step >= self.config.steps:
            return "finished"
        if self.config.patience and self._waited >= self.config.patience:
            return "patience"
        if stop.wanted:
            return "interrupted"
        return "time" if time.monotonic() - began >= max_seconds else None

    def _batch(self, index: int) -> Batch:
        return collate(
            self.corpus.train,
            self._pieces,
            self._order.batch(index),
            pad_id=self.corpus.tokenizer.eol_id,
            device=self._device,
        )

    def _train_step(self) -> None:
        config = self.config
        self.model.train()
        set_lr(self.optimizer, lr_at(self.step, config))
        first = self.step * config.grad_accum
        batches = [self._batch(first + part) for part in range(config.grad_accum)]
        counts = [int((batch.targets != IGNORED).sum()) for batch in batches]
        self.optimizer.zero_grad(set_to_none=True)
        for batch, count in zip(batches, counts, strict=True):
            with torch.autocast(
                self._device.type, torch.bfloat16, enabled=config.precision == "bfloat16"
            ):
                _, loss = self.model(batch.ids, self._train_feed.scores(batch), batch.targets)
            (loss * (count / sum(counts))).backward()
            self._loss_sum += loss.detach() * count
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip)
        self.optimizer.step()
        self._loss_tokens += sum(counts)
        self.tokens += sum(counts)
        self.step += 1

    def _evaluate(self, on_report: Callable[[Report], None]) -> None:
        train_loss = self._loss_sum.item() / self._loss_tokens if self._loss_tokens else None
        val_loss = split_loss(
            self.model, self._val_feed, self.corpus.val, pad_id=self.corpus.tokenizer.eol_id
        )
        if not math.isfinite(val_loss):
            raise LlmattnError(f"The loss is no longer a number at step {self.step}: lower --lr.")
        is_best = val_loss < self.best_loss
        if is_best:
            self.best_loss, self.best_step = val_loss, self.step
            self.best_weights = _copy(self.model)
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
            )
        )


def _copy(model: AttnGPT) -> dict[str, Tensor]:
    """The model's weights on the CPU, safe from later steps."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
