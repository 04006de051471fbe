"""``llmattn show`` as a person runs it."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_cli import FAILED, Done, run_cli, run_process
from support_engine import SMALL, write_corpus

SHAPES = {
    "shared": ("--provider", "random", "--provider", "cooccurrence"),
    "layers": ("--provider", "random", "--per-layer", "--n-layer", "2"),
    "texts": ("--provider", "random", "-o", "random.scope=prefix"),
    "pieces": (
        *("--provider", "random", "-o", "random.scope=prefix", "--provider", "cooccurrence"),
        *("--tokenizer", "bpe", "--vocab-size", "512", "--stream"),
    ),
    "learned": ("--attention", "learned"),
    "uniform": ("--attention", "uniform"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of short runs, one a shape."""
    folder = tmp_path_factory.mktemp("show")
    write_corpus(folder)
    for name, options in SHAPES.items():
        common = ("--corpus", "corpus.txt", "--steps", "5", "--block-size", "8", *SMALL)
        done = run_cli(folder, "train", *common, *options, "--out", f"{name}.pt")
        assert done.returncode == 0, done.stderr
    return folder


def needed(name: str) -> tuple[str, ...]:
    """The options without which a checkpoint's scores in context are others."""
    return ("-o", "random.scope=prefix") if name in ("texts.pt", "pieces.pt") else ()


def shown(folder: Path, *arguments: str) -> Any:
    done = run_cli(folder, "show", *arguments, *needed(arguments[0]), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def refusal(folder: Path, *arguments: str) -> str:
    done = run_cli(folder, "show", *arguments)
    assert done.returncode in FAILED
    return done.stderr


@pytest.mark.parametrize("name", ["shared", "layers", "texts", "pieces", "learned"])
def test_heads_are_measured_between_certain_and_uniform(folder: Path, name: str) -> None:
    data = shown(folder, f"{name}.pt")
    assert data["measured_tokens"] > 20
    assert data["heads"]
    for head in data["heads"]:
        assert 0 < head["entropy"] <= data["uniform_entropy"] + 1e-4
        assert head["looks_back"] > 0


def test_uniform_attention_has_the_entropy_of_looking_everywhere(folder: Path) -> None:
    data = shown(folder, "uniform.pt")
    for head in data["heads"]:
        assert head["entropy"] == pytest.approx(data["uniform_entropy"], abs=1e-4)


def test_a_head_tells_its_scale_of_each_channel_and_its_distances(folder: Path) -> None:
    data = shown(folder, "shared.pt")
    assert [(head["layer"], head["head"]) for head in data["heads"]] == [(None, 1), (None, 2)]
    for head in data["heads"]:
        assert list(head["tau"]) == ["random.random", "cooccurrence.cooccurrence"]
        assert all(value >= 0 for value in head["moves_logits_by"].values())
        assert len(head["distance_bias"]) == 8


def test_layers_of_their_own_are_told_apart(folder: Path) -> None:
    data = shown(folder, "layers.pt")
    places = [(head["layer"], head["head"]) for head in data["heads"]]
    assert places == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert data["heads"][0]["tau"] != data["heads"][2]["tau"]


@pytest.mark.parametrize("name", ["shared", "texts", "pieces", "learned"])
def test_a_text_is_shown_with_weights_that_sum_to_1(folder: Path, name: str) -> None:
    data = shown(folder, f"{name}.pt", "--text", "The cat sees the dog.")
    assert "".join(data["tokens"]) == "\nThe cat sees the dog."
    count = len(data["tokens"])
    for head in data["weights"]:
        assert [len(row) for row in head["rows"]] == list(range(1, count + 1))
        assert all(math.isclose(sum(row), 1, abs_tol=1e-4) for row in head["rows"])


def test_a_text_longer_than_the_window_is_cut_and_told(folder: Path) -> None:
    done = run_cli(
        folder, "show", "shared.pt", "--text", "the cat sees the dog and the owl sees it"
    )
    assert "looks at 8 tokens at once: the last 3" in done.stderr


def test_unknown_words_and_unscored_pairs_are_told(folder: Path) -> None:
    done = run_cli(folder, "show", "shared.pt", "--text", "the zebra hears night at cat")
    assert "read as <unk>: zebra" in done.stderr
    assert "were never scored" in done.stderr


@pytest.mark.parametrize("scope", ["pair", "prefix"])
def test_scores_of_a_provider_are_those_of_its_cache(folder: Path, scope: str) -> None:
    options = ("-p", "random", "-o", f"random.scope={scope}", "--text", "the cat sees the dog")
    data = shown(folder, *options)
    (rows,) = data["channels"].values()
    words = [token.strip() for token in data["tokens"]]
    assert words[-5:] == ["the", "cat", "sees", "the", "dog"]
    known = [value for row in rows for value in row if value is not None]
    assert len(known) >= 15
    assert all(0 <= value <= 1 for value in known)
    assert shown(folder, *options) == data
    if scope == "pair":
        assert rows[3][0] == rows[3][3]  # one word, one score


def test_a_provider_that_counts_reads_the_corpus(folder: Path) -> None:
    options = ("-p", "cooccurrence", "--text", "the hen at night")
    assert "name the text" in refusal(folder, *options)
    data = shown(folder, *options, "--corpus", "corpus.txt")
    assert any(value > 0 for row in data["channels"]["cooccurrence"] for value in row)


@pytest.mark.parametrize(
    "arguments",
    [
        ("shared.pt",),
        ("layers.pt",),
        ("texts.pt",),
        ("learned.pt",),
        ("learned.pt", "--text", "the cat sees the dog"),
        ("shared.pt", "--text", "a $\\frac{1}{ sign, _ 漢字 \x07 and <eol>"),
        ("-p", "random", "--text", "the cat sees the dog " * 20),
    ],
    ids=lambda arguments: " ".join(arguments)[:20],
)
def test_out_draws_a_picture(folder: Path, arguments: tuple[str, ...]) -> None:
    out = folder / "picture.png"
    done = run_cli(folder, "show", *arguments, *needed(arguments[0]), "--out", str(out))
    assert done.returncode == 0, done.stderr
    width, height = png_size(out)
    assert width > 300
    assert height > 200
    out.unlink()


@pytest.fixture
def without_corpus(folder: Path) -> Iterator[None]:
    (folder / "corpus.txt").rename(folder / "moved.txt")
    yield
    (folder / "moved.txt").rename(folder / "corpus.txt")


@pytest.mark.usefixtures("without_corpus")
def test_without_the_corpus_what_was_learned_is_still_shown(folder: Path) -> None:
    done = run_cli(folder, "show", "shared.pt", "--json")
    assert done.returncode == 0
    assert "nothing is measured" in done.stderr
    data = json.loads(done.stdout)
    assert "entropy" not in data["heads"][0]
    assert data["heads"][0]["tau"]
    assert shown(folder, "shared.pt", "--corpus", "moved.txt")["measured_tokens"] > 20


def written_page(folder: Path, *arguments: str) -> Any:
    """What the page that ``show`` writes holds for its script."""
    out = folder / "page.html"
    done = run_cli(folder, "show", *arguments, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    page = out.read_text("utf-8")
    out.unlink()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(data)


def test_a_page_holds_every_head(folder: Path) -> None:
    data = written_page(folder, "layers.pt", "--text", "the cat sees the dog")
    (source,) = data["sources"]
    assert source["name"] == "layers.pt"
    names = [each["name"] for each in source["maps"]]
    assert names == [f"layer {layer}, head {head}" for layer in (1, 2) for head in (1, 2)]
    assert data["labels"] == ["⏎", "the", "cat", "sees", "the", "dog"]


def test_providers_of_both_scopes_stand_on_the_same_tokens(folder: Path) -> None:
    options = ("-p", "random", "-o", "random.scope=prefix", "-p", "cooccurrence")
    text = ("--corpus", "corpus.txt", "--text", "the cat sees the dog")
    data = written_page(folder, *options, *text)
    assert [source["name"] for source in data["sources"]] == ["random", "cooccurrence"]
    shown_both = shown(folder, *options, *text)
    alone = shown(folder, "-p", "cooccurrence", *text)["channels"]["cooccurrence"]
    rows = shown_both["sources"][1]["channels"]["cooccurrence"]
    assert rows[0] == [None]  # the line end is no word
    assert [row[1:] for row in rows[1:]] == alone


@pytest.mark.parametrize("name", ["shared", "pieces"])
def test_a_provider_stands_beside_a_model_on_its_tokens(folder: Path, name: str) -> None:
    text = ("--text", "the cat sees the dog", "--corpus", "corpus.txt")
    beside = (*needed(f"{name}.pt"), "-p", "cooccurrence", *text)
    data = shown(folder, f"{name}.pt", *beside) if name == "shared" else None
    data = data or json.loads(run_cli(folder, "show", f"{name}.pt", *beside, "--json").stdout)
    model, provider = data["sources"]
    assert model["checkpoint"] == f"{name}.pt"
    rows = provider["channels"]["cooccurrence"]
    assert len(rows) == len(data["tokens"])
    pair = next(n for n, token in enumerate(data["tokens"]) if token.strip() == "cat")
    assert any(value is not None for value in rows[pair][:-1])


def test_a_page_needs_a_text(folder: Path) -> None:
    assert "give one with --text" in refusal(folder, "shared.pt", "--out", "page.html")
    assert "must be one of linear" in refusal(
        folder, "-p", "random", "--text", "a b", "--scale", "loud"
    )


@pytest.mark.parametrize("scale", ["linear", "sqrt", "log", "rank"])
def test_a_picture_is_drawn_on_each_scale(folder: Path, scale: str) -> None:
    text = ("--text", "the cat sees the dog", "--scale", scale)
    done = run_cli(folder, "show", "-p", "random", *text, "--out", "scale.png")
    assert done.returncode == 0, done.stderr
    assert png_size(folder / "scale.png") > (300, 200)


COLOURS = {"NO_COLOR": "", "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "100"}


def test_a_short_text_is_a_heat_map_where_there_are_colours(folder: Path) -> None:
    text = ("show", "-p", "random", "--text", "the cat sees the dog")
    coloured = run_cli(folder, *text, **COLOURS).stdout
    assert re.search(r"\x1b\[48;\S+m  \x1b\[0m sees", coloured), coloured
    for environ in ({}, {**COLOURS, "NO_COLOR": "1"}):
        assert "\x1b[48" not in run_cli(folder, *text, **environ).stdout
    long = (*text[:-1], "the cat sees the dog " * 20)
    assert "\x1b[48" not in run_cli(folder, *long, **COLOURS).stdout


def test_words_of_a_text_colour_no_terminal(folder: Path) -> None:
    text = ("show", "-p", "random", "--text", "a \x1b[41mred [bold]b[/bold]")
    shown_there = run_cli(folder, *text, **COLOURS).stdout
    assert "\x1b[41m" not in shown_there


def test_wrong_calls_are_told_what_to_do(folder: Path) -> None:
    assert "Name a checkpoint" in refusal(folder)
    assert "give one with --text" in refusal(folder, "shared.pt", "-p", "random")
    assert "--text" in refusal(folder, "-p", "random")
    assert "no token" in refusal(folder, "shared.pt", "--text", "  ")
    assert "--text is no text in UTF-8" in refusal(folder, "-p", "random", "--text", "\udcff")
    wrong = refusal(folder, "-p", "random", "--text", "a b", "--channel", "colour")
    assert "no channel 'colour'; choose among: random" in wrong
    assert "No picture can be written" in refusal(
        folder, "shared.pt", "--out", "missing/picture.png"
    )


def without_matplotlib(folder: Path, *arguments: str) -> Done:
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['matplotlib.figure'] = None\n"
        "from llmattn.cli.main import main; main(sys.argv[1:])"
    )
    return run_process(folder, *arguments, program=("-c", code))


def test_without_matplotlib_tables_work_and_pictures_tell_what_to_install(folder: Path) -> None:
    assert "entropy" in without_matplotlib(folder, "show", "shared.pt").stdout
    drawn = without_matplotlib(folder, "show", "shared.pt", "--out", "picture.png")
    assert "pip install 'llmattn-core[plot]'" in drawn.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("show", "-p", "none", "--text", "a b", "--out", "picture.png"),
        ("plan", "own.txt", "--plot", "picture.png"),
    ],
)
def test_that_a_picture_cannot_be_drawn_is_told_before_any_work(
    folder: Path, command: tuple[str, ...]
) -> None:
    (folder / "own.txt").write_text("a b\n" * 20)
    assert "Drawing needs matplotlib" in without_matplotlib(folder, *command).stderr
