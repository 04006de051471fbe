"""``llmattn train`` as a person runs it."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest
from llmattn.training.checkpoint import load_checkpoint
from support_cli import FAILED, run_cli, run_process, start_process
from support_engine import SMALL, write_corpus

QUICK = ("train", "--corpus", "corpus.txt", "--eval-every", "5", *SMALL)


def rows(text: str) -> list[tuple[str, ...]]:
    """Step, training and validation loss of each evaluation printed."""
    fields = [line.split() for line in text.splitlines()]
    return [tuple(f[:3]) for f in fields if f and f[0].isdigit() and int(f[0]) > 0]


def test_first_run_scores_trains_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, *QUICK, "--steps", "10", "--provider", "cooccurrence")
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in rows(done.stdout)] == ["5", "10"]
    assert "parameters" in done.stdout
    assert "Best validation loss" in done.stdout
    assert "scored now" in done.stderr
    assert load_checkpoint(tmp_path / "checkpoint.pt").last["step"] == 10


def test_second_run_scores_nothing_anew(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    command = (*QUICK, "--steps", "1", "--provider", "random")
    run_cli(tmp_path, *command)
    assert ", 0 scored now" in run_cli(tmp_path, *command).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_run_resumes_with_the_losses_of_an_unbroken_one(
    tmp_path: Path, number: signal.Signals
) -> None:
    write_corpus(tmp_path)
    command = (*QUICK, "--provider", "random", "--dropout", "0.2", "--steps", "150")
    whole = run_cli(tmp_path, *command, "--out", "whole.pt")
    process = start_process(tmp_path, *command, "--out", "broken.pt")
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.split()[:1] == ["10"]:
            process.send_signal(number)
            break
    rest, notices = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "--resume --out broken.pt" in notices
    assert not list(tmp_path.glob("*.tmp"))
    before = rows("".join(printed) + rest)
    assert len(before) < len(rows(whole.stdout)), "it ended before it was interrupted"
    resumed = run_cli(tmp_path, "train", "--resume", "--out", "broken.pt")
    assert resumed.returncode == 0, resumed.stderr
    assert before + rows(resumed.stdout) == rows(whole.stdout)


def test_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    # One step that takes long: the first signal waits for its end, the second does not.
    slow = ("--batch-size", "90", "--grad-accum", "100000", "--attention", "uniform")
    process = start_process(tmp_path, *QUICK, *slow)
    assert process.stdout is not None
    assert process.stderr is not None
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    for line in process.stdout:
        if line.split()[:1] == ["0"]:
            break
    process.send_signal(signal.SIGINT)
    assert "once more" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    watchdog.cancel()
    assert process.returncode == 130
    assert not (tmp_path / "checkpoint.pt").exists()


def test_finished_run_goes_on_with_more_steps(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    run_cli(tmp_path, *QUICK, "--steps", "5", "--attention", "position")
    done = run_cli(tmp_path, "train", "--resume", "--steps", "15")
    assert [row[0] for row in rows(done.stdout)] == ["10", "15"]
    assert "now ends at step 15" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--n-layer", "3"), "--n-layer 3 contradicts"),
        (("--lr", "0.5"), "--lr 0.5 contradicts"),
        (("--provider", "random"), "--provider random contradicts"),
        (("--block-size", "128"), "--block-size 128 contradicts"),
        (("--steps", "2"), "--steps 2 is less than"),
        (("--match-params",), "--match-params True contradicts"),
        (("--model", "m"), "--model m contradicts"),
        (("-o", "random.seed=3"), "--option cannot be used with --resume"),
        (("--max-cost", "1"), "--max-cost cannot be used with --resume"),
        (("--device", "cuda:77"), "no device 'cuda:77'"),
    ],
)
def test_resuming_refuses_what_contradicts_the_checkpoint(
    checkpoint: Path, options: tuple[str, ...], message: str
) -> None:
    done = run_cli(checkpoint.parent, "train", "--resume", *options)
    assert done.returncode in FAILED
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run of five steps without scores."""
    folder = tmp_path_factory.mktemp("run")
    write_corpus(folder)
    done = run_cli(folder, *QUICK, "--steps", "5", "--attention", "position")
    assert done.returncode == 0, done.stderr
    return folder / "checkpoint.pt"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--corpus", "none.txt"), "There is no corpus at none.txt"),
        (("--attention", "magic"), "--attention must be one of"),
        (("--n-head", "3"), "--n-embd 16 cannot be shared out"),
        (("--val-fraction", "0.001"), "too few"),
        (("--min-count", "1000"), "lower --min-count"),
        (("--tokenizer", "bytes"), "No tokenizer is called 'bytes'"),
        (("--device", "tpu"), "There is no device 'tpu'"),
        (("--out", "no/such/folder.pt"), "No checkpoint can be written"),
        (("--provider", "nobody"), "No provider is called 'nobody'"),
        (("-o", "nonsense"), "write it as NAME.KEY=VALUE"),
        (("--attention", "position", "--model", "m"), "--model is for external scores"),
        (("--attention", "learned", "--max-cost", "1"), "--attention learned reads none"),
        (("--max-time", "0"), "--max-time must be above 0"),
        (("--threads", "0"), "--threads must be at least 1"),
        (("--resume", "--out", "none.pt"), "There is no checkpoint at none.pt"),
    ],
)
def test_wrong_input_gets_one_clear_line_and_a_failure(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, *QUICK, "--steps", "1", *options)
    assert done.returncode in FAILED
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_unwritable_place_is_found_before_anything_is_scored(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    run_cli(tmp_path, *QUICK, "--provider", "random", "--out", "no/folder/here.pt")
    assert not (tmp_path / "scores").exists()


def test_two_providers_give_the_model_two_channels(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    both = ("--provider", "random", "--provider", "cooccurrence", "--steps", "5")
    done = run_cli(tmp_path, *QUICK, *both)
    assert done.returncode == 0, done.stderr
    loaded = load_checkpoint(tmp_path / "checkpoint.pt")
    assert loaded.model_config.channels == ("random.random", "cooccurrence.cooccurrence")
    assert loaded.table is not None
    assert loaded.table.absent == (None, 0.0)


def test_help_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = (
        "import sys, runpy; sys.argv = ['llmattn', 'train', '--help']\n"
        "try: runpy.run_module('llmattn', run_name='__main__')\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    done = run_process(tmp_path, program=("-c", code))
    assert "--min-count" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_config_file_sets_options_and_the_command_line_wins(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    (tmp_path / "run.toml").write_text(
        'corpus = "corpus.txt"\nsteps = 3\nn-embd = 16\nn_layer = 1\nattention = "external"\n'
        'provider = ["random"]\noption = ["random.seed=4"]\n'
    )
    done = run_cli(tmp_path, "train", "--config", "run.toml", "--steps", "2")
    assert done.returncode == 0, done.stderr
    loaded = load_checkpoint(tmp_path / "checkpoint.pt")
    assert (loaded.train_config.steps, loaded.model_config.n_embd) == (2, 16)
    assert dict(loaded.scored[0].identity.details)["seed"] == 4


def test_printed_config_is_a_config_file_with_the_same_settings(tmp_path: Path) -> None:
    given = ("--lr", "0.5", "--provider", "random", "--corpus", 'odd "name".txt')
    printed = run_cli(tmp_path, "train", *given, "--print-config")
    (tmp_path / "run.toml").write_text(printed.stdout)
    again = run_cli(tmp_path, "train", "--config", "run.toml", "--print-config")
    assert "lr = 0.5" in printed.stdout
    assert again.stdout == printed.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepps = 3", "'stepps' is no option of this command"),
        ("steps = ", "cannot be read"),
        ("\n", "There is no configuration file"),
    ],
)
def test_wrong_config_file_gets_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    if text.strip():
        (tmp_path / "run.toml").write_text(text)
    done = run_cli(tmp_path, "train", "--config", "run.toml")
    assert done.returncode in FAILED
    assert message in done.stderr


def test_the_config_file_of_a_run_also_resumes_it(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    command = (*QUICK, "--steps", "5", "--provider", "random", "--match-params")
    (tmp_path / "run.toml").write_text(run_cli(tmp_path, *command, "--print-config").stdout)
    run_cli(tmp_path, "train", "--config", "run.toml", "--steps", "10")
    done = run_cli(tmp_path, "train", "--config", "run.toml", "--resume", "--steps", "15")
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in rows(done.stdout)] == ["15"]


def test_a_typed_option_of_the_provider_that_agrees_with_the_checkpoint_resumes_it(
    tmp_path: Path,
) -> None:
    write_corpus(tmp_path)
    command = (*QUICK, "--provider", "random", "--channels", "2")
    assert run_cli(tmp_path, *command, "--steps", "5").returncode == 0
    done = run_cli(tmp_path, *command, "--steps", "10", "--resume")
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in rows(done.stdout)] == ["10"]
    other = run_cli(tmp_path, "train", "--resume", "--channels", "3")
    assert "--channels 3 contradicts the checkpoint, which was trained with 2" in other.stderr


def test_settings_of_a_config_file_are_held_against_the_checkpoint(checkpoint: Path) -> None:
    (checkpoint.parent / "other.toml").write_text("n-layer = 4\n")
    done = run_cli(checkpoint.parent, "train", "--resume", "--config", "other.toml")
    assert "--n-layer 4 contradicts" in done.stderr


def test_a_changed_share_of_the_scores_is_held_against_the_checkpoint(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    (tmp_path / "run.toml").write_text("coverage = 0.9\nmin-pair-count = 2\n")
    command = (*QUICK, "--steps", "5", "--provider", "random", "--config", "run.toml")
    assert run_cli(tmp_path, *command).returncode == 0
    again = run_cli(tmp_path, "train", "--resume", "--config", "run.toml", "--steps", "10")
    assert again.returncode == 0, again.stderr
    (tmp_path / "run.toml").write_text("coverage = 0.5\n")
    done = run_cli(tmp_path, "train", "--resume", "--config", "run.toml")
    assert "--coverage 0.5 contradicts the checkpoint, which was trained with 0.9" in done.stderr
    typed = run_cli(tmp_path, "train", "--resume", "--min-pair-count", "1")
    assert "--min-pair-count 1 contradicts" in typed.stderr


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_log_of_a_resumed_run_is_that_of_an_unbroken_one(tmp_path: Path, name: str) -> None:
    write_corpus(tmp_path)
    quick = (*QUICK, "--attention", "position", "--steps", "10")
    run_cli(tmp_path, *quick, "--log", name)
    path = tmp_path / name
    lines = path.read_text().splitlines()
    assert len(lines) == 3 + (name == "log.csv")
    path.write_text("\n".join([*lines, lines[-1].replace("10", "15", 1)]) + "\n")
    run_cli(tmp_path, "train", "--resume", "--log", name)
    assert path.read_text().splitlines() == lines


def test_tokens_a_second_are_those_of_training_without_evaluations(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    quick = (*QUICK, "--attention", "position", "--steps", "10", "--log", "log.jsonl")
    printed = run_cli(tmp_path, *quick).stdout
    first, second, third = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    paces = [
        (now["tokens"] - before["tokens"]) / (now["train_seconds"] - before["train_seconds"])
        for before, now in ((first, second), (second, third))
    ]
    shown = [
        line.split()[3] for line in printed.splitlines() if line.split()[:1] in (["5"], ["10"])
    ]
    assert shown == [f"{pace:,.0f}" for pace in paces]


def test_log_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, *QUICK, "--attention", "position", "--log", "log.txt")
    assert done.returncode in FAILED
    assert "must end in .csv or .jsonl" in done.stderr


def test_matched_parameters_are_those_of_learned_attention(tmp_path: Path) -> None:
    write_corpus(tmp_path)

    def parameters(*options: str) -> int:
        done = run_cli(tmp_path, *QUICK, "--n-embd", "64", "--steps", "1", *options)
        words = done.stdout.split()
        return int(words[words.index("parameters") - 1].replace(",", ""))

    learned = parameters("--attention", "learned")
    assert parameters("--attention", "position") < 0.9 * learned
    matched = parameters("--attention", "position", "--match-params")
    assert matched == pytest.approx(learned, rel=0.01)
