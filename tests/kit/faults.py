"""All planted faults: importing the modules that plant them fills the list."""

from __future__ import annotations

import kit.faulty_askers
import kit.faulty_caches
import kit.faulty_identities
import kit.faulty_providers  # noqa: F401
from kit.planted import FAULTS

__all__ = ["FAULTS"]
