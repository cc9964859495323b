"""ModelHub as a library: the example of the README, run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()


def example() -> str:
    found = re.search(r"```python\n(import modelhub\n.*?)```", README, re.DOTALL)
    assert found
    return found[1]


def test_the_example_has_twenty_lines_at_most_and_runs(downloads: Path, tmp_path: Path) -> None:
    assert example().count("\n") <= 20
    script = tmp_path / "example.py"
    script.write_text(example())
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "hub"), str(downloads)], capture_output=True, text=True, check=True
    )
    assert "detail.safetensors" in ran.stdout
    assert "3 added" in ran.stdout


def test_importing_the_package_costs_nothing() -> None:
    code = "import modelhub, sys; print(sorted(m for m in sys.modules if m.startswith(('sqlalchemy', 'textual'))))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
