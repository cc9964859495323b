"""Deployment at scale: what a link costs against a bare `os.symlink`, a run that changes nothing, a plan of 100,000
models for five targets with its memory.
"""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import verdict, workplace
from modelhub.core import config
from modelhub.core.events import Result
from modelhub.services.hub import Hub, open_hub
from tests import build

PLANNED = 100_000
APPS = ("comfyui", "forge", "swarmui", "stability_matrix", "folder")
_PLAN = """
import resource, sys, time
from modelhub.core import config
from modelhub.services.hub import open_hub
with open_hub(config.load({}, hub=sys.argv[1])) as hub:
    started = time.perf_counter()
    plan = hub.deployment.plan()
    seconds = time.perf_counter() - started
    print(len(plan.links), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def fill(hub: Hub, place: Path, count: int) -> None:
    """One scanned model, and `count` rows and stored files like it."""
    build.safetensors(place / "in/model.safetensors", build.SD15_LORA)
    for _ in hub.scan([str(place / "in")], adopt="copy"):
        pass
    with sqlite3.connect(hub.places.library) as database:
        for table, key in (("models", "file_hash"), ("blobs", "sha256")):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[1] not in ("id", key)]
            name = "'model ' || value || '.safetensors'"
            other = {"filename": name, "name": name, "name_bytes": f"CAST({name} AS BLOB)"}
            copied = ", ".join(other.get(column, column) for column in columns)
            database.execute(
                f"INSERT INTO {table} ({key}, {', '.join(columns)}) WITH RECURSIVE numbers(value) AS"
                f" (SELECT 1 UNION ALL SELECT value + 1 FROM numbers WHERE value < {count})"
                f" SELECT printf('%064x', value), {copied} FROM (SELECT * FROM {table} LIMIT 1), numbers"
            )
        database.execute(
            "INSERT INTO model_files (model_id, sha256, relative_path, role)"
            " SELECT id, file_hash, filename, 'main' FROM models WHERE filename LIKE 'model %'"
        )
    for number in range(1, count + 1):
        folder = hub.places.models / f"{number:064x}"
        folder.mkdir()
        (folder / f"model {number}.safetensors").touch()


def links_cost(place: Path, count: int) -> tuple[float, float, float]:
    """Seconds for bare links, for a first deployment, and for one that finds all as it should be."""
    with open_hub(config.load({}, hub=str(place / "hub"))) as hub:
        fill(hub, place, count)
        store = hub.places.models
        sources = [str(store / f"{number:064x}/model {number}.safetensors") for number in range(1, count + 1)]
        bare = place / "bare"
        bare.mkdir()
        started = time.perf_counter()
        for source in sources:
            os.symlink(source, bare / os.path.basename(source))
        floor = time.perf_counter() - started
        hub.targets.change("comfyui", enabled=True, path=str(place / "comfyui"))
        times = []
        for _ in range(2):
            started = time.perf_counter()
            plan = hub.deployment.plan()
            made = [event.value.made for event in hub.deployment.apply(plan) if isinstance(event, Result)]
            times.append(time.perf_counter() - started)
        if made != [0]:
            raise AssertionError(made)
        return floor, times[0], times[1]


def main() -> bool:
    kept = True
    with workplace() as place:
        few = links_cost(place / "few", 1_000)
        many = links_cost(place / "many", 10_000)
        bare, ours = (many[0] - few[0]) / 9_000, (many[1] - few[1]) / 9_000
        print(f"a link: {ours * 1e6:.0f} µs, bare os.symlink {bare * 1e6:.0f} µs")
        kept &= verdict("marginal link / bare os.symlink", ours / bare, "<= 10", kept=ours <= 10 * bare)
        kept &= verdict("unchanged re-run / first run", many[2] / many[1], "<= 1", kept=many[2] <= many[1])
    with workplace() as place:
        with open_hub(config.load({}, hub=str(place / "hub"))) as hub:
            fill(hub, place, PLANNED)
            for app in APPS:
                hub.targets.add(f"{app}5", str(place / app), app=app)
        asked = [sys.executable, "-c", _PLAN, str(place / "hub")]
        said = subprocess.run(asked, check=True, capture_output=True, text=True)
        links, seconds, memory = said.stdout.split()
        print(f"a plan of {links} links")
        kept &= verdict("plan of 100,000 models x 5 targets, seconds", float(seconds), "<= 5", kept=float(seconds) <= 5)
        kept &= verdict("its memory, MB", float(memory), "<= 500", kept=float(memory) <= 500)
    return kept


if __name__ == "__main__":
    sys.exit(not main())
