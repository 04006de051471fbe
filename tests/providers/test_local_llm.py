"""`custom` against a real model: llama.cpp with a very small one. It is a peer for the protocol;
its scores mean nothing.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from llmattn.errors import ProviderRejected, TooLarge
from llmattn.rows import Row, prefix_rows
from llmattn.testing.providers import PIECES
from support_environment import OUTER
from support_providers import KEY, ask, make

pytestmark = pytest.mark.local_llm

SERVER = Path(OUTER.get("LLMATTN_LOCAL_LLM", "local_llm.py"))
PYTHON = OUTER.get("LLMATTN_LOCAL_LLM_PYTHON", sys.executable)
MODEL = "SmolLM2-135M-Instruct"
ROWS = [
    Row("eats", ("the", "cat", "of", "fish")),
    Row("king", ("crown", "“quoted”", "it's", "and", "a b")),
    Row('"', ("\\", "{}", "é")),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The base URL of a server with the model, started for these tests."""
    if not SERVER.is_file():
        pytest.skip(f"there is no {SERVER}; name the server's script in LLMATTN_LOCAL_LLM")
    found = subprocess.run([PYTHON, "-c", "import xllamacpp"], capture_output=True, check=False)
    if found.returncode:
        pytest.skip(f"{PYTHON} has no xllamacpp; name one that has in LLMATTN_LOCAL_LLM_PYTHON")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [PYTHON, str(SERVER), "--port", str(port), "--api-key", KEY]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("http://"):
                break
        yield line.strip()
        process.terminate()


@pytest.mark.parametrize("reply", ["digits", "integers"])
def test_every_row_comes_back_in_shape_and_range(url: str, reply: str) -> None:
    got = ask(make("custom", url, {"LLM_MODEL": MODEL}, reply=reply), ROWS)
    assert got.model == MODEL
    assert got.usage.prompt_tokens > 100
    for row, scores in zip(ROWS, got.scores, strict=True):
        assert scores.shape == (1, len(row.keys))
        assert np.isfinite(scores).all()
        assert ((scores >= 0) & (scores <= 1)).all()


def test_the_same_rows_have_the_same_scores(url: str) -> None:
    first, again = (ask(make("custom", url, {"LLM_MODEL": MODEL}), ROWS) for _ in range(2))
    for one, other in zip(first.scores, again.scores, strict=True):
        np.testing.assert_array_equal(one, other)


def test_several_criteria_come_back_in_one_reply(url: str) -> None:
    provider = make("custom", url, {"LLM_MODEL": MODEL}, criteria="syntax,meaning")
    assert [scores.shape for scores in ask(provider, ROWS).scores] == [(2, 4), (2, 5), (2, 3)]


def test_a_full_row_comes_back_whole(url: str) -> None:
    row = Row("word", tuple(f"w{i}" for i in range(32)))
    assert np.isfinite(ask(make("custom", url, {"LLM_MODEL": MODEL}), [row]).scores[0]).all()


def test_the_estimate_bounds_what_the_model_is_billed(url: str) -> None:
    provider = make("custom", url, {"LLM_MODEL": MODEL})
    bound, usage = provider.estimate(ROWS), ask(provider, ROWS).usage
    assert usage.prompt_tokens <= bound.prompt_tokens
    assert usage.completion_tokens <= bound.completion_tokens


def test_a_wrong_key_is_refused(url: str) -> None:
    with pytest.raises(ProviderRejected, match="CUSTOM_API_KEY"):
        ask(make("custom", url, {"LLM_MODEL": MODEL, "CUSTOM_API_KEY": "sk-wrong-key"}))


def test_more_than_the_context_holds_is_refused_with_advice(url: str) -> None:
    rows = [Row(f"query{i}", tuple(f"word{j}" for j in range(30))) for i in range(60)]
    with pytest.raises(TooLarge, match="pairs_per_request"):
        ask(make("custom", url, {"LLM_MODEL": MODEL}), rows)


@pytest.mark.parametrize("reply", ["digits", "integers"])
def test_texts_so_far_come_back_in_shape_and_range(url: str, reply: str) -> None:
    texts = (PIECES, ("\n", "Nobody", " was", " there", "."))
    asked = [prefix_rows(text)[-1] for text in texts]
    provider = make("custom", url, {"LLM_MODEL": MODEL}, scope="prefix", reply=reply)
    bound, got = provider.estimate(asked), ask(provider, asked)
    assert got.usage.prompt_tokens <= bound.prompt_tokens
    for row, scores in zip(asked, got.scores, strict=True):
        assert scores.shape == (1, len(row.keys))
        assert np.isfinite(scores).all()
        assert ((scores >= 0) & (scores <= 1)).all()
