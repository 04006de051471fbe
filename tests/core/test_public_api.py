"""What ``import llmattn`` offers."""

from __future__ import annotations

import subprocess
import sys

import llmattn


def test_every_public_name_can_be_used() -> None:
    assert llmattn.__all__ == sorted(llmattn.__all__)
    for name in llmattn.__all__:
        assert getattr(llmattn, name) is not None


def test_importing_llmattn_imports_nothing_heavy() -> None:
    code = "import sys, llmattn; print(sorted({'torch', 'openai', 'lmdb'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
