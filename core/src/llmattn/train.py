"""``python -m llmattn.train`` is ``llmattn train``."""

from llmattn.cli.main import run_command

if __name__ == "__main__":
    run_command("train")
