"""Checks of what scores are kept under: an identity that is steady, whole, and shows no key."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from llmattn.errors import ConfigError
from llmattn.identity import Identity
from llmattn.providers.protocol import AttentionProvider
from llmattn.secrets import Secret, redact
from llmattn.settings import secret_settings
from llmattn.testing.findings import fail, shown
from llmattn.testing.subject import Made, Subject, about, rebuilt, settings_of

__all__ = [
    "check_identity",
    "check_secrets",
    "check_settings_in_identity",
    "difference",
    "variations",
]

_WHERE = "what-belongs-in-the-identity"


def check_identity(subject: Subject) -> None:
    """The same for equal settings, before and after scoring; plain data that a file can hold."""
    provider = subject.new()
    identity: Any = provider.identity()
    done = "identity() was called"
    if not isinstance(identity, Identity):
        fail(done, f"{shown(identity)} came", "an Identity", _WHERE)
    if identity.scope is not provider.scope or identity.channels != tuple(provider.channels):
        came = f"it says {identity.scope}, {identity.channels}"
        wanted = f"the provider's own scope and channels, {provider.scope}, {provider.channels}"
        fail(done, came, wanted, _WHERE)
    if type(identity.revision) is not int or not identity.provider:
        came = f"it says provider {identity.provider!r}, revision {identity.revision!r}"
        fail(done, came, "a name, and a whole number", _WHERE)
    try:
        text = json.dumps(identity.to_dict(), allow_nan=False)
        again = Identity.from_dict(json.loads(text))
        text.encode()
    except ValueError as error:
        again, text = None, str(error)
    if again != identity:
        came = f"it does not survive JSON: {shown(text, 200)}"
        fail(done, came, "details that are texts, finite numbers, True, False or None", _WHERE)
    _same(identity, subject.new().identity(), "Two providers with the same settings were made")
    rows = subject.probes()[:20]
    requests = subject.packed(rows)
    subject.ask(requests, provider=provider)
    _same(identity, provider.identity(), f"score() was called for {about(requests[0])}")


def _same(one: Identity, other: Identity, done: str) -> None:
    if one != other:
        fail(
            done,
            f"they have different identities: {difference(one, other)}",
            "one identity for the same settings at any time, or what was paid for under the one is "
            "lost to the other",
            _WHERE,
        )


def difference(one: Identity, other: Identity) -> str:
    """In which parts two identities differ, and how."""
    changed = one.differing(other).items()
    return "; ".join(f"{name} is {shown(a)}, then {shown(b)}" for name, (a, b) in changed)


def variations(subject: Subject) -> list[tuple[str, Any, Made]]:
    """Settings that differ in one field each from those of the provider, where it takes them:
    the field, its value, and how a provider is made with it. Addresses and keys are left alone.
    """
    settings = settings_of(subject)
    found = []
    for each in attrs.fields(type(settings)):
        value = getattr(settings, each.name)
        if each.name in secret_settings(type(settings)) or each.metadata.get("instead_of"):
            continue
        taken = 0
        for other in _others(each, value):
            made = rebuilt(subject, **{each.name: other})
            if made is not None and taken < 2:
                found.append((each.name, other, made))
                taken += 1
    return found


def _others(each: Any, value: Any) -> Iterator[Any]:
    """Other values of a field, the likeliest first."""
    options = getattr(each.validator, "options", None)
    if options is not None:
        yield from (option for option in options if option != value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, 2 * value + 5, max(value - 1, 0), value // 2)
    elif isinstance(value, float):
        yield from (value + 0.25, 2 * value + 1, value / 2)
    elif isinstance(value, str) and "://" not in value and not Path(value).is_absolute():
        yield from (f"{value}2", "other", value.swapcase(), value[::-1])


def check_settings_in_identity(subject: Subject) -> None:
    """A setting that changes a score changes the identity."""
    rows = subject.probes()
    plain = subject.new()
    identity = plain.identity()
    if not subject.deterministic:
        return
    for name, value, made in variations(subject):
        provider = subject.new(made)
        if provider.identity() != identity or provider.scope is not identity.scope:
            continue
        done = f"{name} was set to {shown(value, 40)}"
        requests = subject.packed(rows)
        try:
            answers = subject.ask(requests, provider=provider, done=done, refusals=(ConfigError,))
        except ConfigError:  # a value that it does not take
            continue
        for row, i, was, now in subject.changed(requests, answers):
            fail(
                done,
                f"the score of {shown(row.keys[i], 30)} for {shown(row.query, 30)} changed from "
                f"{was[0]:.4g} to {now[0]:.4g}, and the identity is the same",
                f"an identity that holds {name}, or users get scores of other settings: "
                "identity_details(settings) holds all but those that are harmless=True",
                _WHERE,
            )


def check_secrets(subject: Subject) -> None:
    """No key in the identity or in what is printed of the provider and its settings, in any form;
    another key is not another identity.
    """
    _check_shown(subject, subject.new(), subject.secrets)
    settings = settings_of(subject)
    for name in sorted(secret_settings(type(settings))):
        planted = ["kit-Planted+key/0815=", "another-Secret_of?the+kit&4711"]
        made = [rebuilt(subject, **{name: Secret(text)}) for text in planted]
        providers = [subject.new(one) for one in made if one is not None]
        for provider, text in zip(providers, planted, strict=False):
            _check_shown(subject, provider, [text])
        if len(providers) < 2:
            continue
        done = f"{name}, a Secret, was given two values"
        if providers[0].identity() != providers[1].identity():
            came = "the identities differ, so that the key, or something made of it, is in them"
            fail(done, came, "an identity that holds nothing of a key", _WHERE)
        if _printed(providers[0]) != _printed(providers[1]):
            came = "what is printed of the two providers differs, so that it shows a secret"
            fail(done, came, "a repr that holds nothing of a key", "the-settings")


def _printed(provider: AttentionProvider) -> str:
    return re.sub(r"0x[0-9a-f]+", "", f"{provider!r} {provider}")


def _check_shown(subject: Subject, provider: AttentionProvider, secrets: Any) -> None:
    texts = {
        "the identity": json.dumps(provider.identity().to_dict(), ensure_ascii=False),
        "the repr": _printed(provider),
    }
    for place, text in texts.items():
        done = f"{place[0].upper()}{place[1:]} was looked through"
        found = next((s for secret in secrets for s in _traces(secret) if s in text), None)
        if found or redact(text) != text or _of_environment(text):
            fail(
                done,
                f"{place} shows a secret, or something made of it",
                "nothing of a key: settings of type Secret, left out by identity_details",
                _WHERE if place == "the identity" else "the-settings",
            )
    if str(os.getpid()) in map(str, dict(provider.identity().details).values()):
        fail("identity() was called", "it holds the process's id", "nothing of the sort", _WHERE)
    if socket.gethostname() in dict(provider.identity().details).values():
        fail("identity() was called", "it holds this machine's name", "nothing of it", _WHERE)


def _of_environment(text: str) -> bool:
    """Whether it shows a key of the environment."""
    return any(
        len(value) >= 8 and value in text
        for name, value in os.environ.items()
        if re.search("(?:_|^)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD)$", name)
    )


def _traces(secret: str) -> Iterator[str]:
    """Texts that tell a key or a good part of it: pieces, other spellings, hashes."""
    data = secret.encode("utf-8", "surrogatepass")
    yield from (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], secret[::-1])
    if len(secret) >= 12:
        yield from (secret[:8], secret[-8:], secret[4:12])
    encoded = b64encode(data).decode().rstrip("=")
    yield from (encoded, encoded.replace("+", "-").replace("/", "_"), data.hex())
    for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "blake2s"):
        digest = hashlib.new(name, data).hexdigest()
        yield from (digest[:8], digest.upper()[:8])
