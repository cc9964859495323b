"""Write every case into a folder, with what must become of it."""

import json
import sys
from pathlib import Path

from tests.hostile import write


def _main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("Usage: python -m tests.hostile FOLDER\n")
        return 2
    folder = Path(sys.argv[1])
    told = write(folder)
    (folder / "cases.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(_main())
