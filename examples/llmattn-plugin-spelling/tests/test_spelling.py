"""llmattn's test kit on this plugin, and what its scores are meant to say."""

from __future__ import annotations

import asyncio

from llmattn.plugin import Row
from llmattn.testing import check_provider, load_plugins
from llmattn_spelling.provider import SpellingProvider
from llmattn_spelling.settings import SpellingSettings


def test_it_is_a_sound_provider() -> None:
    check_provider(lambda: SpellingProvider(SpellingSettings()))


def test_llmattn_finds_it() -> None:
    assert "spelling" in load_plugins().providers.names()


def test_words_that_rhyme_have_like_endings() -> None:
    provider = SpellingProvider(SpellingSettings())
    reply = asyncio.run(provider.score([Row("nation", ("station", "king"))]))
    letters, ending = reply.scores[0]
    assert ending.tolist() == [1.0, 0.0]
    assert letters[0] > letters[1]
