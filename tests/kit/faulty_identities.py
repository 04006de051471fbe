"""Providers that are wrong in what they say of themselves: identity, settings, keys, members."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import os
import platform
import time
from base64 import b64encode
from typing import Any, ClassVar

import numpy as np
from attrs import define, frozen, validators
from kit.faulty_providers import Sound, Text
from kit.planted import planted
from llmattn.identity import Identity
from llmattn.rows import Row
from llmattn.secrets import Secret
from llmattn.settings import identity_details, setting
from llmattn.testing.providers import check_provider

_numbers = itertools.count()


@frozen
class Settings:
    salt: int = setting(3, help="changes every score")
    key: Secret = setting(Secret("planted-key-9876"), harmless=True, help="key of an account")


class Set(Sound):
    """A sound provider with settings."""

    settings_class: ClassVar[Any] = Settings

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def identity(self) -> Identity:
        details = {**identity_details(self.settings), **self.more()}
        return Identity("sound", 1, self.scope, self.channels, details)

    def more(self) -> dict[str, Any]:
        return {}

    def row(self, row: Row, rows: Any, number: int) -> Any:
        return self.values(row, self.settings.salt)


def check(plugin: Any) -> None:
    check_provider(lambda: plugin(plugin.settings_class()))


def without_settings(plugin: Any) -> None:
    check_provider(plugin)


@planted("the identity leaves out a setting, written by hand", check)
class ByHand(Set):
    def identity(self) -> Identity:
        return Identity("sound", 1, self.scope, self.channels)


@frozen
class Harmless:
    salt: int = setting(3, harmless=True, help="changes every score")


@planted("the identity leaves out a setting, said to be harmless", check)
class SaidHarmless(Set):
    settings_class = Harmless


@frozen
class Style:
    salt: str = setting(
        "plain", harmless=True, help="", validator=validators.in_(["plain", "bold"])
    )


@planted("the identity leaves out a setting of fixed values", check)
class FixedValues(Set):
    settings_class = Style


class Details(Set):
    """An identity with one detail more, which is not the settings'."""

    detail: Any = None

    def more(self) -> dict[str, Any]:
        return {"detail": type(self).detail()}


for _name, _detail in {
    "a date": lambda: str(datetime.date.today()),
    "the year": lambda: time.strftime("%Y"),
    "a process id": os.getpid,
    "a process id inside a text": lambda: f"worker-{os.getpid()}",
    "this machine's name": platform.node,
    "a number that goes up": lambda: next(_numbers),
    "the place of an object": lambda: repr(object()),
    "hash() of a word": lambda: hash("word"),
    "NaN": lambda: float("nan"),
}.items():
    planted(f"the identity holds {_name}", check)(
        type("Detailed", (Details,), {"detail": staticmethod(_detail)})
    )


@planted("the identity changes after score", check)
class ChangesAfter(Set):
    asked = 0

    def row(self, row: Row, rows: Any, number: int) -> Any:
        self.asked = 1
        return super().row(row, rows, number)

    def more(self) -> dict[str, Any]:
        return {"asked": self.asked}


@planted("a memo is shared by settings", check)
class SharedMemo(Set):
    memo: ClassVar[dict[str, Any]] = {}

    def row(self, row: Row, rows: Any, number: int) -> Any:
        known = self.memo.setdefault(row.query, {})
        for key in row.keys:
            if key not in known:
                known[key] = self.values(Row(row.query, (key,)), self.settings.salt)
        return np.hstack([known[key] for key in row.keys])


for _name, _made in {
    "as it is": lambda key: key,
    "as base64": lambda key: b64encode(key.encode()).decode(),
    "as its first letters": lambda key: key[:6],
    "as its last letters": lambda key: key[-4:],
    "as a hash": lambda key: hashlib.sha256(key.encode()).hexdigest(),
    "as a short hash": lambda key: hashlib.md5(key.encode()).hexdigest()[:6],
    "as its length": len,
    "turned round": lambda key: key[::-1],
}.items():
    planted(f"a key is in the identity {_name}", check)(
        type(
            "ShowsKey",
            (Set,),
            {"more": lambda self, made=_made: {"account": made(self.settings.key.reveal())}},
        )
    )
    planted(f"a key is in the repr {_name}", check)(
        type(
            "PrintsKey",
            (Set,),
            {"__repr__": lambda self, made=_made: f"Set({made(self.settings.key.reveal())})"},
        )
    )


@planted("a key that secrets= names is in the identity as a hash", lambda plugin: check_provider(
    plugin, secrets=["sk-named-key-12345"]))  # fmt: skip
class Named(Sound):
    def identity(self) -> Identity:
        mark = hashlib.sha1(b"sk-named-key-12345").hexdigest()[:12]
        return Identity("sound", 1, self.scope, self.channels, {"account": mark})


def _plain(name: str, env: str | None = None) -> None:
    cls = type("Plain", (), {"__annotations__": {name: str}, name: setting("k", env=env, help="x")})
    shape = {"settings_class": frozen(cls), "row": Sound.row}
    planted(f"a plain text is a setting called {env or name}", check)(type("P", (Set,), shape))


_plain("api_key")
_plain("token")
_plain("password")
_plain("account", "MINE_API_KEY")


@frozen
class Bad:
    salt: int = setting(0, help="x", validator=validators.ge(1))


@frozen
class Typed:
    salt: int = setting("3", help="x")


@frozen
class Unknown:
    salt: str = setting("colour", help="x")


@frozen
class NoSetting:
    salt: int = 3


@define
class Changeable:
    salt: int = setting(3, help="x")


def with_one(plugin: Any) -> None:
    check_provider(lambda: plugin(plugin.settings_class(1)))


@planted("a default that its validator refuses", with_one)
class BadDefault(Set):
    settings_class = Bad


@planted("a default of another type than the field says", check)
class OtherType(Set):
    settings_class = Typed


@planted("a default that the provider does not know", lambda plugin: check_provider(
    lambda: plugin(Unknown("red"))))  # fmt: skip
class UnknownDefault(Set):
    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        {"red": 1, "blue": 2}[settings.salt]


@planted("a setting that was not made with setting()", check)
class WithoutSetting(Set):
    settings_class = NoSetting


@planted("settings that can be changed", check)
class NotFrozen(Set):
    settings_class = Changeable


def _member(name: str, base: type = Sound, **members: Any) -> None:
    planted(name, without_settings)(type("Faulty", (base,), members))


_member("transform is misspelt", Text, transform="lgo", normalised=False)
_member("transform is called tranform", Text, tranform="log", normalised=False)
_member("normalised is called normalized", Text, transform="log", normalized=False)
_member("transform without normalised", Text, transform="log")
_member("normalised where rows do not add up", Text, transform="log", normalised=True)
_member("normalised for one channel too many", Text, transform="log", normalised=(False,) * 3)
_member("absent_score=7", local=True, absent_score=7)
_member("absent_score is NaN", local=True, absent_score=float("nan"))
_member("absent_score is not what is scored", local=True, absent_score=0.25)
_member("absent_score is called absent_scores", local=True, absent_scores=0.0)
_member("local is a text", local="yes", absent_score=None)
_member("local without absent_score", local=True)
_member("no channels", channels=())
_member("two channels of one name", channels=("a", "a"))
_member("channels are a list", channels=["a", "b"])
_member("limits are a number", limits=64)
_member("scope is a text", scope="pair")
_member("score is no coroutine", score=lambda self, rows: None)
_member("there is no aclose", aclose=property())


@planted("rows add up to 1, and normalised says no", without_settings)
class Shares(Text):
    transform = "log"
    normalised = False

    def values(self, row: Row, more: object = "") -> Any:
        values = super().values(row)
        return values / values.sum(axis=1, keepdims=True)
