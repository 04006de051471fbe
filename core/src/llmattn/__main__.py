"""``python -m llmattn`` is the ``llmattn`` command."""

from llmattn.entry import run

if __name__ == "__main__":
    run()
