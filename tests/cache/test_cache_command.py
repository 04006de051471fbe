"""``llmattn cache`` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from llmattn.rows import Row
from llmattn.usage import Usage
from support_cache import PAIR, TEXT, lmdb_cache, many_rows, scored
from support_cli import FAILED, Done, run_cli, run_process

ROWS = [*many_rows(10, 5), Row("king", ("crown", "beggar"))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    cache = lmdb_cache(folder)
    scores = scored(ROWS)
    scores[-1][:] = [[0.75, 0.25]]
    cache.put(PAIR, ROWS, scores, Usage(requests=2, prompt_tokens=90, cost=0.125))
    cache.close()
    return folder


def run(*arguments: object, folder: Path, code: int = 0) -> Done:
    done = run_cli(folder.parent, "cache", *arguments, LLMATTN_CACHE_DIR=str(folder))
    assert done.returncode in (FAILED if code == 1 else (code,)), done.stderr
    return done


def as_json(*arguments: object, folder: Path) -> Any:
    return json.loads(run(*arguments, "--json", folder=folder).stdout)


def test_path_prints_the_file_and_nothing_else(folder: Path) -> None:
    assert run("path", folder=folder).stdout == f"{folder}/scores.mdb\n"


def test_stats_tells_provider_model_prompt_and_cost(folder: Path) -> None:
    shown = run("stats", folder=folder).stdout
    for text in ("paid", "Rate it.", "52 pairs", "$0.1250", PAIR.namespace):
        assert text in shown
    data = as_json("stats", folder=folder)
    assert data["pairs"] == 52
    assert data["namespaces"][0]["identity"]["details"]["model"] == "m"


def test_brackets_in_a_prompt_are_shown_as_they_are(folder: Path) -> None:
    cache = lmdb_cache(folder)
    prompt = "Rate [bold]q[/bold] and [/nothing] in [0, 1]."
    odd = evolve(PAIR, provider="[red]odd", details={"prompt": prompt})
    cache.put(odd, ROWS[:1], scored(ROWS[:1]))
    cache.close()
    assert prompt in run("stats", folder=folder).stdout
    assert "[red]odd" in run("ls", folder=folder).stdout


def test_a_word_of_a_text_is_found_without_the_space_before_it(folder: Path) -> None:
    cache = lmdb_cache(folder)
    row = Row(" king", ("The", " king"), ("The",))
    cache.put(TEXT, [row], scored([row], TEXT))
    cache.close()
    shown = run("show", "king", "-n", "local", folder=folder).stdout
    assert "' king'" in shown


def test_ls_lists_each_namespace(folder: Path) -> None:
    assert "paid m" in run("ls", folder=folder).stdout
    assert [entry["pairs"] for entry in as_json("ls", folder=folder)] == [52]


def test_show_ranks_the_keys_of_a_word(folder: Path) -> None:
    assert run("show", "king", folder=folder).stdout.splitlines()[1:] == [
        "  0.750  crown",
        "  0.250  beggar",
    ]
    (answer,) = as_json("show", "king", folder=folder)
    assert answer["keys"][0] == {"key": "crown", "score": 0.75}


def test_show_of_an_unknown_word_says_so(folder: Path) -> None:
    assert "'queen'" in run("show", "queen", folder=folder, code=1).stderr


def test_purge_asks_first_and_forgets_nothing_without_an_answer(folder: Path) -> None:
    done = run("purge", "paid", folder=folder, code=1)
    assert "Forget 52 scores of paid m, which cost $0.1250?" in done.stderr
    assert "--yes" in done.stderr
    assert len(as_json("ls", folder=folder)) == 1


def test_purge_forgets_the_namespace_that_its_first_digits_name(folder: Path) -> None:
    cache = lmdb_cache(folder)
    cache.put(TEXT, [Row("a", ("a",))], scored([Row("a", ("a",))], TEXT))
    cache.close()
    run("purge", PAIR.namespace[:8], "--yes", folder=folder)
    left = as_json("ls", folder=folder)
    assert [entry["namespace"] for entry in left] == [TEXT.namespace]


def test_purge_of_something_else_names_what_there_is(folder: Path) -> None:
    assert "paid m" in run("purge", "nothing", folder=folder, code=1).stderr


@pytest.mark.parametrize("name", ["scores.parquet", "scores.jsonl"])
def test_an_export_is_imported_elsewhere(folder: Path, tmp_path: Path, name: str) -> None:
    file, other = tmp_path / name, tmp_path / "other"
    assert as_json("export", file, folder=folder)["pairs"] == 52
    assert as_json("import", file, folder=other)["added"] == 52
    assert as_json("import", file, folder=other)["same"] == 52
    (one,), (two,) = as_json("ls", folder=folder), as_json("ls", folder=other)
    for field in ("namespace", "identity", "rows", "pairs", "usage"):
        assert one[field] == two[field]


def test_merge_adds_the_scores_of_another_folder(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert "52 scores added" in run("merge", folder, folder=other).stdout


def test_merge_of_a_folder_without_a_cache_is_refused(folder: Path, tmp_path: Path) -> None:
    assert "There is no cache in" in run("merge", tmp_path, folder=folder, code=1).stderr


def test_compact_tells_both_sizes(folder: Path) -> None:
    sizes = as_json("compact", folder=folder)
    assert sizes["after"] == (folder / "scores.mdb").stat().st_size
    assert set(sizes) == {"before", "after"}


def test_verify_fails_on_damage_and_drop_mends_it(folder: Path) -> None:
    assert "all well" in run("verify", folder=folder).stdout
    file = folder / "scores.mdb"
    data = bytearray(file.read_bytes())
    data[data.rindex(b"w3") + 1] ^= 1
    file.write_bytes(data)
    assert "--drop" in run("verify", folder=folder, code=1).stdout
    run("verify", "--drop", folder=folder)
    run("verify", folder=folder)
    assert (folder / "scores.mdb.damaged-1").exists()


def test_an_empty_cache_says_so(tmp_path: Path) -> None:
    assert run("ls", folder=tmp_path).stdout == "The cache is empty.\n"


def test_the_command_loads_neither_torch_nor_openai_nor_pyarrow(tmp_path: Path) -> None:
    code = (
        "import sys, llmattn.cli.cache\n"
        "sys.exit(bool({'torch', 'openai', 'pyarrow'} & set(sys.modules)))"
    )
    assert run_process(tmp_path, program=("-c", code)).returncode == 0


def test_ls_has_a_line_for_each_and_tells_several_of_one_model_apart(folder: Path) -> None:
    cache = lmdb_cache(folder)
    for method in ("attention", "copy"):
        details = {"model": "a-model-of-a-long-name.gguf", "method": method, "prompt": "p" * 90}
        cache.put(
            evolve(PAIR, provider="transformers", details=details), ROWS[:1], scored(ROWS[:1])
        )
    cache.close()
    done = run_cli(folder.parent, "cache", "ls", LLMATTN_CACHE_DIR=str(folder), COLUMNS="80")
    head, *lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in (head, *lines))
    assert "method=attention" in done.stdout
    assert "method=copy" in done.stdout


def test_a_cache_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "cache", "ls", "--cache-dir", "typo")
    assert "There is no cache at" in done.stderr
    assert not (tmp_path / "typo").exists()
