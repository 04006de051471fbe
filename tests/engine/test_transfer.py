"""What a model takes of others: where its words start, and the attention that it imitates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from llmattn.data.config import TextConfig
from llmattn.data.corpus import Corpus, load_corpus
from llmattn.errors import CheckpointError
from llmattn.model.attn_gpt import AttnGPT
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.vectors import VectorSource
from llmattn.testing.server import ScoreServer
from llmattn.training.checkpoint import load_checkpoint
from llmattn.training.torch_file import read_torch_file, write_torch_file
from llmattn.training.word_vectors import WordStart, read_token_vectors, start_words
from llmattn.view.weights import layer_weights
from support_cli import run_cli, run_process
from support_engine import SMALL, lively_model, small_config, write_corpus
from support_transformers import save_model

TRAIN = ("train", "--corpus", "corpus.txt", *SMALL, "--eval-every", "2", "--steps", "6")
IN_CONTEXT = ("-p", "random", "-o", "random.scope=prefix", "-o", "random.channels=2")
IMITATE = (*TRAIN, *IN_CONTEXT, "--imitate")


@pytest.mark.parametrize("distance_bias", [False, True])
def test_imitating_changes_nothing_but_the_loss(distance_bias: bool) -> None:
    model = lively_model(small_config("learned", distance_bias, channels=()))
    ids = torch.randint(12, (3, 9))
    aims = [torch.softmax(torch.randn(3, 2, 9, 9).masked_fill(_future(9), -1e9), -1)] * 2
    _, plain = model(ids, None, ids)
    apart, loss = model(ids, None, ids, aims)
    torch.testing.assert_close(loss, plain)
    wanted = [
        (aims[0] * (aims[0].clamp(min=1e-30).log() - own.clamp(min=1e-30).log())).sum(-1)
        for own in layer_weights(model, ids, None)
    ]
    torch.testing.assert_close(apart, torch.stack(wanted).mean(), rtol=1e-3, atol=1e-4)


def test_a_model_is_not_apart_from_its_own_weights() -> None:
    model = lively_model(small_config("learned", True, channels=()))
    ids = torch.randint(12, (2, 7))
    apart, _ = model(ids, None, ids, list(layer_weights(model, ids, None)))
    assert abs(apart.item()) < 1e-5
    apart.backward()  # no gradient is infinite, or none
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def _future(length: int) -> torch.Tensor:
    return torch.ones(length, length, dtype=torch.bool).triu(1)


def vectors_of(folder: Path, corpus: Corpus, width: int, control: str = "") -> WordStart:
    with ScoreServer(dimensions=24) as server:
        choice = ScoreChoice(
            word_vectors="custom",
            options={"custom.base_url": server.url, "custom.model": "test-model"},
            cache_dir=folder / "cache",
        )
        with VectorSource(choice) as source:
            return read_token_vectors(source, corpus.tokenizer).start(corpus, width, control)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return load_corpus(write_corpus(tmp_path))


def test_words_start_centred_and_as_large_as_any(tmp_path: Path, corpus: Corpus) -> None:
    start = vectors_of(tmp_path, corpus, 8)
    weights = np.bincount(corpus.train.ids)[start.ids]
    assert start.vectors.shape == (len(corpus.tokenizer) - 2, 8)
    np.testing.assert_allclose(weights @ start.vectors / weights.sum(), 0, atol=1e-5)
    assert start.vectors.std() == pytest.approx(8**-0.5, rel=1e-4)
    spread = (weights[:, None] * start.vectors**2).sum(0)
    assert (np.diff(spread) <= 1e-6).all()  # the principal ones first


def test_a_model_starts_from_them_and_keeps_the_rest(tmp_path: Path, corpus: Corpus) -> None:
    start = vectors_of(tmp_path, corpus, 8)
    size = len(corpus.tokenizer)
    torch.manual_seed(0)
    plain = AttnGPT(small_config("position", vocab_size=size)).token_embedding.weight
    torch.manual_seed(0)
    model = AttnGPT(small_config("position", vocab_size=size))
    start_words(model, start)
    table = model.token_embedding.weight
    torch.testing.assert_close(table[2:], torch.from_numpy(start.vectors))
    torch.testing.assert_close(table[:2], plain[:2])


def test_vectors_shorter_than_the_model_leave_the_rest_as_it_is(
    tmp_path: Path, corpus: Corpus
) -> None:
    assert vectors_of(tmp_path, corpus, 64).vectors.shape[1] == 24


def test_controls_keep_what_vectors_are_like_and_not_whose(tmp_path: Path, corpus: Corpus) -> None:
    own, permuted, random = (
        vectors_of(tmp_path, corpus, 4, control) for control in ("", "permuted", "random")
    )
    assert {*map(tuple, permuted.vectors)} == {*map(tuple, own.vectors)}
    assert (permuted.vectors != own.vectors).any()
    assert random.vectors.std() == pytest.approx(own.vectors.std(), rel=0.5)
    assert not {*map(tuple, random.vectors)} & {*map(tuple, own.vectors)}


def test_pieces_of_words_have_vectors_too(tmp_path: Path) -> None:
    corpus = load_corpus(write_corpus(tmp_path), TextConfig(tokenizer="bpe", vocab_size=600))
    start = vectors_of(tmp_path, corpus, 8)
    spelled = corpus.tokenizer.spelled
    assert len(spelled) == len(corpus.tokenizer)
    assert {" cat", "cat"} & {spelled[index] for index in start.ids}
    assert all(spelled[index].strip() for index in start.ids)


def test_train_takes_word_vectors_and_its_checkpoint_tells_whose(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    with ScoreServer() as server:
        asked = {"CUSTOM_BASE_URL": server.url, "LLM_MODEL": "test-model"}
        train = (*TRAIN, "--attention", "learned", "--word-vectors", "custom")
        done = run_cli(tmp_path, *train, **asked)
    assert done.returncode == 0, done.stderr
    assert "word vectors" in done.stderr
    taken = load_checkpoint(tmp_path / "checkpoint.pt").taken
    assert taken["word_vectors"]["identity"]["provider"] == "custom"
    shown = run_cli(tmp_path, "show", "checkpoint.pt")
    assert "custom test-model" in shown.stdout, shown.stderr
    run_cli(tmp_path, "export", "checkpoint.pt", "--safetensors", "exported")
    assert load_checkpoint(tmp_path / "exported").taken == taken


def test_a_model_that_imitates_needs_no_provider_afterwards(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    teacher = ("-p", "transformers", "--model", save_model(tmp_path / "model"))
    train = (*TRAIN, *teacher, "--imitate", "--n-layer", "2", "--per-layer")
    done = run_cli(tmp_path, *train, "--word-vectors", "transformers")
    assert done.returncode == 0, done.stderr
    first = load_checkpoint(tmp_path / "checkpoint-external.pt")
    second = load_checkpoint(tmp_path / "checkpoint.pt")
    assert [each.identity.provider for each in first.scored] == ["transformers"]
    assert (second.scored, second.table, second.model_config.channels) == ((), None, ())
    assert second.taken["imitated"]["weight"] == 0.2
    (tmp_path / "checkpoint-external.pt").unlink()
    used = run_process(
        tmp_path,
        *("sample", "--checkpoint", "checkpoint.pt", "--prompt", "the cat", "--seed", "1"),
        LLMATTN_CACHE_DIR=str(tmp_path / "none"),
        LLMATTN_DISABLE_PLUGINS="transformers,openai,cerebras,custom,redis",
    )
    assert used.returncode == 0, used.stderr
    assert used.stdout.startswith("the cat")
    done = run_cli(tmp_path, "eval", "checkpoint.pt", "corpus.txt", "--cache-dir", "none")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "none").exists()


def test_an_interrupted_pair_of_runs_goes_on_as_an_unbroken_one(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    run_cli(tmp_path, *IMITATE, "--out", "whole.pt")
    broken = (*IMITATE, "--out", "broken.pt")
    stopped = run_cli(tmp_path, *broken, "--max-time", "1e-9")  # before the first step of the first
    assert "--resume --out broken.pt" in stopped.stdout
    assert "--imitate" in stopped.stdout
    assert not (tmp_path / "broken.pt").exists()
    stopped = run_cli(tmp_path, *broken, "--resume", "--max-time", "1e-9")
    assert not (tmp_path / "broken.pt").exists()
    done = run_cli(tmp_path, *broken, "--resume")
    assert done.returncode == 0, done.stderr
    again = run_cli(tmp_path, "train", *IN_CONTEXT, "--resume", "--out", "broken.pt")
    assert again.returncode == 0, again.stderr
    for name in ("{}.pt", "{}-external.pt"):
        one, other = (load_checkpoint(tmp_path / name.format(n)) for n in ("whole", "broken"))
        assert one.best == other.best
        for key, value in one.last["model"].items():
            assert torch.equal(value, other.last["model"][key])


def test_a_student_goes_on_only_beside_the_model_that_it_imitates(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    run_cli(tmp_path, *IMITATE)
    resume = (*IMITATE, "--resume", "--steps", "8")
    plain = ("train", "--resume", "--steps", "8")
    (tmp_path / "checkpoint-external.pt").rename(tmp_path / "kept.pt")
    done = run_cli(tmp_path, *plain)
    assert done.returncode != 0
    assert "checkpoint-external.pt" in done.stderr
    run_cli(tmp_path, *TRAIN, *IN_CONTEXT, "--seed", "5", "--out", "checkpoint-external.pt")
    done = run_cli(tmp_path, *plain)
    assert "another model" in done.stderr
    (tmp_path / "kept.pt").replace(tmp_path / "checkpoint-external.pt")
    done = run_cli(tmp_path, *resume)
    assert done.returncode == 0, done.stderr
    assert load_checkpoint(tmp_path / "checkpoint.pt").last["step"] == 8


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--imitate", "--attention", "learned"), "nothing to be imitated"),
        (("--imitate", "--attention", "hybrid"), "nothing to be imitated"),
        (("--imitate-weight", "0.5"), "is for --imitate"),
        (("--imitate", "--imitate-weight", "0"), "above 0"),
        (("--attention", "learned", "--word-vectors", "nobody"), "No provider is called 'nobody'"),
        (("--attention", "learned", "--word-vectors", "random"), "no word vectors"),
        (("--attention", "position", "--criteria", "topic"), "reads none"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, *TRAIN, *options)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "taken",
    [
        [],
        {"provider": {}},
        {"word_vectors": {"identity": {}, "words": 3, "control": ""}},
        {"imitated": {"attention": "none", "weight": 0.2, "scored": [], "digest": ""}},
        {"imitated": {"attention": "external", "weight": float("inf"), "scored": [], "digest": ""}},
        {"imitated": {"attention": "external", "weight": 0.2, "scored": [{}], "digest": ""}},
        {"imitated": {"attention": "external", "weight": 0.2, "scored": [], "digest": 7}},
    ],
)
def test_what_a_strangers_file_says_of_others_is_checked(tmp_path: Path, taken: object) -> None:
    write_corpus(tmp_path)
    run_cli(tmp_path, *TRAIN, "--attention", "position", "--steps", "1")
    path = tmp_path / "checkpoint.pt"
    data = {**read_torch_file(path), "taken": taken}
    with path.open("wb") as file:
        write_torch_file(file, data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)
