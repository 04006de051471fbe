"""Settings that every chat model has; a plugin's settings class inherits them."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import Attribute, frozen, validators

from llmattn.providers.criteria import read_criteria
from llmattn.providers.prompt import REPLY_FORMS
from llmattn.providers.settings import SCOPES
from llmattn.secrets import Secret, query_secrets, redact
from llmattn.settings import setting

__all__ = ["ChatSettings", "base_url", "dimensions", "embedding_model", "server_name"]


def _valid_criteria(instance: object, attribute: Attribute[str], value: str) -> None:
    read_criteria(value)


def base_url(instance: object, attribute: Attribute[str], value: str) -> None:
    """Validator of a base URL: http or https with a host; its password is kept out of texts."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        parts, usable = urlsplit(""), False
    _remember_credentials(parts)
    if not usable:
        raise ValueError(
            f"the base URL {redact(value)!r} is no http:// or https:// URL with a host, "
            "such as http://127.0.0.1:8080/v1"
        )


def _remember_credentials(parts: SplitResult) -> None:
    """Keep a URL's password, also in the form in which it is sent, and keys in its query out of
    all texts.
    """
    for value in query_secrets(parts.query):
        Secret(value)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if password:
        header = b64encode(f"{user}:{password}".encode()).decode()
        for secret in (parts.password or "", password, header):
            Secret(secret)


def server_name(env: str | None = None) -> str:
    """The setting of a settings class that has a ``base_url``, in whose place it stands."""
    name: str = setting(
        "",
        env=env,
        instead_of="base_url",
        help="a name of your own for the server, under which scores are kept instead of its "
        "address: one that moves keeps what it has scored (the address it had will do)",
    )
    return name


def embedding_model(default: str) -> str:
    """The setting of a server that has word vectors, too: harmless to scores, and named in the
    identity of vectors.
    """
    otherwise = "" if default else "; empty: the one of model"
    name: str = setting(
        default,
        harmless=True,
        help=f"the model whose word vectors are given (--word-vectors){otherwise}",
    )
    return name


def dimensions() -> int:
    """The setting beside :func:`embedding_model`, harmless to scores as that is."""
    number: int = setting(
        0,
        harmless=True,
        help="how many numbers a word vector shall have, for models that can be asked to shorten "
        "theirs; 0: as many as it gives",
        validator=validators.and_(validators.ge(0), validators.le(1 << 14)),
    )
    return number


@frozen(kw_only=True)
class ChatSettings:
    """What can be set for any chat model. The harmless ones cannot change a score."""

    model: str = setting(env="LLM_MODEL", help="name of the model, as the server knows it")
    criteria: str = setting(
        "relevance",
        # The wording itself is in the identity, as part of the prompt.
        harmless=True,
        help="what to rate: built-in names separated by commas (relevance, syntax, meaning, "
        "topic), or a file with 'name: wording' lines; each is one channel",
        validator=_valid_criteria,
    )
    scope: str = setting(
        "pair",
        # The identity has a scope of its own.
        harmless=True,
        help="pair: words are rated in pairs, once for all texts; prefix: every word of the text "
        "so far, anew for each next word",
        validator=validators.in_(SCOPES),
    )
    reply: str = setting(
        "digits",
        help="form of the scores in a reply: digits (cheapest) or integers",
        validator=validators.in_(REPLY_FORMS),
    )
    temperature: float = setting(
        0.0, help="sampling temperature, where the model takes one", validator=validators.ge(0)
    )
    reasoning_tokens: int = setting(
        0,
        harmless=True,
        help="tokens that the model may spend on reasoning before its reply",
        validator=validators.ge(0),
    )
    pairs_per_request: int = setting(
        1024, harmless=True, help="most scores asked at once", validator=validators.ge(1)
    )
    rows_per_request: int = setting(
        128, harmless=True, help="most rows asked at once", validator=validators.ge(1)
    )
    keys_per_row: int = setting(
        32,
        harmless=True,
        help="longer rows are asked in parts, so that a model keeps count",
        validator=validators.ge(1),
    )
    requests_at_once: int = setting(
        16, harmless=True, help="most requests under way", validator=validators.ge(1)
    )
    server_may_differ: bool = setting(
        False,
        harmless=True,
        help="go on where a server with a server_name does not score as it did at another address",
    )
    timeout: float = setting(
        120.0, harmless=True, help="seconds to wait for a reply", validator=validators.gt(0)
    )

    def __attrs_post_init__(self) -> None:
        if not self.model.strip():
            raise ValueError("the model's name is empty")
