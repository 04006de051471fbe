"""``python -m llmattn.sample`` is ``llmattn sample``."""

from llmattn.entry import run

if __name__ == "__main__":
    run("sample")
