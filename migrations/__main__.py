"""Start a new migration: `python -m migrations modelhub "what changes"`."""

import re
import sys
from pathlib import Path

TEMPLATE = '''"""{what}."""

from alembic import op

revision = "{number}"
down_revision = "{previous}"


def upgrade() -> None:
    op.execute("")
'''
TREES = ("modelhub", "classification")


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in TREES or not arguments[1].strip():
        print('usage: python -m migrations modelhub|classification "what changes"', file=sys.stderr)  # noqa: T201
        return 2
    tree, what = arguments
    folder = Path(__file__).parent / tree / "versions"
    previous = max(path.name[:4] for path in folder.glob("[0-9]*.py"))
    number = f"{int(previous) + 1:04d}"
    slug = re.sub(r"\W+", "_", what.lower()).strip("_")
    path = folder / f"{number}_{slug}.py"
    path.write_text(TEMPLATE.format(what=what.strip().capitalize(), number=number, previous=previous), encoding="utf-8")
    print(path)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
