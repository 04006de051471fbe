"""Which channels a model needs: found by leaving them out, and chosen by `--channels auto`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from llmattn.errors import ConfigError
from llmattn.feeds.feed import TableFeed
from llmattn.training.checkpoint import load_checkpoint
from llmattn.training.evaluate import split_loss
from llmattn.training.ranking import Ranking, rank_channels
from support_cli import run_cli
from support_engine import SMALL, full_table, lively_model, small_config, small_corpus
from support_transformers import save_model

CHANNELS = ("a", "b", "c")


@pytest.mark.parametrize("per_layer", [False, True])
def test_losses_are_those_of_the_model_with_tau_at_zero(tmp_path: Path, per_layer: bool) -> None:
    corpus = small_corpus(tmp_path)
    size = len(corpus.tokenizer)
    config = small_config("external", vocab_size=size, per_layer=per_layer)
    model, feed = lively_model(config), TableFeed(full_table(size))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = rank_channels(model, feed, corpus.val)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])

    def loss(*left_out: int) -> float:
        less = lively_model(config)
        with torch.no_grad():
            less.attention.tau[..., list(left_out)] = 0
        return split_loss(less, feed, corpus.val, pad_id=corpus.tokenizer.eol_id)

    alone = {"one": loss(0), "two": loss(1)}
    assert found.loss == pytest.approx(loss())
    assert found.kept[0] == pytest.approx(loss(0, 1))
    assert dict(zip(found.channels, found.without, strict=True)) == pytest.approx(alone)
    first = max(alone, key=lambda name: alone[name])  # what is missed most is dropped last
    assert found.channels[0] == first
    assert found.kept[1] == pytest.approx(min(alone.values()))


def test_a_channel_that_no_head_reads_is_the_first_to_go(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    size = len(corpus.tokenizer)
    model, feed = lively_model(small_config("external", vocab_size=size)), full_table(size)
    with torch.no_grad():
        model.attention.tau[..., 0] = 0
    found = rank_channels(model, TableFeed(feed), corpus.val)
    by_name = dict(zip(found.channels, found.without, strict=True))
    assert by_name["one"] == pytest.approx(found.loss)


def test_channels_that_may_not_be_left_out_stay(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    size = len(corpus.tokenizer)
    model = lively_model(small_config("external", vocab_size=size))
    found = rank_channels(model, TableFeed(full_table(size)), corpus.val, among=("two",))
    assert found.channels == ("two",)
    assert len(found.kept) == 2


def test_a_model_without_channels_has_none_to_rank(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path)
    model = lively_model(small_config("learned", vocab_size=len(corpus.tokenizer)))
    with pytest.raises(ConfigError, match="reads no channels"):
        rank_channels(model, TableFeed(full_table()), corpus.val)


@pytest.mark.parametrize(
    ("kept", "few"),
    [
        ((5.0, 4.11, 4.09, 4.0), 2),  # 4.1 is nine tenths
        ((5.0, 4.05, 4.02, 4.0), 1),
        ((5.0, 4.9, 4.8, 4.0), 3),
        ((4.0, 4.2, 4.1, 4.0), 0),
        ((4.0, 4.2, 4.1, 4.3), 0),
    ],
)
def test_few_channels_keep_nine_tenths_of_what_all_are_worth(
    kept: tuple[float, ...], few: int
) -> None:
    assert Ranking(CHANNELS, kept, (4.5, 4.2, 4.1), 100).few == few


def test_auto_trains_with_the_channels_that_it_has_chosen(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    lines = [f"The {a} saw a {b}, and the {b} ran." for a in ("cat", "dog") for b in ("hen", "owl")]
    (tmp_path / "text.txt").write_text("\n".join(lines * 6), encoding="utf-8")
    source = ("--provider", "transformers", "-o", f"transformers.model={model}")
    course = ("--corpus", "text.txt", "--steps", "8", "--block-size", "12", "--eval-every", "4")
    common = (*source, "--channels", "auto")
    done = run_cli(tmp_path, "train", *course, *SMALL, *common, "--out", "m.pt")
    assert done.returncode == 0, done.stderr
    assert "Choosing channels: a first model reads all 2" in done.stderr
    chosen = load_checkpoint(tmp_path / "m.pt").model_config.channels
    assert "Chosen in" in done.stderr
    assert f": {', '.join(chosen)}. Validation loss" in done.stderr
    assert {*chosen} <= {"L00", "L01"}
    listed = run_cli(tmp_path, "cache", "ls", "--json")
    assert len(json.loads(listed.stdout)) == 1  # both came out of one reading
    # What has been chosen holds for all that goes on with the checkpoint.
    again = run_cli(tmp_path, "train", "--resume", "--out", "m.pt", *common, "--steps", "12")
    assert again.returncode == 0, again.stderr
    shown = run_cli(
        tmp_path, "show", "m.pt", *source[2:], "-o", "transformers.channels=auto", "--json"
    )
    assert shown.returncode == 0, shown.stderr
    ranking = json.loads(shown.stdout)["ranking"]
    assert {each["channel"] for each in ranking["channels"]} == {*chosen}
    refused = run_cli(tmp_path, "compare", "text.txt", "--arms", "external", *common)
    assert refused.returncode != 0
    assert "llmattn train --channels auto" in refused.stderr
