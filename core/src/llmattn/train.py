"""``python -m llmattn.train`` is ``llmattn train``."""

from llmattn.entry import run

if __name__ == "__main__":
    run("train")
