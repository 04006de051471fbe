"""Training on scores in context, and going on with a text from such a checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from llmattn.data.batches import collate
from llmattn.data.config import TextConfig
from llmattn.data.corpus import Corpus, load_corpus
from llmattn.data.written import WrittenText
from llmattn.feeds.channels import reading_of
from llmattn.feeds.growing import TextRows
from llmattn.feeds.open import ModelScores
from llmattn.feeds.trained import reopen_feeds
from llmattn.feeds.windows import window_rows
from llmattn.providers.protocol import Limits, Reply
from llmattn.rows import Row
from llmattn.sampling.generate import Decoder
from llmattn.sampling.options import SampleOptions
from llmattn.sampling.sampler import Sampler
from llmattn.scoring.options import ScoreChoice
from llmattn.testing.server import ScoreServer
from llmattn.training.checkpoint import load_checkpoint
from llmattn.training.evaluate import split_loss
from support_cli import FAILED, run_cli
from support_context import TEXT, Maps, source_of, text_corpus
from support_engine import SMALL, lively_model, small_config, write_corpus

SEES = ("--option", "random.scope=prefix")
CONTEXT = ("--provider", "random", *SEES)
IN_CONTEXT = ScoreChoice(options={"random.scope": "prefix"})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a cache, and a checkpoint of a model that reads both scopes."""
    folder = tmp_path_factory.mktemp("trained")
    write_corpus(folder)
    both = ("--provider", "cooccurrence", *CONTEXT, "--block-size", "8", "--eval-every", "4")
    done = run_cli(folder, "train", "--corpus", "corpus.txt", *SMALL, *both, "--steps", "8")
    assert done.returncode == 0, done.stderr
    assert "cooccurrence.cooccurrence, random.random: 100.0% of the attention" in done.stdout
    return folder


def test_a_run_on_both_scopes_goes_on(trained: Path) -> None:
    done = run_cli(trained, "train", "--resume", *SEES, "--steps", "9", "--out", "checkpoint.pt")
    assert done.returncode == 0, done.stderr
    assert "going on after step 8 of 9" in done.stdout


def test_an_option_of_the_pairs_provider_is_held_against_a_checkpoint_of_both_scopes(
    tmp_path: Path,
) -> None:
    write_corpus(tmp_path)
    with ScoreServer() as server:
        served = ("-o", f"custom.base_url={server.url}", "-o", "custom.model=test-model")
        both = ("--provider", "custom", *served, *CONTEXT, "--block-size", "8")
        asked = ("--criteria", "relevance", "--steps", "2")
        done = run_cli(tmp_path, "train", "--corpus", "corpus.txt", *SMALL, *both, *asked)
    assert done.returncode == 0, done.stderr
    other = run_cli(tmp_path, "train", "--resume", *SEES, "--criteria", "syntax")
    assert other.returncode in FAILED
    assert "--criteria syntax contradicts the checkpoint" in other.stderr
    more = ("--criteria", "relevance", "--steps", "3")
    same = run_cli(tmp_path, "train", "--resume", *SEES, *more)
    assert same.returncode == 0, same.stderr


def test_several_channels_of_random_scores_are_opened_again_as_many(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    three = (*SEES, "--option", "random.channels=3")
    noise = ("--provider", "random", *three, "--block-size", "8")
    done = run_cli(tmp_path, "train", "--corpus", "corpus.txt", *SMALL, *noise, "--steps", "2")
    assert done.returncode == 0, done.stderr
    done = run_cli(tmp_path, "sample", "--prompt", "the cat", "--max-new", "5", *three)
    assert done.returncode == 0, done.stderr


def test_providers_in_another_order_than_their_channels_do_not_contradict_the_checkpoint(
    trained: Path,
) -> None:
    shutil.copy(trained / "checkpoint.pt", trained / "again.pt")
    given = (*CONTEXT, "--provider", "cooccurrence", "--steps", "10", "--out", "again.pt")
    done = run_cli(trained, "train", "--resume", *given)
    assert done.returncode == 0, done.stderr


def test_scores_opened_again_give_the_loss_that_training_had(trained: Path) -> None:
    checkpoint = load_checkpoint(trained / "checkpoint.pt")
    corpus = load_corpus(trained / "corpus.txt", tokenizer=checkpoint.tokenizer)
    choice = evolve(IN_CONTEXT, cache_dir=trained / "scores")
    feeds = reopen_feeds(checkpoint, corpus, choice)
    loss = split_loss(checkpoint.model(), feeds.val, corpus.val, pad_id=1)
    assert loss == pytest.approx(checkpoint.best["loss"], abs=1e-5)


def test_a_checkpoint_in_context_samples_without_being_allowed_to_ask(trained: Path) -> None:
    done = run_cli(
        trained, "sample", "--prompt", "the cat", "--seed", "1", "--max-new", "20", *SEES
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the cat")
    assert done.stderr == ""


def test_several_samples_at_once_are_those_of_one_after_another(trained: Path) -> None:
    checkpoint = load_checkpoint(trained / "checkpoint.pt")
    options = SampleOptions(max_new=12, num=3)
    with Sampler(checkpoint, seed=3, choice=IN_CONTEXT) as sampler:
        together = sampler.sample("the owl", options)
    with Sampler(checkpoint, seed=3, choice=IN_CONTEXT) as sampler:
        again = sampler.sample("the owl", options)
    assert together == again
    assert len(set(together)) > 1


def test_a_provider_that_is_gone_is_named(trained: Path) -> None:
    done = run_cli(trained, "sample", "--prompt", "the", *SEES, "--option", "random.seed=7")
    assert done.returncode != 0
    assert "reads scores in context, so it needs the provider 'random'" in done.stderr
    assert "seed was 0, is 7 (from option seed)" in done.stderr
    assert "add (or change) -o random.seed=0" in done.stderr


def text_rows(
    folder: Path, maps: Maps, corpus: Corpus | None = None, *, context_words: int = 0
) -> TextRows:
    source = source_of(maps, folder)
    reading = reading_of(source, context_words=context_words)
    return TextRows(source, reading, (corpus or text_corpus(folder)).tokenizer)


def piece_corpus(folder: Path) -> Corpus:
    """A stream of pieces that lose nothing, so that a sample can be written as the text is."""
    path = folder / "text.txt"
    path.write_text(TEXT.replace("\n\n", "\n"), encoding="utf-8")
    return load_corpus(
        path, TextConfig(tokenizer="bpe", vocab_size=600, val_fraction=0.17, stream=True)
    )


def test_a_token_costs_one_row_until_the_window_slides(tmp_path: Path) -> None:
    maps = Maps()
    rows = text_rows(tmp_path, maps)
    model = lively_model(small_config("external", block_size=8))
    decoder = Decoder(model, rows)
    asked = []
    with rows.source:
        decoder.push(torch.tensor([[1, 2, 3]]))
        for token in range(4, 11):
            before = len(maps.rows)
            decoder.push(torch.tensor([[token]]))
            asked.append(len(maps.rows) - before)
    assert asked == [1, 1, 1, 1, 1, 4, 1]


def test_a_window_that_moves_on_asks_nothing_twice_while_the_text_before_it_is_seen(
    tmp_path: Path,
) -> None:
    maps = Maps()
    rows = text_rows(tmp_path, maps, context_words=8)
    decoder = Decoder(lively_model(small_config("external", block_size=8)), rows)
    with rows.source:
        for token in range(2, 18):
            decoder.push(torch.tensor([[token % 9]]))
    # The window has moved twice, to the ninth token, and eight words before it are seen.
    assert decoder.window[0].tolist() == [token % 9 for token in range(10, 18)]
    assert len(maps.rows) == 16 - 1


@pytest.mark.parametrize("context_words", [0, 5, 100])
@pytest.mark.parametrize("block_size", [8, 7])
def test_a_sample_asks_the_rows_that_training_asks_and_those_of_windows_half_a_block_on(
    tmp_path: Path, block_size: int, context_words: int
) -> None:
    corpus = piece_corpus(tmp_path)
    training, sampling = Maps(), Maps()
    with source_of(training, tmp_path / "one") as source:
        choice = ScoreChoice(context_words=context_words)
        ModelScores.of([source], choice).feeds(corpus, block_size=block_size)
    rows = text_rows(tmp_path / "two", sampling, corpus, context_words=context_words)
    config = small_config("external", block_size=block_size, vocab_size=len(corpus.tokenizer))
    decoder = Decoder(lively_model(config), rows)
    ids = torch.from_numpy(corpus.train.ids[: 10 * block_size].astype(np.int64))
    with rows.source:
        for token in ids:
            decoder.push(token[None, None])

    def keys(starts: range) -> set[tuple[str, ...]]:
        windows = (
            window_rows(corpus.train.written, start, block_size, context_words=context_words)
            for start in starts
        )
        return {row.keys for window in windows for row in window}

    trained = keys(range(0, 10 * block_size, block_size))
    assert trained <= {row.keys for row in training.rows}
    half = (block_size + 1) // 2
    between = keys(range(half, 9 * block_size, block_size))
    assert {row.keys for row in sampling.rows} == trained | between


def test_texts_that_are_sampled_together_share_a_request(tmp_path: Path) -> None:
    class OneAtATime(Maps):
        limits = Limits()
        requests = 0

        async def score(self, rows: Sequence[Row]) -> Reply:
            self.requests += 1
            return await super().score(rows)

    maps = OneAtATime()
    rows = text_rows(tmp_path, maps)
    with rows.source:
        rows.rows(torch.arange(2, 32).reshape(5, 6), 1)
    assert len(maps.rows) == 5
    assert maps.requests == 1


@pytest.mark.parametrize("stated", ["identity", "log", ("log", "identity")])
def test_a_sample_reads_the_scores_that_training_reads(tmp_path: Path, stated: Any) -> None:
    class Stating(Maps):
        transform = stated

    corpus = piece_corpus(tmp_path)
    with source_of(Stating(), tmp_path) as source:
        reading = reading_of(source, context_words=5)
        feeds = ModelScores.of([source], ScoreChoice(context_words=5)).feeds(corpus, block_size=8)
        batch = collate(corpus.train, corpus.train.pieces(8), np.array([2]), pad_id=1)
        text = torch.from_numpy(corpus.train.ids[None, :24].astype(np.int64))
        found = TextRows(source, reading, corpus.tokenizer).rows(text, 8, 16)
    wanted = feeds.train.scores(batch)
    assert wanted is not None
    below = torch.ones(8, 8, dtype=torch.bool).tril()
    assert torch.allclose(found[..., below], wanted[..., below], atol=1e-3)


def test_a_checkpoints_sample_sees_as_much_before_its_window_as_training_did(
    tmp_path: Path,
) -> None:
    write_corpus(tmp_path)
    shape = (*SMALL, "--block-size", "8", "--steps", "2", "--stream", "--context-words", "3")
    done = run_cli(tmp_path, "train", "--corpus", "corpus.txt", *CONTEXT, *shape)
    assert done.returncode == 0, done.stderr
    prompt = "The cat sees the dog at night. The FOX hears the zebra at night"
    with Sampler(load_checkpoint(tmp_path / "checkpoint.pt"), seed=1, choice=IN_CONTEXT) as sampler:
        sampler.sample(prompt, SampleOptions(max_new=1))
        assert isinstance(sampler.scores, TextRows)
        source = sampler.scores.source
        asked = [row.keys for row, _ in source.cache.scan(source.identity.namespace)]
    # 16 tokens: the window begins at the ninth, and three words before it are seen.
    before = (" dog", " at", " night")
    window = (".", " The", " FOX", " hears", " the", " zebra", " at", " night")
    assert sorted(asked, key=len) == [before + window[:n] for n in range(2, len(window) + 1)]


def test_a_provider_is_shown_further_lines_as_they_would_be_written(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    shape = (*SMALL, "--block-size", "8", "--steps", "20", "--stream")
    done = run_cli(tmp_path, "train", "--corpus", "corpus.txt", *CONTEXT, *shape)
    assert done.returncode == 0, done.stderr
    with Sampler(load_checkpoint(tmp_path / "checkpoint.pt"), seed=1, choice=IN_CONTEXT) as sampler:
        (text,) = sampler.sample("tHE owl", SampleOptions(max_new=200, temperature=2.0, lines=5))
        assert isinstance(sampler.scores, TextRows)
        source = sampler.scores.source
        asked = [row.keys for row, _ in source.cache.scan(source.identity.namespace)]
    assert len(text.split("\n")) == 5
    begins = set()
    for keys in asked:
        assert "".join(keys).lower() in f"\n{text}"
        begins |= {after for before, after in pairwise(keys) if before == "\n"}
    # The prompt is shown as it is written; no space stands before a line's first word, which has
    # its capital, whatever the line before ended with.
    assert "tHE" in begins
    words = {begin for begin in begins - {"tHE"} if begin.strip().isalpha()}
    assert words
    assert all(word == word.strip().capitalize() for word in words)


def test_each_step_is_that_of_a_full_pass_over_the_window(tmp_path: Path) -> None:
    maps = Maps()
    rows = text_rows(tmp_path, maps)
    model = lively_model(small_config("external", block_size=8))
    decoder = Decoder(model, rows)
    texts = torch.tensor([[1, 2, 3, 4], [1, 5, 6, 7]])
    with rows.source, torch.no_grad():
        logits = decoder.push(texts)
        for token in range(2, 12):
            window = decoder.window
            whole = model(window, rows.rows(window, window.shape[1]))[0]
            assert torch.allclose(logits, whole[:, -1], atol=1e-5)
            logits = decoder.push(torch.tensor([[token], [token]]))


def test_an_unknown_row_says_nothing_and_is_counted(tmp_path: Path) -> None:
    rows = text_rows(tmp_path, Maps(unknown=lambda row: len(row.keys) == 3))
    with rows.source:
        found = rows.rows(torch.tensor([[1, 2, 3, 4]]), 4)
    assert (found[0, :, 2] == 0).all()
    assert (found[0, :, 3] > 0).all()
    assert (rows.read, rows.filled) == (2 + 3 + 4, 3)


def test_without_asking_the_cache_alone_is_read(tmp_path: Path) -> None:
    rows = text_rows(tmp_path, Maps())
    ids = torch.tensor([[1, 2, 3, 4]])
    with rows.source:
        silent = TextRows(rows.source, rows.reading, rows.tokenizer, ask=False)
        assert silent.rows(ids, 4)[0, :, 1:].abs().sum() == 0
        known = rows.rows(ids, 4)
        assert torch.equal(silent.rows(ids, 4), known)


def test_a_row_that_is_known_in_part_takes_its_mean_elsewhere(tmp_path: Path) -> None:
    class Gaps(Maps):
        def _row(self, row: Row) -> np.ndarray:
            found = super()._row(row)
            found[:, 1] = np.nan
            return found

    rows = text_rows(tmp_path, Gaps())
    with rows.source:
        found = rows.rows(torch.tensor([[1, 2, 3, 4]]), 1)[0, :, 0]
    assert torch.allclose(found[:, 1], found[:, [0, 2, 3]].mean(dim=1), atol=1e-3)
    assert (rows.read, rows.filled) == (4, 1)


def test_a_sample_is_shown_to_the_provider_as_a_person_would_write_it(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path)
    encode = corpus.tokenizer.encode
    ids = [1, *encode("a boat came, slowly. nobody saw ann."), 1, *encode("who goes there?")]
    written = WrittenText(corpus.tokenizer).follow(ids)
    assert len(written) == len(ids)
    assert "".join(written) == "\nA boat came, slowly. Nobody saw ann.\nWho goes there?"


@pytest.mark.parametrize(
    ("preset", "first", "prompt"),
    [
        ("words", "don't", ""),
        ("words", "'tis", ""),
        ("words", "ne\u0301e", "ne\u0301e"),
        ("seed", "'tis", "'tis"),
        ("seed", "*well*", "*well*"),
    ],
)
def test_no_word_after_a_sentences_first_gets_a_capital(
    tmp_path: Path, preset: str, first: str, prompt: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_text(f"{first} dogs came\n" * 10, encoding="utf-8")
    tokenizer = load_corpus(path, TextConfig(tokenizer=preset)).tokenizer
    ids = [1, *tokenizer.encode(f"{first} dogs came")]
    assert "".join(WrittenText(tokenizer, prompt).follow(ids)).endswith(" dogs came")


def test_a_text_that_begins_inside_a_line_begins_with_a_space(tmp_path: Path) -> None:
    tokenizer = text_corpus(tmp_path).tokenizer
    written = WrittenText(tokenizer).follow(tokenizer.encode("boat came over"))
    assert written == [" boat", " came", " over"]


@pytest.mark.parametrize("preset", ["words", "seed", "bpe"])
@pytest.mark.parametrize(
    "prompt", ['  the  BOAT, Zoë\'s "yacht" --', "'Tis", "o' the '", "She's late; ann", ""]
)
def test_a_prompt_is_shown_as_it_is_written(tmp_path: Path, preset: str, prompt: str) -> None:
    text_corpus(tmp_path)
    corpus = load_corpus(
        tmp_path / "text.txt", TextConfig(tokenizer=preset, vocab_size=600, val_fraction=0.17)
    )
    tokenizer = corpus.tokenizer
    opening, more = tokenizer.encode(prompt), tokenizer.encode("boat came")
    written = WrittenText(tokenizer, prompt).follow([1, *opening, *more, 1])
    assert len(written) == len([1, *opening, *more, 1])
    text = "".join(written)
    assert text.startswith(f"\n{prompt.strip()}")
    assert text.removeprefix(f"\n{prompt.strip()}").lower().split() == ["boat", "came"]


def test_another_text_is_written_without_the_prompt(tmp_path: Path) -> None:
    tokenizer = text_corpus(tmp_path).tokenizer
    written = WrittenText(tokenizer, "the BOAT")
    assert written.follow([1, *tokenizer.encode("the boat")]) == ["\n", "the", " BOAT"]
    assert written.follow([1, *tokenizer.encode("a boat")]) == ["\n", "A", " boat"]


@pytest.mark.parametrize("opening", ["", "The FERRY"])
@pytest.mark.parametrize("preset", ["words", "bpe"])
def test_no_later_token_changes_a_piece(tmp_path: Path, preset: str, opening: str) -> None:
    text_corpus(tmp_path)
    corpus = load_corpus(
        tmp_path / "text.txt", TextConfig(tokenizer=preset, vocab_size=600, val_fraction=0.17)
    )
    ids = corpus.train.ids[:80].tolist()
    whole = list(WrittenText(corpus.tokenizer, opening).follow(ids))
    growing = WrittenText(corpus.tokenizer, opening)
    for end in range(3, 81):  # an opening comes at once
        assert growing.follow(ids[:end]) == whole[:end]
        assert WrittenText(corpus.tokenizer, opening).follow(ids[:end]) == whole[:end]


def test_choices_that_reopening_needs_are_kept_in_the_checkpoint(trained: Path) -> None:
    pairs, texts = load_checkpoint(trained / "checkpoint.pt").scored
    assert (pairs.identity.provider, texts.identity.provider) == ("cooccurrence", "random")
    assert (texts.transform, texts.context_words) == ("identity", 0)
    assert ScoreChoice().transform == "auto"
