"""The sample library of `make run`: small model files with genuine tensor names, scanned, stored, deployed, shown.

python -m tests.sample [FOLDER]
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.build import write_samples


def main(arguments: list[str]) -> int:
    """Build everything under FOLDER (default: demo) anew and print the tables."""
    folder = Path(arguments[0] if arguments else "demo").absolute()
    if folder.exists():
        if not (folder / ".modelhub-demo").is_file():
            print(f"{folder} is not a demo of ours; choose another folder.", file=sys.stderr)  # noqa: T201
            return 1
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / ".modelhub-demo").touch()
    for _ in write_samples(folder / "downloads"):
        pass
    hub = ["--hub", str(folder / "hub")]
    for app in ("comfyui", "forge"):
        base = folder / app / "models"
        base.mkdir(parents=True)
    _modelhub(*hub, "scan", str(folder / "downloads"), accept=(0, 3))
    _modelhub(*hub, "targets", "enable", "comfyui", "--path", str(folder / "comfyui" / "models"))
    _modelhub(*hub, "targets", "enable", "forge", "--path", str(folder / "forge" / "models"))
    _modelhub(*hub, "deploy")
    for command in ("list", "stats", "status", "doctor"):
        _modelhub(*hub, command)
    return 0


def _modelhub(*words: str, accept: tuple[int, ...] = (0,)) -> None:
    print(f"\n$ modelhub {' '.join(words)}", flush=True)  # noqa: T201
    code = subprocess.run([sys.executable, "-m", "modelhub", *words], check=False).returncode
    if code not in accept:
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
