"""A plugin that fails where it is made or named is blamed by name, not llmattn."""

from __future__ import annotations

import logging

import pytest
from attrs import frozen
from llmattn.cache.open import open_cache
from llmattn.errors import ConfigError, LlmattnError, PluginError
from llmattn.identity import Identity
from llmattn.providers.random import RandomProvider
from llmattn.providers.settings import RandomSettings
from llmattn.registry import Registered
from llmattn.scoring.source import ScoreSource
from llmattn.secrets import RedactingFilter, Secret


@frozen
class Settings:
    """No settings."""


def registered(error: Exception) -> Registered:
    def factory(settings: Settings) -> object:
        raise error

    return Registered("clever", factory, Settings, "", "llmattn-clever")


def test_a_factory_that_fails_names_its_distribution() -> None:
    with pytest.raises(PluginError, match=r"clever.*llmattn-clever.*KeyError.*--debug"):
        registered(KeyError("weights")).build(Settings())


@pytest.mark.parametrize("error", [ConfigError("no such model"), PluginError("install it")])
def test_an_error_of_ours_in_a_factory_is_told_as_it_is(error: LlmattnError) -> None:
    with pytest.raises(type(error), match=str(error)):
        registered(error).build(Settings())


def test_an_identity_that_fails_names_the_provider() -> None:
    class Nameless(RandomProvider):
        def identity(self) -> Identity:
            raise ZeroDivisionError

    with pytest.raises(PluginError, match=r"'nameless'.*identity.*ZeroDivisionError"):
        ScoreSource("nameless", Nameless(RandomSettings()), open_cache("memory"))


def test_a_log_message_with_the_wrong_arguments_is_written_without_secrets() -> None:
    Secret("sk-planted-in-a-log")
    record = logging.LogRecord(
        "any", logging.DEBUG, "", 1, "%d of %s", ("sk-planted-in-a-log",), None
    )
    assert RedactingFilter().filter(record)
    assert record.getMessage() == "%d of %s ('[hidden]',)"
