"""`python -m tests.hostile.fire FOLDER`: unpickles every armed case in FOLDER, one after the other.

The proof that the cases are attacks: whoever loads them the naive way finds their canaries. Their payloads only
touch files in that folder.
"""

import contextlib
import os
import pickle
import sys
import warnings
from pathlib import Path

from tests.hostile import every_case
from tests.hostile.standins import install


def fire(folder: Path) -> None:
    install()
    for case in every_case():
        if case.armed:
            with open(folder / case.kind / case.name, "rb") as stream, contextlib.suppress(BaseException):
                pickle.load(stream, encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (until the process ends)
    fire(Path(sys.argv[1]))
