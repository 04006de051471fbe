"""``python -m llmattn.score``: fill the cache with the scores that a corpus needs."""

from llmattn.cli.main import run_command

if __name__ == "__main__":
    run_command("score")
