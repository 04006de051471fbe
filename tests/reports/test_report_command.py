"""``llmattn report`` as a person runs it: what stands in the page, and what never does."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from llmattn.comparing.arms import parse_arms
from llmattn.comparing.config import Course
from llmattn.comparing.read import read_results
from llmattn.comparing.references import Reference
from llmattn.comparing.report import write_report
from llmattn.comparing.results import ArmResult, Results
from llmattn.comparing.store import FinishedRun
from llmattn.data.tokenizer import WordTokenizer
from llmattn.errors import CheckpointDamaged, ResultDamaged
from llmattn.reports.comparison import comparison_page
from llmattn.reports.run import run_page
from llmattn.testing.server import ScoreServer
from llmattn.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from llmattn.training.text_size import TextSize
from support_cli import run_cli
from support_engine import SMALL, example_checkpoint, write_corpus
from support_pages import HOSTILE, Reader

RUN = ("--provider", "cooccurrence", "--steps", "6", "--eval-every", "2", "--test-fraction", "0.1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its log, and a comparison."""
    folder = tmp_path_factory.mktemp("report")
    write_corpus(folder)
    done = run_cli(folder, "train", "corpus.txt", *RUN, *SMALL, "--log", "log.csv")
    assert done.returncode == 0, done.stderr
    (folder / "comparison" / "runs").mkdir(parents=True)
    write_report(compared(), folder / "comparison")
    return folder


def compared() -> Results:
    """Three arms of three seeds, best at their last step, beside another kind of model."""
    losses = {"external": 4.7, "random": 4.9, "position": 4.9}
    identity = {"provider": "cooccurrence", "namespace": "abcd"}
    scores = {"identities": [identity], "coverage": 0.9, "crc32": "00"}
    about = {
        "summary": "A text.",
        "command": "llmattn compare corpus.txt",
        "text": "corpus.txt",
        "text_sha256": "0123abcd",
        "scores": {"external": scores, "random": scores},
        "parts": [{"name": "train", "lines": 80, "tokens": 652, "unknown_share": 0.1}],
        "spent": [{"provider": "p", "requests": 3, "tokens": 70, "dollars": 0.25, "priced": True}],
        "shape": {"n_layer": 1},
        "train": {"steps": 20},
        "place": {"device": "cpu"},
        "versions": {"torch": "2"},
    }
    arms = tuple(
        ArmResult(
            arm,
            Course(3e-3, 20),
            {Course(1e-3, 20): math.inf, Course(3e-3, 20): 4.0, Course(6e-3, 20): 4.5},
            {seed: finished(losses[arm.name] + seed / 100) for seed in range(3)},
        )
        for arm in parse_arms(list(losses), {})
    )
    reference = Reference("4-gram", "counts", 4.5, 2.0, 100, 1.0, True)
    return Results(arms, ("position",), about, (reference,), TextSize(100, 500, 3, 20, 50.0))


def finished(loss: float) -> FinishedRun:
    curve = ((0, None, 9.0), (10, 5.0, loss + 0.5), (20, 4.0, loss))
    return FinishedRun({}, {}, loss, loss, 20, "finished", 100, 1.5, 1000, curve)


def page_of(folder: Path, made: str, *options: str) -> str:
    done = run_cli(folder, "report", made, *options, "--out", "page.html")
    assert done.returncode == 0, done.stderr
    return (folder / "page.html").read_text()


def words_of(page: str) -> str:
    """What a reader reads."""
    body = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_page_of_a_run_tells_its_course_and_its_command(folder: Path) -> None:
    words = words_of(page_of(folder, "checkpoint.pt"))
    checkpoint = load_checkpoint(folder / "checkpoint.pt")
    assert [report.step for report in checkpoint.history.reports] == [0, 2, 4, 6]
    for report in checkpoint.history.reports:
        assert f"{report.val_loss:.4f}" in words
    assert f"{checkpoint.history.test_loss:.4f} nats a token" in words
    assert checkpoint.corpus_digest in words
    assert "llmattn train --corpus corpus.txt --test-fraction 0.1" in words
    assert "cooccurrence pair" in words
    assert "Scored of the attention 100.0%" in words
    assert "It was best at its last step" in words


def test_what_the_model_wrote_on_the_way_stands_in_the_page(folder: Path) -> None:
    words = words_of(page_of(folder, "checkpoint.pt"))
    samples = load_checkpoint(folder / "checkpoint.pt").history.samples
    assert [step for step, _ in samples] == [0, 2, 4, 6]
    assert all(" ".join(text.split()) in words for _, text in samples)


def test_attention_of_lines_of_its_text_is_shown(folder: Path) -> None:
    read = Reader(page_of(folder, "checkpoint.pt"))
    maps = [found for tag, found in read.elements if tag == "image"]
    assert len(maps) == 9  # of three lines each head, and their mean
    assert all((found["href"] or "").startswith("data:image/png;base64,") for found in maps)


def test_a_log_tells_of_a_run_whose_checkpoint_does_not(folder: Path, tmp_path: Path) -> None:
    checkpoint = attrs.evolve(example_checkpoint(), corpus="", best={"loss": 1.5, "step": 6})
    save_checkpoint(tmp_path / "old.pt", checkpoint)
    words = words_of(page_of(tmp_path, "old.pt", "--log", str(folder / "log.csv")))
    assert f"{load_checkpoint(folder / 'checkpoint.pt').best['loss']:.4f}" in words


def test_the_page_of_a_comparison_warns_before_it_names_a_winner(folder: Path) -> None:
    page = page_of(folder, "comparison")
    words = words_of(page)
    report = json.loads((folder / "comparison" / "result.json").read_text())
    for sentence in (*report["warnings"], *report["conclusions"]):
        assert sentence in words
    late = next(w for w in report["warnings"] if w.startswith("Best at the last step"))
    assert words.index(late) < words.index(report["conclusions"][0])
    assert words.index(late) < words.index("gain over position")
    assert "(undertrained)" in words
    assert report["about"]["command"] in words
    assert report["about"]["text_sha256"] in words
    assert page.count("<polyline") == 3
    assert "$0.2500" in words
    assert "--keep-checkpoints" in words


def test_a_verdict_is_worked_out_from_the_numbers(folder: Path, tmp_path: Path) -> None:
    data = json.loads((folder / "comparison" / "result.json").read_text())
    data["conclusions"], data["warnings"] = ["Buy it."], []
    (tmp_path / "result.json").write_text(json.dumps(data))
    words = words_of(page_of(tmp_path, "."))
    assert "Buy it." not in words
    assert "Best at the last step" in words


def _renamed(value: Any, text: str) -> Any:
    """Every text of a value but those that are checked is another."""
    if isinstance(value, dict):
        return {name: _renamed(each, text) for name, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, text) for each in value]
    return text if isinstance(value, str) else value


def test_nothing_of_a_strangers_comparison_is_markup(folder: Path, tmp_path: Path) -> None:
    text = "".join(HOSTILE)
    data = json.loads((folder / "comparison" / "result.json").read_text())
    about, names = data["about"], [*data["against"], *(a["name"] for a in data["arms"])]
    data["about"] = _renamed({**about, "versions": {text: text}}, text)
    data["about"]["scores"] = dict(zip((text, f"{text}2"), about["scores"].values(), strict=True))
    told = {name: f"{text}{number}" for number, name in enumerate(dict.fromkeys(names))}
    data["against"] = [told[name] for name in data["against"]]
    for arm in data["arms"]:
        arm["arm"] |= {"name": told[arm["name"]], "providers": [text], "options": {text: text}}
        arm["name"] = told[arm["name"]]
    data["references"][0] |= {"name": text, "about": text}
    (tmp_path / "result.json").write_text(json.dumps(data))
    page = comparison_page(tmp_path)
    _check_harmless(page)
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 20


def _check_harmless(page: str) -> None:
    """No element but ours, no handler, and no address but of pictures that the page holds."""
    read = Reader(page)
    for tag, found in read.elements:
        assert tag not in ("img", "b", "i", "iframe", "a", "link", "object")
        assert not any(name.startswith("on") for name in found)
        assert not {"src", "style", "xlink:href"} & found.keys()
        assert (found.get("href") or "data:image/png;base64,").startswith("data:image/png;base64,")
    assert sum(tag == "script" for tag, _ in read.elements) == 1
    assert "\x1b" not in page


def stranger(text: str) -> Checkpoint:
    """A checkpoint that says ``text`` wherever it can."""
    known = example_checkpoint()
    (scored,) = known.scored
    identity = attrs.evolve(
        scored.identity, provider=text, channels=(text, f"{text}2"), details={text: text}
    )
    history = attrs.evolve(known.history, samples=[(0, text)], command=text, versions={text: text})
    words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
    tokenizer = WordTokenizer.train([" ".join(words)])
    return attrs.evolve(
        known,
        scored=(attrs.evolve(scored, identity=identity),),
        model_config=attrs.evolve(known.model_config, channels=(text, f"{text}2")),
        tokenizer=tokenizer,
        corpus=text,
        corpus_digest=text,
        history=history,
    )


def test_nothing_of_a_strangers_checkpoint_is_markup(tmp_path: Path) -> None:
    text = "".join(HOSTILE[:-1])
    save_checkpoint(tmp_path / "m.pt", stranger(text))
    page = run_page(tmp_path / "m.pt", texts=[f"a b c {text}"])
    _check_harmless(page)
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 5
    assert "As a table" in page


def test_a_strangers_file_runs_and_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("llmattn.feeds.trained.reopen_source", lambda *_, **__: asked.append("x"))
    outside = tmp_path / "outside.txt"
    outside.write_text("a secret line of words that nobody shall see\n" * 50)
    inside = tmp_path / "inside"
    inside.mkdir()
    save_checkpoint(inside / "m.pt", attrs.evolve(example_checkpoint(), corpus=str(outside)))
    words = words_of(page_of(inside, "m.pt"))
    assert (asked, "secret" in words) == ([], False)
    assert "name it with --corpus" in words


def test_a_link_in_a_strangers_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    given, mine = tmp_path / "given", tmp_path / "mine.html"
    given.mkdir()
    (given / "result.json").write_bytes((folder / "comparison" / "result.json").read_bytes())
    mine.write_text("")
    (given / "report.html").symlink_to(mine)
    assert run_cli(tmp_path, "report", "given").returncode == 0
    assert (mine.read_text(), (given / "report.html").is_symlink()) == ("", False)


def test_what_is_read_back_is_what_was_written(folder: Path) -> None:
    assert read_results(folder / "comparison").to_dict() == compared().to_dict()


def _without(name: str) -> Callable[[Any], None]:
    return lambda data: data.pop(name)


@pytest.mark.parametrize(
    "change",
    [
        _without("arms"),
        _without("about"),
        lambda data: data.update(arms=[]),
        lambda data: data.update(against=["nobody"]),
        lambda data: data["arms"][0]["arm"].update(shape={"attention": "other"}),
        lambda data: data["arms"][0]["arm"].update(name=3),
        lambda data: data["arms"][0]["runs"].clear(),
        lambda data: data["arms"][0]["runs"]["0"].update(curve=[[0, None, "x"]]),
        lambda data: data["arms"][0].update(lr="1e-3"),
        lambda data: data["about"].update(parts=[{"name": "x"}]),
        lambda data: data["about"].update(command=["x"]),
        lambda data: data["references"][0].update(test_loss=float("inf")),
    ],
)
def test_a_damaged_comparison_is_told_in_one_line(
    folder: Path, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    data = json.loads((folder / "comparison" / "result.json").read_text())
    change(data)
    (tmp_path / "result.json").write_text(json.dumps(data))
    with pytest.raises(
        ResultDamaged, match=r"result\.json is not as llmattn compare wrote it"
    ) as error:
        read_results(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"reports": [[1, 2]]},
        {"samples": [["x", "y"]]},
        {"command": 3},
        {"test_loss": float("nan")},
        {"parts": [{"name": "train"}]},
        {"versions": {"torch": 2}},
    ],
)
def test_a_damaged_history_is_told_in_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    save_checkpoint(tmp_path / "m.pt", example_checkpoint())
    data = torch.load(tmp_path / "m.pt", weights_only=True)
    data["history"] |= change
    torch.save(data, tmp_path / "m.pt")
    with pytest.raises(CheckpointDamaged, match=r"m\.pt is damaged"):
        run_page(tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nothing.pt",), 1, "There is no checkpoint"),
        (("corpus.txt",), 6, "is a text, and no checkpoint"),
        (("checkpoint.pt", "--out", "page.pdf"), 3, "ends in .html"),
        (("checkpoint.pt", "--out", "mine.html"), 3, "left as it is"),
        (("checkpoint.pt", "--log", "corpus.txt"), 6, "no log that llmattn train wrote"),
        (("comparison", "--log", "log.csv"), 3, "of a single run"),
        (("comparison/runs",), 1, "a folder without"),
        (("broken",), 6, "is not as llmattn compare wrote it"),
        ((".",), 1, "a folder without"),
    ],
)
def test_wrong_calls_are_told_what_to_do(
    folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (folder / "mine.html").write_text("<p>mine")
    (folder / "broken").mkdir(exist_ok=True)
    (folder / "broken" / "result.json").write_text("{")
    done = run_cli(folder, "report", *arguments)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_a_model_that_reads_in_context_is_shown_in_a_sentence_that_is_named(
    tmp_path: Path,
) -> None:
    write_corpus(tmp_path)
    context = ("-o", "random.scope=prefix")
    options = ("--provider", "random", *context, "--steps", "2", *SMALL)
    assert run_cli(tmp_path, "train", "corpus.txt", *options).returncode == 0
    words = words_of(page_of(tmp_path, "checkpoint.pt"))
    assert "reads scores in context" in words
    page = page_of(tmp_path, "checkpoint.pt", *context, "--text", "the cat sees the dog")
    assert "<image" in page


def test_a_run_taken_up_again_tells_all_of_its_course(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    steps = ("--eval-every", "2", "--steps")
    options = ("--attention", "position", *SMALL)
    assert run_cli(tmp_path, "train", "corpus.txt", *options, *steps, "4").returncode == 0
    assert run_cli(tmp_path, "train", "--resume", "--steps", "6").returncode == 0
    found = load_checkpoint(tmp_path / "checkpoint.pt").history
    assert [report.step for report in found.reports] == [0, 2, 4, 6]
    assert "--steps 4" in found.command


def test_a_checkpoint_tells_what_was_asked_and_no_key(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    key = "quite-a-secret-word"
    options = ("--provider", "custom", "-o", f"custom.api_key={key}", "--steps", "1", *SMALL)
    with ScoreServer(api_key=key) as server:
        done = run_cli(
            tmp_path,
            *("train", "corpus.txt", *options, "--yes"),
            CUSTOM_BASE_URL=server.url,
            LLM_MODEL="test-model",
        )
    assert done.returncode == 0, done.stderr
    assert key.encode() not in (tmp_path / "checkpoint.pt").read_bytes()
    history = load_checkpoint(tmp_path / "checkpoint.pt").history
    (spent,) = history.spent
    assert (spent.provider, spent.requests > 0, spent.priced) == ("custom", True, False)
    words = words_of(page_of(tmp_path, "checkpoint.pt"))
    assert f"custom {spent.requests:,} {spent.tokens:,} not known" in words
