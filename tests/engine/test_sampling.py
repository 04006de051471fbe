"""Sampling: the same as a full forward, offline, and asking for what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from llmattn.cache.open import open_cache
from llmattn.data.tokenizer import WordTokenizer
from llmattn.errors import CheckpointError, ConfigError, ProviderRejected
from llmattn.feeds.channels import Scored
from llmattn.feeds.growing import Asker, NoRows, TableRows
from llmattn.feeds.table import KnownPairs, ScoreTable
from llmattn.identity import Identity
from llmattn.model.config import ModelConfig
from llmattn.providers.protocol import Limits, Reply
from llmattn.rows import Row, Scope
from llmattn.sampling.generate import Decoder, draw, generate
from llmattn.sampling.lines import GrowingLines
from llmattn.sampling.options import SampleOptions
from llmattn.sampling.sampler import Sampler
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource
from llmattn.training.begin import begin
from llmattn.training.checkpoint import Checkpoint
from llmattn.training.config import RunOptions, TrainConfig
from llmattn.training.resume import resume
from support_engine import VARIANTS, full_table, lively_model, small_config, small_corpus

WORDS = WordTokenizer.train(["a b c d e f g h i j"])
OPEN_ENDED = SampleOptions(max_new=40, temperature=1.0, top_k=0, num=3)


def randoms(number: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(number)]


def rows_of(table: ScoreTable) -> TableRows:
    return TableRows(table, WORDS)


@pytest.mark.parametrize(("attention", "distance_bias"), VARIANTS)
@pytest.mark.parametrize("block_size", [16, 5, 1])
def test_each_step_equals_a_full_forward_over_its_window(
    attention: str, distance_bias: bool, block_size: int
) -> None:
    model = lively_model(small_config(attention, distance_bias))
    table = full_table()
    decoder = Decoder(model, rows_of(table), block_size=block_size)
    torch.manual_seed(1)
    logits = decoder.push(torch.randint(2, 12, (2, 7)))
    for _ in range(40):
        window = decoder.window
        assert window.shape[1] <= block_size
        full, _ = model(window, table.gather(window))
        assert torch.allclose(logits, full[:, -1], atol=1e-5)
        new = torch.randint(2, 12, (2, 1))
        logits = decoder.push(new)
        assert torch.equal(decoder.window[:, -1:], new)


@pytest.mark.parametrize("block_size", [16, 5, 1])
def test_a_text_pushed_at_once_is_read_as_one_that_grew(block_size: int) -> None:
    model = lively_model(small_config("external"))
    table = full_table()
    grown = Decoder(model, rows_of(table), block_size=block_size)
    torch.manual_seed(1)
    text = torch.randint(2, 12, (2, 40))
    for end in range(1, 41):
        logits = grown.push(text[:, end - 1 : end])
        whole = Decoder(model, rows_of(table), block_size=block_size)
        assert torch.allclose(whole.push(text[:, :end]), logits, atol=1e-5)
        assert torch.equal(whole.window, grown.window)


def test_unk_is_never_generated_and_an_unprompted_line_is_never_empty() -> None:
    model = lively_model(small_config("position"))
    with torch.no_grad():  # make <unk> and <eol> by far the likeliest
        model.token_embedding.weight[:2] *= 100
    for seed in range(20):
        steps = list(
            generate(
                Decoder(model, NoRows()),
                [],
                OPEN_ENDED,
                [torch.Generator().manual_seed(seed + i) for i in range(3)],
                unk_id=0,
                eol_id=1,
            )
        )
        assert 0 not in {token for step in steps for token in step}
        assert 1 not in steps[0]


def test_a_sample_stays_at_its_end_of_line() -> None:
    model = lively_model(small_config("position"))
    steps = list(
        generate(Decoder(model, NoRows()), [3], OPEN_ENDED, randoms(3), unk_id=0, eol_id=1)
    )
    for sample in zip(*steps, strict=True):
        if 1 in sample:
            assert set(sample[sample.index(1) :]) == {1}


def test_a_sample_of_lines_ends_with_the_last_of_them() -> None:
    model = lively_model(small_config("position"))
    options = evolve(OPEN_ENDED, lines=3, max_new=200)
    steps = generate(Decoder(model, NoRows()), [3], options, randoms(3), unk_id=0, eol_id=1)
    ends = []
    for sample in zip(*steps, strict=True):
        third = [place for place, token in enumerate(sample) if token == 1][2]
        assert set(sample[third:]) == {1}
        ends.append(third)
    assert len(set(ends)) == 3
    assert max(ends) == len(sample) - 1


def test_top_k_and_top_p_leave_out_the_unlikely() -> None:
    shares = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    logits = shares.log().repeat(400, 1)
    few = draw(logits, SampleOptions(temperature=1.0, top_k=2), randoms(400))
    assert set(few.tolist()) == {0, 1}
    most = draw(logits, SampleOptions(temperature=1.0, top_k=0, top_p=0.9), randoms(400))
    assert set(most.tolist()) == {0, 1, 2}
    one = draw(logits, SampleOptions(temperature=1.0, top_k=0, top_p=0.01), randoms(400))
    assert set(one.tolist()) == {0}


def test_temperature_zero_takes_the_likeliest() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    assert draw(logits, SampleOptions(temperature=0), randoms(2)).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": -1.0}, "--temperature"),
        ({"top_p": 0.0}, "--top-p"),
        ({"top_k": -1}, "--top-k"),
        ({"max_new": 0}, "--max-new"),
        ({"num": 0}, "--num"),
        ({"lines": 0}, "--lines"),
    ],
)
def test_options_out_of_range_name_themselves(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evolve(SampleOptions(), **changes)


TWO_STEPS = TrainConfig(steps=2, batch_size=8, val_fraction=0.2)


def trained(
    folder: Path, provider: str = "random", config: TrainConfig = TWO_STEPS, **shape: object
) -> Checkpoint:
    """A checkpoint of a short run."""
    small_corpus(folder)
    small = {"block_size": 8, "n_layer": 1, "n_head": 2, "n_embd": 16, "dropout": 0.0, **shape}
    run = begin(
        folder / "corpus.txt",
        config,
        ModelConfig.from_options(**small),
        ScoreChoice((provider,), cache_dir=folder / "scores"),
        RunOptions(out=folder / "checkpoint.pt"),
    )
    run.trainer.best_weights = run.trainer.model.state_dict()
    run.save()
    from llmattn.training.checkpoint import load_checkpoint

    return load_checkpoint(folder / "checkpoint.pt")


def without_scores(checkpoint: Checkpoint, provider: str = "random") -> Checkpoint:
    """The checkpoint with an empty table, its scores said to be from ``provider``."""
    assert checkpoint.table is not None
    known = checkpoint.table.known
    table = ScoreTable(
        KnownPairs(known.query_ids[:0], known.key_ids[:0], known.scores[:, :0]),
        vocab_size=checkpoint.table.vocab_size,
        channels=checkpoint.table.channels,
        absent=checkpoint.table.absent,
    )
    scored = tuple(Scored(evolve(s.identity, provider=provider)) for s in checkpoint.scored)
    return evolve(checkpoint, table=table, scored=scored)


def test_the_same_seed_draws_the_same_lines(tmp_path: Path) -> None:
    checkpoint = trained(tmp_path)
    options = SampleOptions(num=3, max_new=10)
    lines = []
    for seed in (5, 5, 6):
        with Sampler(checkpoint, seed=seed) as sampler:
            lines.append(sampler.sample("the cat", options))
    assert lines[0] == lines[1]
    assert not set(lines[0]) & set(lines[2])
    assert all(line.startswith("the cat") for line in lines[0])


def test_streamed_pieces_make_up_the_sample(tmp_path: Path) -> None:
    checkpoint = trained(tmp_path)
    options = SampleOptions(max_new=20)
    with Sampler(checkpoint, seed=1) as one, Sampler(checkpoint, seed=1) as other:
        assert ["".join(one.stream("the '", options))] == other.sample("the '", options)


@pytest.mark.parametrize("preset", ["words", "seed", "bpe"])
def test_lines_of_a_stream_are_written_as_their_tokens(tmp_path: Path, preset: str) -> None:
    config = evolve(TWO_STEPS, stream=True, tokenizer=preset, vocab_size=520)
    checkpoint = trained(tmp_path, config=config)
    tokenizer = checkpoint.tokenizer
    with torch.no_grad():  # a line end comes often
        checkpoint.weights["token_embedding.weight"][1] *= 4
    options = SampleOptions(max_new=300, temperature=1.0, top_k=0, lines=4)
    with Sampler(checkpoint, seed=1) as sampler:
        (text,) = sampler.sample("the cat", options)
    with Sampler(checkpoint, seed=1) as sampler:
        assert "".join(sampler.stream("the cat", options)) == text
    with Sampler(checkpoint, seed=1) as sampler:
        ids = [token for (token,) in sampler.tokens("the cat", options)]
    assert ids.count(1) == 4
    assert text == tokenizer.detokenise([*tokenizer.encode("the cat"), *ids[:-1]])


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([2, 1, 3], "a\nb"),
        ([2, 1], "a"),  # cut where the next line would begin
        ([2, 1, 1, 3], "a\n\nb"),
        ([2, 1, 1, 1, 1], "a\n\n"),
        ([2, 1, 3, 1, 4, 1, 1], "a\nb\nc"),
    ],
)
def test_line_ends_show_between_lines(ids: list[int], text: str) -> None:
    lines = GrowingLines(WORDS, "", 3)
    assert lines.text() + "".join(map(lines.add, ids)) + lines.rest() == text


def test_a_model_of_single_lines_writes_no_second_one(tmp_path: Path) -> None:
    options = SampleOptions(lines=2)
    with Sampler(trained(tmp_path)) as sampler:
        with pytest.raises(CheckpointError, match=r"--lines 2 .* train with --stream"):
            sampler.sample("the cat", options)
        with pytest.raises(CheckpointError, match="--num 2"):
            next(sampler.stream("the cat", options))


def test_words_outside_the_vocabulary_are_named_and_still_continued(tmp_path: Path) -> None:
    with Sampler(trained(tmp_path), seed=1) as sampler:
        assert sampler.unknown_words("the zebra sees the gnu, zebra") == ["zebra", "gnu", ","]
        (line,) = sampler.sample("the zebra", SampleOptions(max_new=3))
        assert line.startswith("the zebra")
        assert len(line) > len("the zebra")


def test_unscored_pairs_are_filled_and_counted(tmp_path: Path) -> None:
    checkpoint = without_scores(trained(tmp_path), "custom")
    with Sampler(checkpoint, seed=1) as sampler:
        sampler.sample("the cat", SampleOptions(max_new=3))
        assert isinstance(sampler.scores, TableRows)
        assert sampler.scores.filled == sampler.scores.read > 0


@pytest.mark.parametrize("ask", [False, True])
def test_a_local_provider_gives_the_scores_that_training_had(tmp_path: Path, ask: bool) -> None:
    full = trained(tmp_path)
    empty = without_scores(full)
    choice = ScoreChoice(cache_dir=tmp_path / "other")
    options = SampleOptions(max_new=20, num=2)
    with Sampler(full, seed=2) as one:
        expected = one.sample("the cat", options)
    with Sampler(empty, seed=2, ask=ask, choice=choice) as other:
        assert other.sample("the cat", options) == expected
        assert isinstance(other.scores, TableRows)
        assert other.scores.filled == 0
    assert empty.table is not None
    assert 0 < len(empty.table.known.query_ids) < len(full.table.known.query_ids)  # type: ignore[union-attr]


class Patchy:
    """A provider that has no score for the key ``b``, and counts how often it is asked."""

    scope = Scope.PAIR
    channels = ("one",)
    limits = Limits()
    local = True
    absent_score = None

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()

    def identity(self) -> Identity:
        return Identity("patchy", 1, self.scope, self.channels)

    async def score(self, rows: Sequence[Row]) -> Reply:
        self.asked.update((row.query, key) for row in rows for key in row.keys)
        return Reply(
            np.array([[np.nan if key == "b" else 0.5 for key in row.keys]], np.float32)
            for row in rows
        )

    async def aclose(self) -> None:
        pass


def test_a_pair_without_a_score_is_not_asked_again_with_each_token() -> None:
    provider = Patchy()
    nothing = np.zeros(0, np.int32)
    table = ScoreTable(
        KnownPairs(nothing, nothing, np.zeros((1, 0), np.float16)),
        vocab_size=12,
        channels=["one"],
        absent=[None],
    )
    with ScoreSource("patchy", provider, open_cache("memory")) as source:
        askers = [Asker(source, slice(0, 1))]
        rows = TableRows(table, WORDS, askers)
        ids = torch.tensor([[1, 3, 5]])
        rows.rows(ids, 3)
        first = provider.asked.copy()
        assert set(first) == {("b", "b"), ("d", "b"), ("d", "d")}
        rows.rows(torch.tensor([[1, 3, 5, 3]]), 1)
    new = provider.asked - first
    assert set(new) == {("b", "d")}


class Refusing(Patchy):
    """One that refuses the first request."""

    async def score(self, rows: Sequence[Row]) -> Reply:
        first = not self.asked
        reply = await super().score(rows)
        if first:
            raise ProviderRejected("Not now.")
        return reply


def test_what_was_refused_once_is_asked_again_by_the_next_token() -> None:
    provider = Refusing()
    nothing = np.zeros(0, np.int32)
    known = KnownPairs(nothing, nothing, np.zeros((1, 0), np.float16))
    table = ScoreTable(known, vocab_size=12, channels=["one"], absent=[None])
    with ScoreSource("patchy", provider, open_cache("memory")) as source:
        rows = TableRows(table, WORDS, [Asker(source, slice(0, 1))])
        ids = torch.tensor([[1, 3, 5]])
        with pytest.raises(ProviderRejected):
            rows.rows(ids, 3)
        rows.rows(ids, 3)
    assert provider.asked["d", "d"] == 2


def test_asking_a_provider_that_would_score_otherwise_is_refused(tmp_path: Path) -> None:
    checkpoint = without_scores(trained(tmp_path))
    choice = ScoreChoice(options={"random.seed": "7"}, cache_dir=tmp_path / "other")
    with pytest.raises(ConfigError, match="seed was 0, is 7"):
        Sampler(checkpoint, ask=True, choice=choice)


def test_cooccurrence_needs_nothing_asked(tmp_path: Path) -> None:
    with Sampler(trained(tmp_path, "cooccurrence"), seed=1, ask=True) as sampler:
        sampler.sample("cat dog night owl", SampleOptions(max_new=10))
        assert isinstance(sampler.scores, TableRows)
        assert sampler.scores.filled == 0


def test_window_larger_than_the_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="at most 8 tokens"):
        Sampler(trained(tmp_path), block_size=9)


def test_a_line_may_grow_past_the_block(tmp_path: Path) -> None:
    with Sampler(trained(tmp_path), seed=3) as sampler:
        (line,) = sampler.sample("the cat sees " * 5, SampleOptions(max_new=30, temperature=3.0))
        assert len(line.split()) > 15


def test_resuming_refuses_another_text(tmp_path: Path) -> None:
    trained(tmp_path)
    path = tmp_path / "corpus.txt"
    path.write_text(path.read_text().replace("cat", "cow"))
    with pytest.raises(CheckpointError, match="is not the text"):
        resume(RunOptions(out=tmp_path / "checkpoint.pt"))
