"""Options of settings classes: their bounds, the commands made of them, and configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from llmattn.comparing.config import Experiment
from llmattn.data.config import TextConfig
from llmattn.errors import ConfigError
from llmattn.options import comma_separated, option, options_of
from llmattn.scoring.options import ScoreChoice, ScoringOptions
from support_cli import run_cli
from support_engine import SMALL, write_corpus


@pytest.mark.parametrize(
    ("cls", "change", "message"),
    [
        (ScoringOptions, {"max_cost": -1.0}, "--max-cost must be 0 or more, not -1"),
        (ScoringOptions, {"max_cost": float("nan")}, "--max-cost must be 0 or more, not nan"),
        (ScoringOptions, {"rpm": 0.0}, "--rpm must be above 0, not 0"),
        (ScoringOptions, {"max_degenerate": 1.5}, "--max-degenerate must be between 0 and 1, not"),
        (ScoreChoice, {"coverage": 0.0}, "--coverage must be above 0 and at most 1, not 0"),
        (ScoreChoice, {"context_words": -1}, "--context-words must be 0 or more, not -1"),
        (ScoreChoice, {"options": ["nonsense"]}, "-o nonsense: write it as NAME.KEY=VALUE"),
        (TextConfig, {"test_fraction": 1.0}, "--test-fraction must be at least 0 and below 1, not"),
        (Experiment, {"lrs": "1e-3,x"}, "--lrs 1e-3,x: write learning rates"),
        (Experiment, {"lrs": "1e-3,nan"}, "--lrs takes different learning rates above 0"),
    ],
)
def test_a_value_out_of_bounds_names_the_option(
    cls: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message.replace("+", r"\+")):
        cls(**change)


def test_none_leaves_a_bounded_option_to_the_code() -> None:
    assert ScoringOptions(max_cost=None, rpm=None).max_cost is None


def test_an_option_has_the_name_of_its_field_or_one_of_its_own() -> None:
    @frozen
    class Settings:
        some_words: int = option(1, help="First.")
        names: tuple[str, ...] = option((), help="Second.", name="name", converter=comma_separated)
        hidden: int = 3

    flags = {field.name: said.flag for field, said in options_of(Settings)}
    assert flags == {"some_words": "--some-words", "names": "--name"}


def test_choices_of_scores_are_equal_and_found_again_by_what_they_say() -> None:
    one, two = (ScoreChoice(options={"seed": "3"}, method="copy") for _ in range(2))
    assert {one: "found"}[two] == "found"
    assert one != ScoreChoice(options={"seed": "4"}, method="copy")
    assert one.settings == {"seed": "3", "method": "copy"}


@pytest.mark.parametrize("where", ["command", "file"])
def test_a_wrong_value_is_told_alike_wherever_it_stands(tmp_path: Path, where: str) -> None:
    write_corpus(tmp_path)
    (tmp_path / "wrong.toml").write_text("rpm = 0.0\n")
    wrong = ("--rpm", "0") if where == "command" else ("--config", "wrong.toml")
    done = run_cli(tmp_path, "train", "--corpus", "corpus.txt", *wrong)
    assert done.returncode == 3
    assert done.stderr.startswith("error: --rpm must be above 0, not 0")


def test_a_table_where_a_value_belongs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("[provider]\nname = 'random'\n")
    done = run_cli(tmp_path, "train", "--config", "wrong.toml")
    assert "wrong.toml: provider = " in done.stderr


ARMS = """
provider = ["random"]
[arms.plain]
like = "external"
[arms."two/heads"]
like = "external"
n-head = 2
options = {"random.channels" = 2, openai = {api_key = "sk-secret"}}
"""


def test_a_printed_configuration_has_the_arms_of_its_file_without_their_keys(
    tmp_path: Path,
) -> None:
    write_corpus(tmp_path)
    (tmp_path / "arms.toml").write_text(ARMS)
    given = ("compare", "corpus.txt", "--print-config", "--config")
    printed = run_cli(tmp_path, *given, "arms.toml")
    assert "sk-secret" not in printed.stdout + printed.stderr
    assert "-o openai.api_key is left out" in printed.stderr
    assert '[arms."two/heads"]\nlike = "external"\nn-head = 2\n' in printed.stdout
    (tmp_path / "printed.toml").write_text(printed.stdout)
    assert run_cli(tmp_path, *given, "printed.toml").stdout == printed.stdout


def test_arms_that_are_chosen_leave_the_tables_out_of_a_printed_configuration(
    tmp_path: Path,
) -> None:
    write_corpus(tmp_path)
    (tmp_path / "arms.toml").write_text(ARMS)
    options = ("--config", "arms.toml", "--arms", "plain,position", "--print-config")
    printed = run_cli(tmp_path, "compare", "corpus.txt", *options)
    assert 'arms = "plain,position"' in printed.stdout
    assert "[arms" not in printed.stdout
    assert "[arms.NAME] is left out" in printed.stderr


def test_train_takes_its_text_without_the_name_of_the_option(tmp_path: Path) -> None:
    write_corpus(tmp_path).rename(tmp_path / "own.txt")
    printed = run_cli(tmp_path, "train", "own.txt", "--print-config")
    assert 'corpus = "own.txt"' in printed.stdout
    short = ("--attention", "position", "--steps", "1", *SMALL)
    assert run_cli(tmp_path, "train", "own.txt", *short).returncode == 0
    both = run_cli(tmp_path, "train", "own.txt", "--corpus", "other.txt")
    assert both.stderr == "error: own.txt and --corpus other.txt: name one of them.\n"
    (tmp_path / "run.toml").write_text('corpus = "other.txt"\n')
    wins = run_cli(tmp_path, "train", "own.txt", "--config", "run.toml", "--print-config")
    assert 'corpus = "own.txt"' in wins.stdout


def test_a_setting_of_a_provider_that_a_checkpoint_does_not_know_is_refused(
    tmp_path: Path,
) -> None:
    write_corpus(tmp_path)
    small = ("--provider", "random", "--steps", "1", *SMALL)
    assert run_cli(tmp_path, "train", "corpus.txt", *small).returncode == 0
    for command in (("sample", "--prompt", "the"), ("eval", "checkpoint.pt", "corpus.txt")):
        done = run_cli(tmp_path, *command, "-o", "openai.timeout=5")
        assert done.returncode == 3
        assert "'openai.timeout' is for 'openai', which is not in use" in done.stderr


@pytest.mark.parametrize("command", ["plan", "score"])
def test_what_is_for_scores_in_context_is_refused_for_those_of_pairs(
    tmp_path: Path, command: str
) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, command, "corpus.txt", "-p", "random", "--context-words", "3")
    assert done.returncode == 3
    assert "--context-words are for scores in context" in done.stderr
