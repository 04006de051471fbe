"""``llmattn compare`` as a person runs it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from llmattn.comparing.text import first_words
from support_cli import FAILED, Done, run_cli, start_process
from support_engine import write_corpus

TINY = (
    "--n-layer",
    "1",
    "--n-head",
    "2",
    "--n-embd",
    "16",
    "--batch-size",
    "8",
    "--min-count",
    "1",
    "--jobs",
    "1",
)
QUICK = ("--steps", "6", "--eval-every", "3", *TINY)
GRID = ("--lrs", "3e-3,3e-2")


def compare(folder: Path, *options: str) -> Done:
    grid = () if {"--lr", "--lrs"} & {*options} else GRID
    return run_cli(folder, "compare", "corpus.txt", *QUICK, *grid, *options)


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "comparison" / "result.json").read_text())
    return found


def arms(folder: Path) -> dict[str, dict[str, Any]]:
    return {arm["name"]: arm for arm in result(folder)["arms"]}


def kept(folder: Path) -> dict[str, float]:
    """Test loss of each finished run, by its file's name."""
    files = (folder / "comparison" / "runs").glob("*.json")
    return {file.name: json.loads(file.read_text())["test_loss"] for file in files}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison of four arms with three seeds."""
    folder = tmp_path_factory.mktemp("compared")
    write_corpus(folder)
    options = ("--arms", "external,random,position,learned+b", "--provider", "cooccurrence")
    done = compare(folder, *options, "--seeds", "3")
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


def test_conclusions_are_printed_and_follow_from_the_intervals(compared: Path) -> None:
    printed = " ".join((compared / "stdout").read_text().split())
    found = result(compared)
    for sentence in found["conclusions"]:
        assert sentence in printed
    gain = arms(compared)["external"]["gain_over"]["position"]
    clear = abs(gain["mean"]) > gain["half_width"]
    (about,) = [s for s in found["conclusions"] if "external" in s and "over position" in s] or [""]
    assert ("no measurable gain" in about) == (not clear)


def test_every_arm_sees_the_same_tokens_with_as_many_parameters(compared: Path) -> None:
    runs = [run for arm in arms(compared).values() for run in arm["runs"].values()]
    assert len(runs) == 12
    assert len({run["tokens"] for run in runs if run["outcome"] == "finished"}) <= 3  # one a seed
    sizes = [run["parameters"] for run in runs]
    assert max(sizes) <= 1.01 * min(sizes)
    assert {run["settings"]["text_sha256"] for run in runs} == {
        result(compared)["about"]["text_sha256"]
    }


def test_each_arm_takes_the_rate_with_the_best_validation_loss(compared: Path) -> None:
    for arm in arms(compared).values():
        by_rate = {float(rate): loss for rate, loss in arm["validation_loss_by_lr"].items()}
        assert set(by_rate) == {3e-3, 3e-2}
        assert arm["lr"] == min(by_rate, key=lambda rate: by_rate[rate])
        assert {run["settings"]["train"]["lr"] for run in arm["runs"].values()} == {arm["lr"]}


def test_gains_are_paired_by_seed(compared: Path) -> None:
    found = arms(compared)
    losses = [
        {seed: run["test_loss"] for seed, run in found[name]["runs"].items()}
        for name in ("position", "external")
    ]
    differences = [losses[0][seed] - losses[1][seed] for seed in ("0", "1", "2")]
    mean = found["external"]["gain_over"]["position"]["mean"]
    assert mean == pytest.approx(sum(differences) / 3, abs=1e-9)


def test_scores_are_named_by_their_identity(compared: Path) -> None:
    scores = result(compared)["about"]["scores"]
    assert set(scores) == {"external", "random"}
    (identity,) = scores["external"]["identities"]
    assert identity["provider"] == "cooccurrence"
    assert identity["namespace"] in (compared / "comparison" / "report.md").read_text()


def test_report_holds_the_table_and_a_command_that_makes_it_again(compared: Path) -> None:
    report = (compared / "comparison" / "report.md").read_text()
    assert "| position |" in report
    assert "llmattn compare corpus.txt --arms external,random,position,learned+b" in report


def test_pictures_are_drawn(compared: Path) -> None:
    for name in ("curves.png", "intervals.png"):
        assert (compared / "comparison" / name).read_bytes().startswith(b"\x89PNG")


def test_plan_is_told_before_the_first_run(compared: Path) -> None:
    told = (compared / "stderr").read_text()
    before, _, _ = told.partition("[1/16]")
    assert "16 runs of at most 6 steps" in before
    assert "scored now" in before
    assert "left" in told.partition("[1/16]")[2].splitlines()[0]


def test_same_command_makes_no_run_twice(compared: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in (compared / "comparison/runs").iterdir()}
    options = ("--arms", "external,random,position,learned+b", "--provider", "cooccurrence")
    again = compare(compared, *options, "--seeds", "3")
    assert "16 runs kept from before" in again.stderr
    assert files == {p: p.stat().st_mtime_ns for p in (compared / "comparison/runs").iterdir()}
    assert again.stdout == (compared / "stdout").read_text()


def test_more_seeds_or_arms_make_only_what_is_new(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    compare(tmp_path, "--arms", "position", "--lr", "3e-3", "--seeds", "1")
    before = kept(tmp_path)
    compare(tmp_path, "--arms", "position,uniform", "--lr", "3e-3", "--seeds", "2")
    after = kept(tmp_path)
    assert (len(before), len(after)) == (1, 4)
    assert before.items() <= after.items()


def test_runs_of_other_settings_are_not_taken_for_these(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    one = ("--arms", "random", "--lr", "3e-3", "--seeds", "1")
    for change in ((), ("--steps", "7"), ("-o", "random.seed=5"), ("--dropout", "0.1")):
        done = compare(tmp_path, *one, *change)
        assert done.returncode == 0, done.stderr
        assert "kept from before" not in done.stderr
    assert len(kept(tmp_path)) == 4


def test_a_changed_text_makes_every_run_anew(tmp_path: Path) -> None:
    text = write_corpus(tmp_path)
    one = ("--arms", "position", "--lr", "3e-3", "--seeds", "1")
    compare(tmp_path, *one)
    text.write_text(text.read_text().replace("owl", "cow"))
    assert "kept from before" not in compare(tmp_path, *one).stderr


def test_arms_that_are_the_same_share_their_runs(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    both = ("--arms", "random,external:random", "--lr", "3e-3", "--seeds", "2")
    compare(tmp_path, *both)
    assert len(kept(tmp_path)) == 2


def test_a_damaged_run_is_made_anew(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    one = ("--arms", "position", "--lr", "3e-3", "--seeds", "1")
    compare(tmp_path, *one)
    before = kept(tmp_path)
    (path,) = (tmp_path / "comparison" / "runs").iterdir()
    path.write_text(path.read_text()[:100])
    assert "is made anew" in compare(tmp_path, *one).stderr
    assert kept(tmp_path) == before


def interrupt(folder: Path, number: signal.Signals, *options: str) -> str:
    """Start a comparison and stop it, and each of its processes, after its first run; what it said
    last.
    """
    write_corpus(folder)
    command = ("compare", "corpus.txt", *QUICK, *options)
    process = start_process(folder, *command, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[1/"):
            os.killpg(process.pid, number)  # as a terminal does, and a scheduler
            break
    _, told = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "Traceback" not in told
    return told.splitlines()[-1]


def test_interrupted_comparison_keeps_its_runs_and_goes_on(tmp_path: Path) -> None:
    options = ("--arms", "position,uniform", "--lr", "3e-3", "--seeds", "3", "--steps", "30")
    told = interrupt(tmp_path, signal.SIGINT, *options)
    assert told.startswith("Interrupted: finished runs are kept in comparison")
    before = kept(tmp_path)
    assert 1 <= len(before) < 6
    done = compare(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert f"{len(before)} run" in done.stderr
    assert before.items() <= kept(tmp_path).items()
    assert len(kept(tmp_path)) == 6


@pytest.mark.parametrize(
    ("number", "jobs"), [(signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGHUP, 2)]
)
def test_another_signal_interrupts_as_a_key_does(
    tmp_path: Path, number: signal.Signals, jobs: int
) -> None:
    options = ("--arms", "position", "--lr", "3e-3", "--seeds", "9", "--steps", "90")
    told = interrupt(tmp_path, number, *options, "--jobs", str(jobs))
    assert told.startswith("Interrupted: finished runs are kept in comparison")
    assert 1 <= len(kept(tmp_path)) < 9


def test_processes_whose_parent_was_killed_end_without_a_word(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = ("--arms", "position,uniform", "--seeds", "2", "--steps", "30", "--jobs", "2")
    process = start_process(tmp_path, "compare", "corpus.txt", *QUICK, *GRID, *options)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[1/"):  # both have their next run
            process.kill()
            break
    _, told = process.communicate(timeout=120)  # they hold stderr open until they end
    assert process.returncode == -signal.SIGKILL
    assert [line for line in told.splitlines() if not line.startswith("[")] == []


def test_processes_side_by_side_reach_the_same_losses(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = ("--arms", "random,position", "--lr", "3e-3", "--seeds", "2")
    compare(tmp_path, *options)
    alone = kept(tmp_path)
    (tmp_path / "comparison").rename(tmp_path / "alone")
    done = compare(tmp_path, *options, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert kept(tmp_path) == pytest.approx(alone, abs=1e-5)


def test_a_file_under_another_runs_name_is_not_that_run(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    compare(tmp_path, "--arms", "position", "--lr", "3e-3", "--seeds", "2")
    first, second = (tmp_path / "comparison" / "runs").iterdir()
    before = kept(tmp_path)
    second.write_text(first.read_text())
    compare(tmp_path, "--arms", "position", "--lr", "3e-3", "--seeds", "2")
    assert kept(tmp_path) == before


def test_a_distance_bias_in_each_layer_is_a_baseline_where_it_is_compared(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = ("--lr", "3e-3", "--seeds", "1", "--arms")
    done = compare(tmp_path, *options, "external:cooccurrence/per-layer,position")
    assert "Beware: A distance bias of its own in each layer" in done.stdout
    arm = "external:cooccurrence/per-layer"
    done = compare(tmp_path, *options, f"{arm},position,position/per-layer")
    assert "Beware: A distance bias" not in done.stdout
    gains = arms(tmp_path)[arm]["gain_over"]
    assert list(gains) == ["position", "position/per-layer"]


@pytest.mark.parametrize("seeds", ["1", "2"])
def test_one_or_two_seeds_prove_nothing(tmp_path: Path, seeds: str) -> None:
    write_corpus(tmp_path)
    done = compare(tmp_path, "--arms", "position,uniform", "--lr", "3e-3", "--seeds", seeds)
    assert "no interval can be trusted" in done.stdout
    assert "±" not in done.stdout
    assert "better than" not in done.stdout


def test_a_rate_that_diverges_is_not_chosen_and_ends_nothing(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = compare(tmp_path, "--arms", "position", "--lrs", "3e-3,1e30", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    assert "diverged" in done.stderr
    (arm,) = result(tmp_path)["arms"]
    assert arm["lr"] == 3e-3
    assert arm["validation_loss_by_lr"]["1e+30"] is None


def test_arms_of_a_file_use_one_provider_in_two_ways(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    (tmp_path / "arms.toml").write_text(
        'seeds = 1\nlr = 0.003\n[arms.near]\nprovider = "cooccurrence"\noptions = {window = 2}\n'
        '[arms.far]\nlike = "near"\noptions = {window = 9}\nn_head = 4\n'
    )
    done = compare(tmp_path, "--config", "arms.toml")
    assert done.returncode == 0, done.stderr
    assert list(arms(tmp_path)) == ["position", "learned+b", "near", "far"]
    scores = result(tmp_path)["about"]["scores"]
    windows = [scores[name]["identities"][0]["details"]["window"] for name in ("near", "far")]
    assert windows == [2, 9]


def test_a_grid_in_the_command_counts_for_more_than_a_rate_in_the_file(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    (tmp_path / "rate.toml").write_text("lr = 1e-4\n")
    options = ("--config", "rate.toml", "--arms", "position,uniform", "--seeds", "1")
    done = compare(tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert arms(tmp_path)["position"]["lr"] in (3e-3, 3e-2)


def test_json_goes_to_stdout_alone(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = compare(tmp_path, "--arms", "position", "--lr", "3e-3", "--seeds", "1", "--json")
    assert json.loads(done.stdout) == result(tmp_path)


def test_first_words_of_a_text_are_a_text_of_their_own(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    one = ("--arms", "position", "--lr", "3e-3", "--seeds", "1")
    assert compare(tmp_path, *one, "--limit-words", "200").returncode == 0
    about = result(tmp_path)["about"]
    words = Path(tmp_path / about["text"]).read_text().replace(".", " .").split()
    assert 200 <= len(words) < 210
    too_many = compare(tmp_path, *one, "--limit-words", "9999")
    assert "corpus.txt has 720 words" in too_many.stderr


def test_first_words_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes("我们是程序员。\r".encode() * 40)
    found = first_words(tmp_path / "text.txt", 20, tmp_path / "out")
    assert found.read_text(encoding="utf-8") == "我们是程序员。\n" * 3


def test_a_comparison_is_not_made_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "corpus.txt")
    done = compare(tmp_path, "--arms", "position", "--lr", "3e-3")
    assert done.returncode in FAILED
    assert "corpus.txt is a pipe, which can be read once" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--arms", "magic"), "There is no arm 'magic'"),
        (("--arms", "position", "--against", "learned"), "--against learned: there is no such arm"),
        (("--arms", "position", "--seeds", "0"), "--seeds must be at least 1"),
        (("--arms", "position", "--lrs", "a,b"), "--lrs a,b: write learning rates"),
        (("--arms", "position", "--lrs", "-1"), "--lrs takes different learning rates above 0"),
        (("--arms", "position", "--n-head", "3"), "cannot be shared out evenly"),
        (("--arms", "position", "--test-fraction", "0"), "--test-fraction"),
        (("--arms", "random/shuffled"), "there is nothing to shuffle"),
        (("--arms", "random/averaged"), "there is nothing to average"),
        (("--arms", "random", "-o", "openai.x=1"), "which is not in use"),
        (("--arms", "external:cooccurrence", "-o", "window=1"), "names no provider"),
        (("--arms", "position", "--lr", "1e-3", "--lrs", "2e-3,4e-3"), "leave one of them out"),
        (("--arms", "random", "--cache", "memory", "--jobs", "2"), "--cache memory belongs to one"),
        (("--arms", "random", "--out", "corpus.txt"), "cannot be made, as there is a file"),
        (("--arms", "external:nobody"), "No provider is called 'nobody'"),
    ],
)
def test_wrong_input_gets_one_clear_line_and_a_failure(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    write_corpus(tmp_path)
    done = compare(tmp_path, *options)
    assert done.returncode in FAILED, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert "fault in llmattn" not in done.stderr


NO_SCORES = "position,uniform"
OWN_SCORES = "external:cooccurrence,random"


@pytest.mark.parametrize(
    ("arms", "option"),
    [
        (NO_SCORES, ("--provider", "openai")),
        (NO_SCORES, ("--model", "nonsense")),
        (NO_SCORES, ("--option", "random.seed=3")),
        (NO_SCORES, ("--scope", "prefix")),
        (NO_SCORES, ("--cache", "memory")),
        (NO_SCORES, ("--score-transform", "log")),
        (NO_SCORES, ("--context-words", "5")),
        (NO_SCORES, ("--coverage", "0.5")),
        (NO_SCORES, ("--max-cost", "1")),
        (OWN_SCORES, ("--provider", "openai")),
        (OWN_SCORES, ("--model", "nonsense")),
        (OWN_SCORES, ("--scope", "prefix")),
    ],
)
def test_an_option_that_no_arm_reads_is_refused(
    tmp_path: Path, arms: str, option: tuple[str, str]
) -> None:
    write_corpus(tmp_path)
    done = compare(tmp_path, "--arms", arms, *option)
    assert done.returncode in FAILED, done.stderr
    assert f"error: {option[0]} is for" in done.stderr
    assert not (tmp_path / "comparison").exists()


def test_what_an_arm_of_a_file_says_itself_is_not_asked_for_again(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    (tmp_path / "arms.toml").write_text(
        '[arms.mine]\nlike = "external"\nmodel = "own"\nscore-transform = "log"\n'
        "context-words = 3\n"
    )
    for option in (("--model", "m"), ("--score-transform", "log"), ("--context-words", "5")):
        done = compare(tmp_path, "--config", "arms.toml", *option)
        assert f"error: {option[0]} is for" in done.stderr


@pytest.mark.parametrize("own", ["channels", "random.channels"])
@pytest.mark.parametrize(
    "option",
    [("--channels", "3"), ("--option", "channels=3"), ("--option", "random.channels=3")],
)
def test_a_setting_that_every_arm_states_again_is_refused(
    tmp_path: Path, own: str, option: tuple[str, str]
) -> None:
    write_corpus(tmp_path)
    (tmp_path / "arms.toml").write_text(f'[arms.a]\nlike = "external"\noptions = {{"{own}" = 2}}\n')
    given = ("--config", "arms.toml", "--provider", "random", *option)
    done = compare(tmp_path, *given, "--arms", "a,position")
    assert f"error: {option[0]} is for" in done.stderr
    done = compare(tmp_path, *given, "--arms", "a,external", "--lr", "3e-3", "--seeds", "1")
    assert done.returncode == 0, done.stderr


def test_a_file_for_more_arms_than_are_typed_may_say_more(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    text = 'provider = ["random"]\nlr = 3e-3\nseeds = 1\n'
    (tmp_path / "all.toml").write_text(text)
    done = run_cli(
        tmp_path, "compare", "corpus.txt", *QUICK, "--config", "all.toml", "--arms", "position"
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "all.toml").write_text(f'arms = "position"\n{text}')
    done = run_cli(tmp_path, "compare", "corpus.txt", *QUICK, "--config", "all.toml")
    assert "error: --provider is for" in done.stderr


def test_a_printed_configuration_makes_the_same_comparison(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = ("--arms", "position,uniform", "--lr", "3e-3", "--seeds", "1")
    compare(tmp_path, *options)
    printed = compare(tmp_path, *options, "--print-config").stdout
    (tmp_path / "printed.toml").write_text(printed)
    done = run_cli(tmp_path, "compare", "corpus.txt", "--config", "printed.toml")
    assert "2 runs kept from before" in done.stderr, done.stderr


def test_nothing_is_written_through_links_in_a_folder_that_was_passed_on(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = ("--arms", "position,uniform", "--lr", "1e-2", "--seeds", "1", "--limit-words", "50")
    assert compare(tmp_path, *options).returncode == 0
    folder = tmp_path / "comparison"
    planted = [path for path in folder.iterdir() if path.is_file()]
    assert {path.suffix for path in planted} == {".json", ".md", ".png", ".txt"}
    for path in planted:
        path.unlink()
        (tmp_path / path.name).write_text("mine")
        path.symlink_to(tmp_path / path.name)
    assert compare(tmp_path, *options).returncode == 0
    assert {(tmp_path / path.name).read_text() for path in planted} == {"mine"}
    assert not [path for path in planted if path.is_symlink()]


def test_a_pipe_in_the_place_of_a_run_is_made_anew(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = ("--arms", "position,uniform", "--lr", "1e-2", "--seeds", "1")
    assert compare(tmp_path, *options).returncode == 0
    run = next((tmp_path / "comparison" / "runs").iterdir())
    run.unlink()
    os.mkfifo(run)
    again = compare(tmp_path, *options)
    assert again.returncode == 0
    assert "a pipe or a device, not a file" in again.stderr
    assert run.is_file()
