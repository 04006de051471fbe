"""What ``import llmattn`` offers."""

from __future__ import annotations

from pathlib import Path

import llmattn
from support_cli import run_process


def test_every_public_name_can_be_used() -> None:
    assert llmattn.__all__ == sorted(llmattn.__all__)
    for name in llmattn.__all__:
        assert getattr(llmattn, name) is not None


def test_importing_llmattn_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, llmattn; print(sorted({'torch', 'openai', 'lmdb'} & set(sys.modules)))"
    done = run_process(tmp_path, program=("-c", code))
    assert done.stdout.strip() == "[]"
