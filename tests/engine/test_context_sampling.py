"""Training on scores in context, and going on with a text from such a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from llmattn.data.corpus import load_corpus
from llmattn.sampling.generate import Decoder
from llmattn.sampling.options import SampleOptions
from llmattn.sampling.sampler import Sampler
from llmattn.sampling.texts import TextRows, written_window
from llmattn.training.checkpoint import load_checkpoint
from llmattn.training.choice import ScoreChoice
from llmattn.training.evaluate import split_loss
from llmattn.training.reopen import reopen_feeds
from llmattn.training.scores import reading_of
from support_context import Maps, source_of, text_corpus
from support_engine import SMALL, lively_model, run, small_config, write_corpus

CONTEXT = ("--provider", "random", "--option", "random.scope=prefix")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a cache, and a checkpoint of a model that reads both scopes."""
    folder = tmp_path_factory.mktemp("trained")
    write_corpus(folder)
    both = ("--provider", "cooccurrence", *CONTEXT, "--block-size", "8", "--eval-every", "4")
    done = run(folder, "train", "--corpus", "corpus.txt", *SMALL, *both, "--steps", "8")
    assert done.returncode == 0, done.stderr
    assert "cooccurrence.cooccurrence, random.random: 100.0% of the attention" in done.stdout
    return folder


def test_a_run_on_both_scopes_goes_on(trained: Path) -> None:
    done = run(trained, "train", "--resume", "--steps", "9", "--out", "checkpoint.pt")
    assert done.returncode == 0, done.stderr
    assert "going on after step 8 of 9" in done.stdout


def test_scores_opened_again_give_the_loss_that_training_had(trained: Path) -> None:
    checkpoint = load_checkpoint(trained / "checkpoint.pt")
    corpus = load_corpus(trained / "corpus.txt", tokenizer=checkpoint.tokenizer)
    choice = ScoreChoice(cache_dir=trained / "scores")
    feeds = reopen_feeds(checkpoint, corpus, choice)
    loss = split_loss(checkpoint.model(), feeds.val, corpus.val, pad_id=1)
    assert loss == pytest.approx(checkpoint.best["loss"], abs=1e-5)


def test_a_checkpoint_in_context_samples_without_being_allowed_to_ask(trained: Path) -> None:
    done = run(trained, "sample", "--prompt", "the cat", "--seed", "1", "--max-new", "20")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the cat")
    assert done.stderr == ""


def test_several_samples_at_once_are_those_of_one_after_another(trained: Path) -> None:
    checkpoint = load_checkpoint(trained / "checkpoint.pt")
    options = SampleOptions(max_new=12, num=3)
    with Sampler(checkpoint, seed=3) as sampler:
        together = sampler.sample("the owl", options)
    with Sampler(checkpoint, seed=3) as sampler:
        again = sampler.sample("the owl", options)
    assert together == again
    assert len(set(together)) > 1


def test_a_provider_that_is_gone_is_named(trained: Path) -> None:
    done = run(trained, "sample", "--prompt", "the", "--option", "random.seed=7")
    assert done.returncode != 0
    assert "reads scores in context, so it needs the provider 'random'" in done.stderr
    assert "seed was 0, is 7" in done.stderr


def text_rows(folder: Path, maps: Maps) -> TextRows:
    source = source_of(maps, folder)
    return TextRows(source, reading_of(source), text_corpus(folder).tokenizer)


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
    assert asked == [1, 1, 1, 1, 1, 3, 1]


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


def test_a_sample_is_shown_to_the_provider_as_a_person_would_write_it(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path)
    encode = corpus.tokenizer.encode
    ids = [1, *encode("a boat came, slowly. nobody saw ann."), 1, *encode("who goes there?")]
    written = written_window(corpus.tokenizer, ids)
    assert len(written) == len(ids)
    assert "".join(written) == "\nA boat came, slowly. Nobody saw ann.\nWho goes there?"


def test_a_window_that_begins_inside_a_line_begins_with_a_space(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path)
    written = written_window(corpus.tokenizer, corpus.tokenizer.encode("boat came over"))
    assert written == [" boat", " came", " over"]


@pytest.mark.parametrize("preset", ["words", "bpe"])
def test_no_later_token_changes_a_piece(tmp_path: Path, preset: str) -> None:
    text_corpus(tmp_path)
    corpus = load_corpus(tmp_path / "text.txt", preset=preset, vocab_size=600, val_fraction=0.17)
    ids = corpus.train.ids[:80].tolist()
    whole = written_window(corpus.tokenizer, ids)
    for end in np.random.default_rng(0).choice(80, 20, replace=False):
        assert written_window(corpus.tokenizer, ids[:end]) == whole[:end]


def test_choices_that_reopening_needs_are_kept_in_the_checkpoint(trained: Path) -> None:
    pairs, texts = load_checkpoint(trained / "checkpoint.pt").scored
    assert (pairs.identity.provider, texts.identity.provider) == ("cooccurrence", "random")
    assert (texts.transform, texts.context_words, texts.local) == ("identity", 0, True)
    assert ScoreChoice().transform == "auto"
