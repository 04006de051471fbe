"""Keys and passwords show up nowhere."""

from __future__ import annotations

import json
import logging
import traceback
from base64 import b64encode

import pytest
from llmattn.errors import ConfigError, ProviderError
from llmattn.rows import Row
from llmattn.secrets import redact
from llmattn.testing.faults import FaultPlan
from llmattn.testing.server import ScoreServer
from support_providers import KEY, NAMES, ask, make
from support_trust import Seen, Stranger

PASSWORD = "pass-word%2Fplanted"  # percent-encoded, as a URL has it
PLANTED = (KEY, PASSWORD, "pass-word/planted")

every_plugin = pytest.mark.parametrize("name", NAMES)


def with_credentials(server: ScoreServer) -> str:
    return server.url.replace("://", f"://somebody:{PASSWORD}@")


@every_plugin
def test_credentials_in_the_url_are_sent(name: str) -> None:
    with ScoreServer(basic_auth="somebody:pass-word/planted") as server:
        assert len(ask(make(name, with_credentials(server))).scores) == 2


@every_plugin
def test_settings_and_identity_show_no_secret(name: str) -> None:
    with ScoreServer() as server:
        provider = make(name, with_credentials(server))
    shown = repr(provider.settings) + str(provider.identity().to_dict()) + repr(provider)
    assert not [secret for secret in PLANTED if secret in shown]


@every_plugin
def test_the_namespace_does_not_depend_on_credentials(name: str) -> None:
    with ScoreServer() as server:
        plain, other = make(name, server.url), make(name, with_credentials(server))
    assert plain.identity() == other.identity()


@every_plugin
@pytest.mark.parametrize("fault", ["reset", "server_error", "content_type", "rate_limit"])
def test_debug_log_and_tracebacks_show_no_secret(
    name: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with ScoreServer(faults=FaultPlan({fault: 1.0})) as server:
        try:
            ask(make(name, with_credentials(server)))
        except ProviderError as error:
            shown = "".join(traceback.format_exception(error))
    assert f"{name}: POST" in caplog.text
    assert not [secret for secret in PLANTED if secret in shown + caplog.text]


@every_plugin
def test_a_key_among_the_words_is_not_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with ScoreServer() as server:
        ask(make(name, server.url), [Row(KEY, ("export", KEY))])
    assert "export" in caplog.text
    assert KEY not in caplog.text


@every_plugin
def test_an_echoed_password_is_hidden(name: str) -> None:
    """A server may say in its error which credentials were wrong, as the header holds them."""

    def echo(request: Seen) -> tuple[int, dict[str, str], bytes]:
        sent = request.headers.partition("uthorization: ")[2].splitlines()[0]
        return 400, {}, json.dumps({"error": {"message": f"no such user: {sent}"}}).encode()

    with Stranger(echo) as server:
        url = server.url.replace("://", f"://somebody:{PASSWORD}@")
        with pytest.raises(ProviderError, match="no such user: Basic") as caught:
            ask(make(name, url))
    encoded = b64encode(b"somebody:pass-word/planted").decode()
    assert not [secret for secret in (*PLANTED, encoded) if secret in redact(str(caught.value))]


@every_plugin
def test_an_echoed_header_is_hidden(name: str) -> None:
    with (
        ScoreServer(basic_auth="other:password") as server,
        pytest.raises(ProviderError, match=r"Incorrect API key provided: \[hidden\]"),
    ):
        ask(make(name, with_credentials(server)))


@pytest.mark.parametrize("url", ["ftp://me:hunter22@host/v1", "http://me:hunter22@/v1", "host/v1"])
def test_a_base_url_that_is_none_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="base URL") as caught:
        make("custom", url)
    assert "hunter22" not in str(caught.value)
