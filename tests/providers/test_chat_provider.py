"""What a plugin gets from ChatProvider when it writes nothing but the call to its model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from attrs import frozen
from llmattn.errors import ConfigError
from llmattn.providers.chat import ChatProvider, Completion
from llmattn.providers.chat_settings import ChatSettings
from llmattn.providers.prompt import Prompt, read_rows
from llmattn.providers.protocol import Limits
from llmattn.secrets import Secret
from llmattn.settings import resolve, setting
from llmattn.testing.providers import check_provider
from llmattn.usage import Usage
from support_providers import ROWS, ask


@frozen(kw_only=True)
class LetterSettings(ChatSettings):
    model: str = setting("letters", help="which model")
    api_key: Secret = setting(harmless=True, help="key of an account")


class LetterProvider(ChatProvider):
    """A model that rates a key by its number of letters, and says so in prose."""

    name = "letters"

    async def complete(self, prompt: Prompt) -> Completion:
        rows = ["".join(str(min(9, len(k))) for k in keys) for _, keys in read_rows(prompt.user)]
        reply = json.dumps(dict.fromkeys(self.channels, rows))
        return Completion(f"Here you are: {reply}", Usage(1, 10, 5), "letters-1")

    async def aclose(self) -> None:
        pass


def make(**options: str) -> LetterProvider:
    given = {"api_key": "key-planted-here", **options}
    return LetterProvider(resolve(LetterSettings, owner="letters", options=given, environ={}))


def test_one_call_makes_a_sound_provider() -> None:
    check_provider(make, secrets=["key-planted-here"])


def test_scores_are_the_digits_over_nine() -> None:
    reply = ask(make(criteria="syntax,topic"))
    np.testing.assert_allclose(reply.scores[0] * 9, [[3, 3, 2], [3, 3, 2]], rtol=1e-6)
    assert (reply.usage, reply.model) == (Usage(1, 10, 5), "letters-1")


def test_limits_are_the_users() -> None:
    given = make(pairs_per_request="7", rows_per_request="3", keys_per_row="2").limits
    assert given == Limits(7, 3, 2, 16)


def test_another_scoring_revision_is_another_namespace() -> None:
    class Revised(LetterProvider):
        scoring_revision = 2

    revised = Revised(make().settings)
    assert revised.identity().namespace != make().identity().namespace


def test_what_a_request_is_expected_to_cost_is_below_its_bound() -> None:
    provider = make()
    expected, bound = provider.expect(ROWS), provider.estimate(ROWS)
    assert 0 < expected.prompt_tokens < bound.prompt_tokens
    assert 0 < expected.completion_tokens < bound.completion_tokens


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("reply", "words"),
        ("temperature", "-1"),
        ("timeout", "0"),
        ("pairs_per_request", "0"),
        ("criteria", "no-such-criterion"),
        ("model", " "),
    ],
)
def test_a_setting_that_makes_no_sense_is_a_configuration_error(option: str, value: str) -> None:
    with pytest.raises(ConfigError, match="letters"):
        make(**{option: value})
