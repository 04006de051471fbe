"""The training loop: exact resuming, the best model, stopping."""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from llmattn.data.batches import Batch
from llmattn.data.corpus import Corpus
from llmattn.errors import ConfigError, LlmattnError
from llmattn.feeds.feed import NoScores, ScoreFeed
from llmattn.model.attn_gpt import AttnGPT
from llmattn.model.config import ModelConfig
from llmattn.training.config import TrainConfig
from llmattn.training.evaluate import split_loss
from llmattn.training.history import Report
from llmattn.training.interrupt import StopWish
from llmattn.training.loop import Trainer
from support_engine import small_corpus

NO_SCORES = NoScores()
CONFIG = TrainConfig(steps=24, batch_size=8, eval_every=4, seed=3)


class StopAfter:
    """No scores, and a wish to stop in step ``step``, wherever evaluations fall."""

    def __init__(self, step: int, stop: StopWish) -> None:
        self.channels: tuple[str, ...] = ()
        self._batches, self._stop = step, stop

    def scores(self, batch: Batch) -> None:
        self._batches -= 1
        self._stop.wanted = self._batches <= 0


def new_trainer(
    corpus: Corpus, config: TrainConfig = CONFIG, feed: ScoreFeed = NO_SCORES
) -> Trainer:
    torch.manual_seed(config.seed)
    shape = ModelConfig(len(corpus.tokenizer), 8, 2, 2, 16, 0.2, "position")
    return Trainer(AttnGPT(shape), corpus, config, train_feed=feed, val_feed=NO_SCORES)


def go(trainer: Trainer, stop: StopWish | None = None, **limits: Any) -> tuple[str, list[Report]]:
    reports: list[Report] = []
    outcome = trainer.run(
        on_report=reports.append, save=lambda: None, stop=stop or StopWish(), **limits
    )
    return outcome, reports


def losses(reports: list[Report]) -> list[tuple[int, float | None, float]]:
    return [(r.step, r.train_loss, r.val_loss) for r in reports]


@pytest.mark.parametrize("changes", [{}, {"grad_accum": 2}, {"precision": "bfloat16"}])
def test_resumed_run_has_the_same_losses_to_the_last_bit(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    corpus = small_corpus(tmp_path)
    config = TrainConfig(steps=24, batch_size=8, eval_every=4, seed=3, **changes)
    whole = new_trainer(corpus, config)
    _, unbroken = go(whole)

    stop = StopWish()
    first = new_trainer(corpus, config, StopAfter(10 * config.grad_accum, stop))
    outcome, before = go(first, stop)
    assert outcome == "interrupted"
    assert first.step == 10, "between two evaluations"
    state = copy.deepcopy(first.state())
    best = {"loss": first.best_loss, "step": first.best_step, "weights": first.best_weights}
    torch.manual_seed(999)  # another process has another generator
    second = new_trainer(corpus, config)
    second.load_state(state, best)
    _, after = go(second)

    assert losses(before + after) == losses(unbroken)
    for one, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert second.best_step == whole.best_step


def test_the_best_weights_give_the_best_validation_loss(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    trainer = new_trainer(
        corpus, TrainConfig(steps=60, batch_size=8, eval_every=4, lr=0.3, min_lr_share=1)
    )
    _, reports = go(trainer)
    best = min(reports, key=lambda report: report.val_loss)
    assert reports[-1].val_loss > best.val_loss, "the run must get worse for this to mean much"
    assert (trainer.best_loss, trainer.best_step) == (best.val_loss, best.step)
    trainer.model.load_state_dict(dict(trainer.best_weights))
    assert split_loss(trainer.model, NO_SCORES, corpus.val, pad_id=1) == best.val_loss


def test_training_loss_falls(tmp_path: Path) -> None:
    _, reports = go(new_trainer(small_corpus(tmp_path), TrainConfig(steps=80, batch_size=16)))
    assert reports[-1].train_loss is not None
    assert reports[-1].train_loss < 0.7 * reports[0].val_loss


def test_evaluation_does_not_depend_on_how_lines_are_batched(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    model = new_trainer(corpus).model.eval()
    expected, tokens = 0.0, 0
    for line in corpus.val.lines():
        ids = torch.tensor([[1, *line, 1]])
        for start in range(0, ids.shape[1] - 1, 8):
            piece = ids[:, start : start + 9]
            _, loss = model(piece[:, :-1], None, piece[:, 1:])
            assert loss is not None
            expected += loss.item() * (piece.shape[1] - 1)
            tokens += piece.shape[1] - 1
    found = split_loss(model, NO_SCORES, corpus.val, pad_id=1)
    assert found == pytest.approx(expected / tokens, abs=1e-6)
    assert tokens == corpus.val.targets


def test_accumulated_batches_have_the_gradient_of_one_large_batch(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    pieces = len(corpus.train.pieces(8))
    third = -(-pieces // 3)
    large = new_trainer(corpus, TrainConfig(steps=1, batch_size=pieces))
    small = new_trainer(corpus, TrainConfig(steps=1, batch_size=third, grad_accum=3))
    for trainer in (large, small):
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        go(trainer)
    for one, other in zip(large.model.parameters(), small.model.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_patience_ends_a_run_that_no_longer_gets_better(tmp_path: Path) -> None:
    config = TrainConfig(steps=500, batch_size=8, eval_every=2, lr=0.5, patience=3)
    trainer = new_trainer(small_corpus(tmp_path), config)
    outcome, reports = go(trainer)
    assert outcome == "patience"
    assert trainer.step == trainer.best_step + 3 * 2
    assert not any(report.is_best for report in reports[-3:])


def test_run_stopped_before_its_first_step_resumes_as_one_that_was_not(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    # Without a rate no evaluation is a new best, so patience counts every one of them.
    config = TrainConfig(steps=500, batch_size=8, eval_every=2, lr=1e-30, patience=3)
    _, unbroken = go(new_trainer(corpus, config))
    first, second = new_trainer(corpus, config), new_trainer(corpus, config)
    go(first, max_seconds=0.0)
    best = {"loss": first.best_loss, "step": first.best_step, "weights": first.best_weights}
    second.load_state(copy.deepcopy(first.state()), best)
    outcome, after = go(second)
    assert outcome == "patience"
    assert second.step == 6
    assert [(r.step, r.is_best) for r in after] == [(r.step, r.is_best) for r in unbroken]


def test_time_limit_ends_a_run_after_a_whole_step(tmp_path: Path) -> None:
    trainer = new_trainer(small_corpus(tmp_path))
    assert go(trainer, max_seconds=0.0)[0] == "time"
    assert trainer.step == 0
    assert go(trainer)[0] == "finished"
    assert trainer.step == 24


def test_time_of_training_leaves_out_evaluations_and_what_is_done_with_them(
    tmp_path: Path,
) -> None:
    trainer, reports = new_trainer(small_corpus(tmp_path)), []

    def note(report: Report) -> None:
        reports.append(report)
        time.sleep(0.02)  # stands for any work; at least so much passes on any machine

    trainer.run(on_report=note, save=lambda: None, stop=StopWish())
    counted = len(reports) - 1  # the one at step 0 is before the clock starts
    assert trainer.seconds - trainer.train_seconds >= 0.02 * counted
    assert reports[-1].seconds - reports[-1].train_seconds >= 0.02 * (counted - 1)


def test_loss_that_is_no_number_ends_with_advice(tmp_path: Path) -> None:
    trainer = new_trainer(small_corpus(tmp_path))
    with torch.no_grad():
        trainer.model.token_embedding.weight.fill_(math.nan)
    with pytest.raises(LlmattnError, match="lower --lr"):
        go(trainer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--steps must be at least 1, not 0"),
        ({"lr": 0.0}, "--lr must be above 0"),
        ({"batch_size": -1}, "--batch-size"),
        ({"precision": "float8"}, "--precision must be one of float32, bfloat16"),
    ],
)
def test_settings_out_of_range_name_the_option(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**change)
