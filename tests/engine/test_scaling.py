"""The arithmetic of docs/scaling.md, held against small real runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from llmattn.cache.memory import MemoryCache
from llmattn.cache.settings import MemorySettings
from llmattn.data.config import TextConfig
from llmattn.data.corpus import load_corpus
from llmattn.feeds.channels import Reading
from llmattn.feeds.packed_fill import pack_splits
from llmattn.model.attn_gpt import AttnGPT
from llmattn.model.config import ModelConfig
from llmattn.planning import make_plan
from llmattn.providers.random import RandomProvider
from llmattn.providers.settings import RandomSettings
from llmattn.scoring.source import ScoreSource
from support_engine import full_table
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.scaling import (
    band_bytes,
    pair_table_bytes,
    reading_requests,
    rows,
    step_flops,
    triangle_bytes,
    triangle_scores,
)

DOCS = Path(__file__).parents[2] / "docs" / "scaling.md"
WINDOW = 16


def test_a_packed_file_has_the_bytes_that_are_said_and_a_plan_the_requests(tmp_path: Path) -> None:
    text = tmp_path / "corpus.txt"
    text.write_text("".join(f"word{n} is word{n * 7 % 50} or not\n" for n in range(300)))
    corpus = load_corpus(text, TextConfig(stream=True, min_count=1))
    provider = RandomProvider(RandomSettings(scope="prefix", channels=3))
    with ScoreSource("random", provider, MemoryCache(MemorySettings())) as source:
        plan = make_plan(source, corpus, block_size=WINDOW)
        packed, _ = pack_splits(
            source, corpus.splits, block_size=WINDOW, reading=Reading(), folder=tmp_path / "packed"
        )
    tokens = [int(each.lengths.sum()) for each in packed]
    for scores, count in zip(packed, tokens, strict=True):
        said = triangle_bytes(count, WINDOW, 3, scores.dtype.itemsize)
        assert scores.path.stat().st_size == pytest.approx(said, abs=1500)  # its description
        assert sum(scores.triangle(piece).nbytes for piece in range(len(scores))) == said
    wanted = sum(reading_requests(n, WINDOW, provider.limits.pairs_per_request) for n in tokens)
    assert plan.total.usage.requests == pytest.approx(wanted, rel=0.15)
    assert plan.positions == sum(triangle_scores(n, WINDOW) - -(-n // WINDOW) for n in tokens)


def test_a_band_is_what_it_leaves_of_the_triangle() -> None:
    for tokens in (64, 70, 5):
        near = [(i % 16, j) for i in range(tokens) for j in range(i % 16 + 1) if i % 16 - j < 4]
        assert band_bytes(tokens, 16, 4, 2) == 2 * len(near)


def test_a_dense_table_has_the_bytes_that_are_said() -> None:
    table = full_table(vocab_size=12, channels=2)
    assert table._table.nbytes == pair_table_bytes(12, 2, table._table.element_size())


@pytest.mark.parametrize("per_layer", [False, True])
def test_a_step_makes_the_products_that_are_said(per_layer: bool) -> None:
    shape = ModelConfig.from_options(n_layer=2, n_embd=64, block_size=64, per_layer=per_layer)
    config = shape.fitted(500, ("a", "b", "c"))
    ids = torch.randint(0, 500, (4, 64))
    with FlopCounterMode(display=False) as counter:
        _, loss = AttnGPT(config)(ids, torch.rand(4, 3, 64, 64).tril(), ids)
        assert loss is not None
        loss.backward()
    unseen = 2 * 500 * 64 * ids.numel()  # what is added to the head's gradient in place
    # What lies in the future of a row is left out by blocks of rows, so some of it is computed.
    found = counter.get_total_flops() + unseen
    assert found == pytest.approx(step_flops(config, 4), rel=0.05)


def test_the_page_has_the_table_as_it_is() -> None:
    page = DOCS.read_text(encoding="utf-8")
    for row in rows():
        assert f"| {' | '.join(row)} |\n" in page
