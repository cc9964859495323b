"""Choose the door: the terminal interface where no command is given, else the command line.

Imports nothing heavy, so that `--help` and `--version` stay quick.
"""

import gc
import sys
from collections.abc import Sequence

_COLLECT_AFTER = 100_000
"""Objects made before Python looks for cycles: headers are many small objects, and none of them is in one."""

_WITH_VALUE = ("--hub", "--config")


def main() -> None:
    gc.set_threshold(_COLLECT_AFTER, 20, 50)
    arguments = sys.argv[1:]
    if sys.stdin.isatty() and sys.stdout.isatty() and _asks_for_no_command(arguments):
        arguments = ["tui", *arguments]
    from modelhub.cli import run  # noqa: PLC0415  (a door is imported only when it is used)

    sys.exit(run(arguments))


def _asks_for_no_command(arguments: Sequence[str]) -> bool:
    """Whether there is nothing but the options that say which hub and which settings."""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in _WITH_VALUE and rest:
            rest.pop(0)
        elif not word.startswith(tuple(f"{name}=" for name in _WITH_VALUE)):
            return False
    return True


if __name__ == "__main__":
    main()
