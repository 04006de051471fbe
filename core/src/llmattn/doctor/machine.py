"""Python, the packages that llmattn needs, torch and its devices."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from llmattn.doctor.finding import Finding

__all__ = ["examine_machine"]

CORE = "llmattn-core"


def examine_machine() -> Iterator[Finding]:
    yield _python()
    yield from _packages()
    yield from _torch()


def _python() -> Finding:
    version = platform.python_version()
    wanted = metadata.metadata(CORE)["Requires-Python"]
    says = f"{platform.python_implementation()} {version}, {sys.executable}"
    if not SpecifierSet(wanted).contains(version, prereleases=True):
        return Finding("Python", "problem", says, f"llmattn needs Python {wanted}: install one.")
    return Finding("Python", "ok", says)


def _packages() -> Iterator[Finding]:
    """Those that llmattn-core needs, if one is missing or another version than it takes."""
    wrong = False
    for text in metadata.requires(CORE) or []:
        needed = Requirement(text)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            found = ""
        if not found or not needed.specifier.contains(found, prereleases=True):
            wrong = True
            says = f"{needed.name} {found or 'is not installed'}"
            remedy = f"pip install '{needed.name}{needed.specifier}'"
            yield Finding("packages", "problem", says, remedy)
    if not wrong:
        version = metadata.version(CORE)
        yield Finding("packages", "ok", f"llmattn-core {version}, with all that it needs")


def _torch() -> Iterator[Finding]:
    try:
        import torch

        devices = [f"cpu ({torch.get_num_threads()} threads)"]
        cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
        devices += [f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(cuda)]
        if torch.backends.mps.is_available():
            devices.append("mps")
    except Exception as error:  # a broken one raises whatever its libraries do
        yield Finding(
            "torch",
            "problem",
            f"it cannot be loaded ({type(error).__name__}: {error})",
            "Reinstall it: pip install --force-reinstall torch (https://pytorch.org says which one "
            "fits this machine). Without it nothing can be trained or sampled.",
        )
        return
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.__file__}")
    says = ", ".join(devices)
    if torch.version.cuda and not cuda:
        yield Finding(
            "devices",
            "note",
            f"{says}; this torch is made for CUDA {torch.version.cuda}, and finds no such device",
            "If there is one, look at its driver (nvidia-smi), and at CUDA_VISIBLE_DEVICES"
            f"{_visible()}.",
        )
    else:
        yield Finding("devices", "ok", says)


def _visible() -> str:
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if said is None else f", which is {said!r}"
