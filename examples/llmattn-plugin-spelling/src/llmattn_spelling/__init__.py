"""A plugin for llmattn: the provider `spelling`."""

from __future__ import annotations

from llmattn.plugin import ProviderRegistry, hookimpl

from llmattn_spelling.settings import SpellingSettings


@hookimpl
def llmattn_register_providers(registry: ProviderRegistry) -> None:
    # The provider is named by a string, so that it is imported only when a user chooses it. One
    # that costs money says so here too: prices=..., and chosen_when="MY_API_KEY" if a key is
    # reason enough to choose it.
    registry.add(
        "spelling",
        "llmattn_spelling.provider:SpellingProvider",
        SpellingSettings,
        "how alike two words are spelt (offline)",
    )
