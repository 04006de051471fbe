"""The blocks of docs/following.md, with the real trackers in an environment beside ours: they bring
more than all other tests together.
"""

from __future__ import annotations

import re
import site
import subprocess
import venv
from pathlib import Path

import pytest
from support_cli import environment
from support_engine import write_corpus
from support_environment import OUTER

PAGE = Path(__file__).parents[2] / "docs" / "following.md"
TRACKERS = ("wandb", "mlflow-skinny", "sqlalchemy", "alembic")
KEY = "sk-quite-a-secret-of-mine"

READ = """
import mlflow
(experiment,) = [e for e in mlflow.search_experiments() if e.name == "llmattn"]
client = mlflow.MlflowClient()
(run,) = client.search_runs([experiment.experiment_id])
for name in ("loss/validation", "loss/training"):
    print(name, [point.step for point in client.get_metric_history(run.info.run_id, name)])
"""


@pytest.mark.guides
@pytest.mark.timeout(1800)
def test_the_trackers_keep_a_run_offline_and_no_key(tmp_path: Path) -> None:
    env = tmp_path / "env"
    venv.create(env, with_pip=True)
    python = str(env / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", *TRACKERS]
    subprocess.run(pip, env=OUTER, check=True, capture_output=True, timeout=600)
    (ours,) = site.getsitepackages()
    (beside,) = env.glob("lib/python3*/site-packages")
    (beside / "beside.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    folder = tmp_path / "work"
    folder.mkdir()
    write_corpus(folder).rename(folder / "own.txt")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join([*blocks, READ])
    done = subprocess.run(
        [python, "-c", code],
        cwd=folder,
        env=environment(
            folder, OPENAI_API_KEY=KEY, WANDB_SILENT="true", WANDB_ERROR_REPORTING="false"
        ),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "loss/validation [0, 10, 20, 30, 40]" in done.stdout
    assert "loss/training [10, 20, 30, 40]" in done.stdout
    (kept,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert b"loss/validation" in kept.read_bytes()
    for path in folder.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
