"""``python -m llmattn.score``: fill the cache with the scores that a corpus needs."""

from llmattn.entry import run

if __name__ == "__main__":
    run("score")
