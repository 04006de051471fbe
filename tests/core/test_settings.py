"""Settings from options, environment, .env and defaults; which provider is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import frozen
from llmattn.cache.settings import LmdbSettings
from llmattn.errors import ConfigError, MissingSetting
from llmattn.plugins import load_plugins
from llmattn.scoring.find_provider import assign_options, choose_provider, settings_of
from llmattn.secrets import Secret
from llmattn.settings import environment, identity_details, resolve, setting, settings_help


@frozen
class Example:
    """Settings of the tests' provider."""

    key: Secret = setting(env="EXAMPLE_KEY", harmless=True, help="a key")
    url: str = setting("http://me:pw@Host.example/v1/", env="EXAMPLE_URL", help="where")
    times: int = setting(3, help="how often")
    strict: bool = setting(False, help="yes or no")
    folder: Path | None = setting(None, harmless=True, help="a folder")


def test_options_win_over_the_environment_and_that_over_the_default() -> None:
    environ = {"EXAMPLE_KEY": "k", "EXAMPLE_URL": "http://env"}
    assert resolve(Example, owner="e", options={}, environ=environ).url == "http://env"
    found = resolve(Example, owner="e", options={"url": "http://opt"}, environ=environ)
    assert found.url == "http://opt"
    assert resolve(Example, owner="e", options={}, environ={"EXAMPLE_KEY": "k"}).times == 3


@pytest.mark.parametrize("text", ["9" * 30, "-" + "9" * 30, str(2**63)])
def test_a_number_that_no_file_would_keep_is_no_value(text: str) -> None:
    with pytest.raises(ConfigError, match="times takes a value of type int"):
        resolve(Example, owner="e", options={"key": "k", "times": text}, environ={})


def test_a_missing_setting_names_its_variable() -> None:
    with pytest.raises(MissingSetting, match="EXAMPLE_KEY"):
        resolve(Example, owner="example", options={}, environ={})


def test_values_get_the_type_of_their_field() -> None:
    options = {"key": "k", "times": "7", "strict": "yes", "folder": "/x"}
    found = resolve(Example, owner="e", options=options, environ={})
    assert (found.times, found.strict, found.folder) == (7, True, Path("/x"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"times": "many"}, "option times takes a value of type int, not 'many'"),
        ({"strict": "perhaps"}, "type bool"),
        ({"tiems": "3"}, "no option 'tiems'; its options are: key, url, times"),
    ],
)
def test_a_wrong_option_is_one_clear_error(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(Example, owner="e", options={"key": "k", **options}, environ={})


def test_identity_leaves_out_what_is_harmless_and_credentials() -> None:
    details = identity_details(Example(key=Secret("sekrit")))
    assert details == {"url": "http://host.example/v1", "times": 3, "strict": False}


def test_the_listing_shows_a_default_that_is_made_when_it_is_needed() -> None:
    defaults = {option: default for option, _, default, _ in settings_help(LmdbSettings)}
    assert defaults["dir"] == str(LmdbSettings().dir)


def test_dotenv_is_found_upward_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("LLM_PROVIDER=custom\nLLM_MODEL=from-file\nEMPTY=\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.delenv("LLM_PROVIDER", raising=False)
    monkeypatch.setenv("LLM_MODEL", "from-environment")
    found = environment()
    assert found["LLM_PROVIDER"] == "custom"
    assert found["LLM_MODEL"] == "from-environment"
    assert "EMPTY" not in found


@pytest.mark.parametrize(
    ("environ", "provider", "why"),
    [
        ({"LLM_MODEL": "none"}, "cooccurrence", "no other is set up"),
        ({"LLM_PROVIDER": "OpenAI"}, "openai", ""),
        ({"OPENAI_API_KEY": "k"}, "openai", "OPENAI_API_KEY is set"),
        ({"OPENAI_API_KEY": "k", "CEREBRAS_API_KEY": "k"}, "cerebras", "CEREBRAS_API_KEY is set"),
        (
            {"CUSTOM_BASE_URL": "http://h/v1", "LLM_MODEL": "m"},
            "custom",
            "CUSTOM_BASE_URL and LLM_MODEL are set",
        ),
        ({"CUSTOM_API_KEY": "k", "LLM_MODEL": "none"}, "cooccurrence", "no other is set up"),
    ],
)
def test_the_provider_is_chosen_as_the_environment_says(
    environ: dict[str, str], provider: str, why: str
) -> None:
    chosen = choose_provider(load_plugins(), environ)
    assert chosen.name == provider
    assert chosen.why.startswith(why)
    assert bool(chosen.why) == bool(why)


def test_options_go_to_their_owner_and_none_is_ignored() -> None:
    options = {"timeout": "5", "lmdb.sync": "false", "custom.model": "m"}
    plugins = load_plugins()
    custom, openai = plugins.provider("custom"), plugins.provider("openai")
    found = assign_options(options, [custom, openai], ["lmdb"])
    assert settings_of("custom", found) == {"timeout": "5", "model": "m"}
    assert settings_of("openai", found) == {"timeout": "5"}
    assert settings_of("lmdb", found) == {"sync": "false"}
    with pytest.raises(ConfigError, match=r"'custom\.model' is for 'custom'"):
        assign_options(options, [openai], ["lmdb"])
    with pytest.raises(ConfigError, match="No provider in use has the option 'window'"):
        assign_options({"window": "5"}, [custom, openai])
