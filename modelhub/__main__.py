"""Choose the door. Imports nothing heavy, so that `--help` and `--version` stay quick."""

import sys


def main() -> None:
    from modelhub.cli import run  # noqa: PLC0415  (a door is imported only when it is used)

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
