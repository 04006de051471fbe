"""What a provider is shown together while a corpus is scored in context."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from llmattn.data.config import TextConfig
from llmattn.data.corpus import Corpus, load_corpus
from llmattn.feeds.channels import Reading
from llmattn.feeds.fill import fill_texts
from llmattn.feeds.packed_fill import pack_split
from llmattn.providers.protocol import Limits, Reply
from llmattn.rows import Row
from llmattn.scoring.planner import APART
from support_context import Maps, source_of

BLOCK = 12


class Requests(Maps):
    """Keeps what each request showed, as a chat model would see it."""

    limits = Limits(rows_per_request=128)

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[list[tuple[str, ...]]] = []

    async def score(self, rows: Sequence[Row]) -> Reply:
        self.shown.append([row.keys for row in rows])
        return await super().score(rows)


@pytest.fixture(params=[True, False], ids=["stream", "lines"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Corpus:
    """Every word is told apart from all others, so that it says where it stands."""
    lines = [" ".join(f"w{7 * line + n}" for n in range(7)) for line in range(300)]
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return load_corpus(path, TextConfig(stream=request.param))


def check(shown: Sequence[Sequence[tuple[str, ...]]]) -> None:
    assert any(len(texts) > 1 for texts in shown)
    for texts in shown:
        numbers = [[int(word.strip()[1:]) for word in text if word.strip()] for text in texts]
        ends = [max(found) for found in numbers if found]
        for end in ends:
            # A few tokens of the distance are marks of line ends, which have no number.
            near = range(end + 1, end + 1 + APART // 2)
            assert not any(number in near for found in numbers for number in found)


def test_scoring_never_shows_what_follows_a_row(corpus: Corpus, tmp_path: Path) -> None:
    provider = Requests()
    with source_of(provider, tmp_path) as source:
        fill_texts(source, corpus, block_size=BLOCK)
    check(provider.shown)


def test_training_never_shows_what_follows_a_row(corpus: Corpus, tmp_path: Path) -> None:
    provider = Requests()
    with source_of(provider, tmp_path) as source:
        reading = Reading(context_words=5)
        pack_split(source, corpus.train, block_size=BLOCK, reading=reading, folder=tmp_path)
    check(provider.shown)


def test_rows_that_are_asked_again_keep_their_distance(corpus: Corpus, tmp_path: Path) -> None:
    failed: set[tuple[str, ...]] = set()

    class FailsOnce(Requests):
        async def score(self, rows: Sequence[Row]) -> Reply:
            reply = await super().score(rows)
            scores = list(reply.scores)
            for place, row in enumerate(rows):
                if row.keys not in failed:
                    failed.add(row.keys)
                    scores[place] = scores[place] * float("nan")
            return Reply(scores)

    provider = FailsOnce()
    with source_of(provider, tmp_path) as source:
        fill_texts(source, corpus, block_size=BLOCK)
    check(provider.shown)
