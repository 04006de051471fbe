"""``python -m llmattn.sample`` is ``llmattn sample``."""

from llmattn.cli.main import run_command

if __name__ == "__main__":
    run_command("sample")
