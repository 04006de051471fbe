"""``python -m llmattn`` is the ``llmattn`` command."""

from llmattn.cli.main import main

if __name__ == "__main__":
    main()
