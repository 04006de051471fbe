"""Whether the provider's server answers, without asking it for anything that costs."""

from __future__ import annotations

from collections.abc import Iterator

import anyio

from llmattn.doctor.finding import Finding
from llmattn.environment import Environment
from llmattn.errors import LlmattnError, ProviderError
from llmattn.providers.protocol import AttentionProvider, Reachable
from llmattn.registry import Registered
from llmattn.scoring.find_provider import build_provider

__all__ = ["examine_reach"]


def examine_reach(chosen: Registered, environ: Environment) -> Iterator[Finding]:
    """Send one request, if the provider has one that is free. Its settings are whole."""
    name = chosen.name
    try:
        provider = build_provider(chosen, options={}, model=None, environ=environ).provider
    except LlmattnError as error:
        remedy = f"Reinstall {chosen.distribution}, or choose another provider."
        yield Finding("server", "problem", str(error), remedy)
        return
    if not isinstance(provider, Reachable):
        says = f"{name} has nothing to be asked that would cost nothing"
        remedy = "`llmattn score --probe` asks it for a few scores."
        yield Finding("server", "note", says, remedy)
        return
    try:
        yield Finding("server", "ok", f"{name}: {anyio.run(_reach, provider)}")
    except ProviderError as error:
        remedy = "Mend what it names: the address, the key, the model, or the server itself."
        yield Finding("server", "problem", str(error), remedy, ProviderError.exit_code)


async def _reach(provider: AttentionProvider) -> str:
    assert isinstance(provider, Reachable)
    try:
        return await provider.reach()
    finally:
        await provider.aclose()
