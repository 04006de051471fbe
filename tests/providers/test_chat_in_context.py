"""Chat models asked about the words of a text so far, against a real HTTP server."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from llmattn.providers.prompt import read_rows
from llmattn.providers.text_prompt import numbered, read_numbered
from llmattn.rows import Row, Scope, Scores, prefix_rows
from llmattn.testing.api import digit
from llmattn.testing.faults import FaultPlan
from llmattn.testing.providers import PIECES, check_faults, check_provider
from llmattn.testing.server import ScoreServer
from support_providers import KEY, NAMES, ask, make
from support_scoring import custom_source

every_plugin = pytest.mark.parametrize("name", NAMES)


def in_context(row: Row, channel: str = "relevance") -> Scores:
    """The test server's scores of a text so far, ``(1, len(row.keys))``."""
    text = numbered(row.keys)
    digits = [digit(text, word, channel) for word in read_numbered(text)]
    found: Scores = np.array([digits], np.float32) / np.float32(9)
    return found


@every_plugin
def test_a_plugin_passes_the_kit_in_context(name: str) -> None:
    with ScoreServer() as server:
        check_provider(
            lambda: make(name, server.url, scope="prefix"), secrets=[KEY], text=PIECES, rows=100
        )


@every_plugin
def test_every_fault_in_context_ends_in_scores_or_an_error_of_ours(name: str) -> None:
    check_faults(lambda url: make(name, url, scope="prefix", timeout=0.3), secrets=[KEY])


@every_plugin
@pytest.mark.parametrize("reply", ["digits", "integers"])
def test_scores_are_those_of_the_text_so_far(name: str, reply: str) -> None:
    rows = prefix_rows(PIECES)[-1:]
    with ScoreServer() as server:
        got = ask(make(name, server.url, scope="prefix", reply=reply), rows)
    np.testing.assert_allclose(got.scores[0], in_context(rows[0]), rtol=1e-6)


@every_plugin
def test_what_was_paid_for_pairs_is_found_again_and_texts_have_a_namespace_of_their_own(
    name: str,
) -> None:
    """The namespaces of pairs as they were before there was a scope to set."""
    paid = {
        "openai": "75c01d908b7160a5b5e54fdad6431c84",
        "cerebras": "ea839113193054a22dbbdc386ad24790",
        "custom": "1fb49b05fe3a91c5eda402eaf151cef6",
    }
    url = "http://127.0.0.1:9/v1"
    pairs, texts = (make(name, url, scope=scope).identity() for scope in ("pair", "prefix"))
    assert pairs.namespace == paid[name]
    assert texts.namespace != pairs.namespace
    assert (pairs.scope, texts.scope) == (Scope.PAIR, Scope.PREFIX)


def test_a_text_is_scored_whole_through_a_server_that_fails(tmp_path: Path) -> None:
    rows = prefix_rows(PIECES)
    faults = FaultPlan({"server_error": 0.2, "too_few": 0.2, "rate_limit": 0.1})
    with ScoreServer(faults=faults) as server:
        with custom_source(server, tmp_path, scope="prefix") as source:
            report = source.fill(rows)
            found = source.cache.get(source.identity, rows)
        assert report.left == 0
        for row, scores in zip(rows, found, strict=True):
            np.testing.assert_allclose(scores, in_context(row), atol=1e-3)
        assert sum(server.log.faults.values()) > 0


def test_no_request_shows_a_text_the_future_of_another(tmp_path: Path) -> None:
    texts = [PIECES, (*PIECES[:5], " went", " home", "."), PIECES[:3]]
    rows = [row for text in texts for row in prefix_rows(text)]
    with ScoreServer() as server:
        with custom_source(server, tmp_path, scope="prefix") as source:
            source.fill(rows)
        bodies = [entry["body"]["messages"][-1]["content"] for entry in server.log.requests]
    asked = [[words for _, words in read_rows(body)] for body in bodies]
    assert sum(map(len, asked)) == len(set(rows))
    for shown in asked:
        for one, other in itertools.permutations(shown, 2):
            words = [word.partition(":")[2] for word in one]
            assert words != [word.partition(":")[2] for word in other][: len(words)]
