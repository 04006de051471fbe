"""``python -m llmattn.train`` is ``llmattn train``.

Imported, it gives way to the function of its name.
"""

import sys

from llmattn.entry import run

if __name__ == "__main__":
    run("train")
elif __name__ == "llmattn.train":  # not a process that was started by the above
    import llmattn

    sys.modules[__name__] = llmattn.train  # type: ignore[assignment]
