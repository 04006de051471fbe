"""The commands as functions of a program, and what their results show in a notebook."""

from __future__ import annotations

import asyncio
import copy
import importlib
import pickle
from pathlib import Path
from typing import Any

import llmattn
import pytest
import torch
from llmattn.errors import CheckpointError, ConfigError, CorpusError, LlmattnError
from llmattn.library.stated import Stated
from llmattn.scoring.options import ScoreChoice
from support_engine import small_config, write_corpus

SMALL: dict[str, Any] = {
    "provider": "cooccurrence",
    "cache": "memory",
    "n_layer": 1,
    "n_head": 2,
    "n_embd": 16,
    "batch_size": 8,
    "steps": 6,
    "eval_every": 3,
}
TEXT = "The cat sat.\nA dog ran.\nThe dog ran off.\nThe cat sat down."


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> llmattn.TrainingResult:
    folder = tmp_path_factory.mktemp("trained")
    return llmattn.train(str(write_corpus(folder)), out=str(folder / "model.pt"), **SMALL)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> llmattn.Comparison:
    folder = tmp_path_factory.mktemp("compared")
    few = {**SMALL, "seeds": 3, "lr": 3e-3, "arms": ["external", "own arm", "position"]}
    tables = {"own arm": {"like": "external", "n_head": 4}}
    few["options"] = {"cooccurrence.window": "5"}
    corpus = write_corpus(folder)
    return llmattn.compare(corpus, out=folder / "out", own_arms=tables, **few)


def test_training_tells_its_evaluations_and_keeps_a_checkpoint(
    trained: llmattn.TrainingResult,
) -> None:
    table = trained.to_pandas()
    assert list(table["step"]) == [0, 3, 6]
    assert table["val_loss"].min() == pytest.approx(trained.best_loss)
    assert trained.checkpoint().best["step"] == trained.best_step
    assert (trained.outcome, trained.coverage > 0) == ("finished", True)


def test_a_sampler_reads_the_file_of_a_checkpoint(trained: llmattn.TrainingResult) -> None:
    for path in (trained.out, str(trained.out)):
        with llmattn.Sampler(path, seed=1) as sampler:
            (text,) = sampler.sample("the cat")
        assert text.startswith("the cat")


def test_a_run_goes_on_where_it_was_left(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path), tmp_path / "model.pt"
    llmattn.train(corpus, out=out, **SMALL)
    more = llmattn.train(out=out, resume=True, corpus=corpus, steps=9)
    assert [each.step for each in more.reports] == [9]


def test_a_resumed_run_differs_in_no_setting(trained: llmattn.TrainingResult) -> None:
    with pytest.raises(CheckpointError, match="n-layer 2 contradicts"):
        llmattn.train(out=trained.out, resume=True, n_layer=2)


def test_training_leaves_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    llmattn.train(write_corpus(tmp_path), out=tmp_path / "x.pt", **{**SMALL, "steps": 1})
    assert torch.equal(torch.rand(3), wanted)


def test_a_comparison_has_a_row_an_arm_and_a_row_a_run(compared: llmattn.Comparison) -> None:
    table = compared.to_pandas().set_index("arm")
    assert list(table.index) == ["external", "own arm", "position"]
    assert table["gain_over_position"].isna().to_dict() == {
        "external": False,
        "own arm": False,
        "position": True,
    }
    assert table.loc["external", "test_loss_half_width"] > 0
    assert len(compared.runs_to_pandas()) == 9
    assert (compared.out / "report.md").exists()


def test_a_report_names_the_call(compared: llmattn.Comparison) -> None:
    command = compared.results.about["command"]
    assert command.startswith("llmattn.compare(")
    assert "options={'cooccurrence.window': '5'}" in command
    assert "own_arms={'own arm'" in command


def test_a_call_is_told_without_keys() -> None:
    options = {"openai.api_key": "quite-secret", "openai.max_keys": 9}
    told = Stated("compare", {"options": options}, (ScoreChoice,)).call(Path("x.txt"))
    assert told == "llmattn.compare('x.txt', options={'openai.max_keys': '9'})"


def test_notebooks_show_results(
    trained: llmattn.TrainingResult, compared: llmattn.Comparison
) -> None:
    assert "perplexity" in trained._repr_html_()
    shown = compared._repr_html_()
    assert "gain over position" in shown
    assert compared.warnings()[0][:20] in shown


def test_words_of_strangers_are_escaped() -> None:
    html = llmattn.score_text("<img> a\x1b[31m <b>", provider="random", cache="memory")
    tokens = ["<img src=x>", "</table>", "a\x1b"]
    matrix = llmattn.get_attention_matrix(tokens, provider="random", cache="memory")
    for shown in (html._repr_html_(), matrix._repr_html_()):
        assert "<img" not in shown
        assert "\x1b" not in shown
        assert shown.count("</table>") == shown.count("<table>")


def test_a_scored_text_is_a_table_of_its_known_scores() -> None:
    found = llmattn.score_text("the cat sat", provider="random", cache="memory")
    table = found.to_pandas()
    assert set(table["query"]) == {"the", "cat", "sat"}
    assert (table["key_place"] <= table["query_place"]).all()
    assert table["score"].between(0, 1).all()


def test_a_matrix_is_a_tensor_that_knows_its_tokens() -> None:
    matrix = llmattn.get_attention_matrix("the cat sat", provider="random", cache="memory")
    assert isinstance(matrix, torch.Tensor)
    assert type(matrix + 0) is torch.Tensor
    assert type(matrix[:2]) is torch.Tensor
    assert list(matrix.to_pandas().columns) == ["the", "cat", "sat"]
    for copied in (copy.deepcopy(matrix), pickle.loads(pickle.dumps(matrix))):
        assert torch.equal(copied, matrix)


def test_a_text_is_a_string_or_its_lines() -> None:
    lines = TEXT.split("\n")
    found = [
        llmattn.get_attention_matrix(
            "cat dog sat", provider="cooccurrence", cache="memory", text=text
        )
        for text in (TEXT, lines, [line.lower().replace(".", " .").split() for line in lines])
    ]
    assert found[0][2, 0] > found[0][2, 1]
    assert all(torch.equal(each, found[0]) for each in found)


def test_scores_of_own_tokens_are_those_of_the_matrix() -> None:
    texts = [["the", "cat", "sat"], ["a", "dog"]]
    found = llmattn.score_tokens(texts, provider="random", cache="memory")
    assert found.scores.shape == (2, len(found.channels), 3, 3)
    assert (found.scores[1, :, 2] == 0).all()
    assert (found.scores.triu(1) == 0).all()
    matrix = llmattn.get_attention_matrix(texts[0], provider="random", cache="memory")
    assert torch.allclose(found.scores[0].mean(0)[2].softmax(-1), matrix[2])


def test_in_context_scores_of_own_tokens_see_the_tokens_before() -> None:
    settings: dict[str, Any] = {"cache": "memory", "options": {"random.scope": "prefix"}}
    one, other = (
        llmattn.score_tokens([[first, " cat", " sat"]], provider="random", **settings).scores
        for first in ("the", "a")
    )
    assert not torch.equal(one[0, :, 2], other[0, :, 2])


def test_all_of_it_works_in_a_running_event_loop_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def cell() -> tuple[str, int]:
        corpus = write_corpus(tmp_path)
        short = {**SMALL, "steps": 2, "out": tmp_path / "x.pt"}
        result = llmattn.train(corpus, **short)
        with llmattn.Sampler(result.out, seed=0) as sampler:
            (text,) = sampler.sample("the")
        llmattn.score_text("the cat", provider="random", cache="memory")
        short |= {"out": tmp_path / "many", "arms": "external", "seeds": 1, "lr": 0.003}
        found = llmattn.compare(corpus, **short)
        return text, len(found.results.arms)

    text, arms = asyncio.run(cell())
    assert (text[:3], arms) == ("the", 1)
    assert capfd.readouterr() == ("", "")


def test_the_module_of_its_name_gives_way_to_the_function() -> None:
    module: object = importlib.import_module("llmattn.train")
    assert module is llmattn.train
    with pytest.raises(CorpusError, match=r"gone\.txt"):
        llmattn.train("gone.txt")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 5}, "takes no step: do you mean steps"),
        ({"shard": True}, "takes no shard"),
        ({"steps": "ten"}, "steps must be a whole number, not 'ten'"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"steps": True}, "steps must be a whole number"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"lr": "fast"}, "lr must be a number"),
        ({"stream": 1}, "stream must be True or False"),
        ({"out": 3}, "out must be a path"),
        ({"provider": 3}, "provider must be a string"),
        ({"options": ["window=5"]}, "options must be a dict"),
        ({"provider": "nobody"}, "nobody"),
        ({"attention": "position", "provider": "random"}, "reads none"),
    ],
)
def test_what_is_wrong_with_a_setting_is_told(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(LlmattnError, match=message):
        llmattn.train(write_corpus(tmp_path), **{"out": tmp_path / "x.pt", **settings})


def test_one_rate_stands_instead_of_several(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lr stands instead of lrs"):
        llmattn.compare(write_corpus(tmp_path), lr=0.1, lrs=[0.1, 0.2])


def test_what_is_no_path_and_no_text_is_told() -> None:
    with pytest.raises(CorpusError, match="not a int"):
        llmattn.load_corpus(3)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="not a list"):
        llmattn.load_checkpoint([])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="string or a path"):
        llmattn.train(["a", "b"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="A token is a string"):
        llmattn.get_attention_matrix([1, 2])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="each a list of tokens"):
        llmattn.score_tokens("the cat", provider="random")
    with pytest.raises(ConfigError, match="list of strings"):
        llmattn.score_tokens(["the cat"], provider="random")
    with pytest.raises(ConfigError, match="must be a string"):
        llmattn.score_text(["the"], provider="random")  # type: ignore[arg-type]


def test_a_path_may_be_a_string(tmp_path: Path, trained: llmattn.TrainingResult) -> None:
    assert len(llmattn.load_corpus(str(write_corpus(tmp_path))).train) == 90
    assert llmattn.load_checkpoint(str(trained.out)).best["step"] == trained.best_step
    with pytest.raises(CorpusError, match=r"gone\.txt"):
        llmattn.load_corpus("gone.txt")


@pytest.mark.parametrize("shape", [(), (2, 2, 5), (1, 2, 5, 4), (1, 3, 5, 5), (1, 5, 5, 2), (5, 5)])
def test_a_wrong_shape_of_scores_names_the_right_one(shape: tuple[int, ...]) -> None:
    attention = llmattn.LLMAttention(small_config("external"))
    for call in (attention.weights, attention.logits, lambda *a: next(iter(attention(*a)))):
        with pytest.raises(ConfigError, match=r"\(B, 2, 5, 5\)"):
            call(torch.zeros(shape), 5, 5, torch.zeros(1))
    with pytest.raises(ConfigError, match=r"\(B, 2, 5, 5\)"):
        llmattn.AttnGPT(small_config("external"))(
            torch.zeros(1, 5, dtype=torch.int64), torch.zeros(shape)
        )


def test_missing_scores_and_too_many_tokens_are_told() -> None:
    attention = llmattn.LLMAttention(small_config("external"))
    with pytest.raises(ConfigError, match="needs scores"):
        attention.weights(None, 5, 5, torch.zeros(1))
    with pytest.raises(ConfigError, match="block size of 16"):
        attention.weights(torch.zeros(1, 2, 17, 17), 17, 17, torch.zeros(1))
    with pytest.raises(ConfigError, match="floats"):
        attention.weights(torch.zeros(1, 2, 5, 5, dtype=torch.int64), 5, 5, torch.zeros(1))


def test_wrong_ids_and_targets_name_the_right_shape() -> None:
    model, scores = llmattn.AttnGPT(small_config("external")), torch.zeros(3, 2, 5, 5)
    ids = torch.zeros(1, 5, dtype=torch.int64)
    with pytest.raises(ConfigError, match=r"\(batch, tokens\)"):
        model(torch.zeros(5, dtype=torch.int64), scores)
    with pytest.raises(ConfigError, match="int64"):
        model(torch.zeros(1, 5), scores)
    with pytest.raises(ConfigError, match="Scores of 3 texts"):
        model(ids, scores)
    with pytest.raises(ConfigError, match="Targets must have the shape"):
        model(ids, scores[:1], ids[:, 1:])
