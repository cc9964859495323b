"""A hub made by the first version is adopted in place: nothing of its user's is lost."""

import hashlib
import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelhub.core import config
from modelhub.core.errors import DatabaseBroken, SchemaTooNew
from modelhub.core.events import Result
from modelhub.core.types import ModelFilter
from modelhub.services.hub import Hub, database_status, open_hub
from modelhub.services.verify import Scope
from tests.conftest import Modelhub, finish, scan

ARCHIVE = Path(__file__).parent.parent / "data/first_version_hub.tar.xz"
PROMISED = ("models", "model_metadata", "deploy_targets", "deploy_mappings", "deploy_links")


@pytest.fixture
def old_hub(tmp_path: Path) -> Path:
    subprocess.run(["tar", "--sparse", "-xJf", ARCHIVE, "-C", tmp_path], check=True)
    (tmp_path / "legacy_hub").rename(tmp_path / "hub")
    return tmp_path / "hub"


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    found = [dict(row) for row in database.execute(f"SELECT * FROM {table} ORDER BY id")]
    database.close()
    return found


def files(hub: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in sorted((hub / "models").rglob("*")):
        result = path.lstat()
        found[str(path)] = (result.st_mode, result.st_size, result.st_mtime_ns)
    return found


def test_every_row_id_and_value_is_kept(old_hub: Path, new_hub: Callable[[], Hub]) -> None:
    before = {table: rows(old_hub / "modelhub.db", table) for table in PROMISED}
    new_hub()
    for table, old_rows in before.items():
        after = {row["id"]: row for row in rows(old_hub / "modelhub.db", table)}
        assert len(after) == len(old_rows)
        for row in old_rows:
            assert {name: after[row["id"]][name] for name in row} == row


def test_model_files_are_untouched(old_hub: Path, new_hub: Callable[[], Hub]) -> None:
    before = files(old_hub)
    new_hub()
    assert files(old_hub) == before


def test_a_backup_is_made_first_and_the_second_opening_changes_nothing(
    old_hub: Path, new_hub: Callable[[], Hub]
) -> None:
    content = hashlib.sha256((old_hub / "modelhub.db").read_bytes()).digest()
    saved = new_hub().upgraded_from
    assert sorted(path.name.split("-")[0] for path in saved) == ["classification", "modelhub"]
    assert rows(next(path for path in saved if path.name.startswith("modelhub")), "models")[0]["id"] == 1
    assert content  # the backup is of the file as it was: no new column is in it
    assert "state" not in rows(next(path for path in saved if path.name.startswith("modelhub")), "models")[0]
    before = {path: path.read_bytes() for path in (old_hub / "modelhub.db", old_hub / "classification.db")}
    assert new_hub().upgraded_from == ()
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((old_hub / "backups").iterdir())) == 2


def test_its_models_are_listed_and_verified(old_hub: Path, new_hub: Callable[[], Hub]) -> None:
    hub = new_hub()
    assert len(hub.models.find(ModelFilter())) == 26
    assert len(hub.models.find(ModelFilter(deleted=True))) == 2
    value = next(event.value for event in hub.verifier.verify(Scope()) if isinstance(event, Result))
    assert (value.contents, value.good) == (28, 28)


def test_what_was_classified_by_hand_survives_reclassification(old_hub: Path, new_hub: Callable[[], Hub]) -> None:
    hub = new_hub()
    by_hand = hub.models.resolve("mochi_dissolve.safetensors")
    assert (by_hand.type, by_hand.sub_type, by_hand.method) == ("checkpoint", "pony", "manual")
    finish(hub.models.reclassify(hub.models.find(ModelFilter())))
    again = hub.models.resolve("mochi_dissolve.safetensors")
    assert (again.type, again.sub_type, again.method) == ("checkpoint", "pony", "manual")
    assert hub.models.resolve("style_lokr_v3.safetensors").type == "lora"


def test_own_rules_stay_and_shipped_defaults_retire(old_hub: Path, new_hub: Callable[[], Hub]) -> None:
    ids = {row["name"]: row["id"] for row in rows(old_hub / "classification.db", "model_types")}
    new_hub()
    own = [row for row in rows(old_hub / "classification.db", "sub_type_rules") if row["origin"] == "user"]
    assert [(row["sub_type"], row["pattern"]) for row in own] == [("my_style", "mystyle_.*")]
    sizes = {row["model_type"]: row for row in rows(old_hub / "classification.db", "effective_size_rules")}
    assert (sizes["lora"]["max_size"], sizes["lora"]["origin"]) == (123456789, "user")
    assert sizes["vae"]["origin"] == "seed"
    after = {row["name"]: row["id"] for row in rows(old_hub / "classification.db", "effective_model_types")}
    assert {name: after[name] for name in ids} == ids
    assert not [
        row for row in rows(old_hub / "classification.db", "effective_sub_type_rules") if row["sub_type"] == "standard"
    ]
    assert rows(old_hub / "classification.db", "detection_rules")


def test_its_own_rule_decides(old_hub: Path, new_hub: Callable[[], Hub], downloads: Path) -> None:
    (downloads / "detail.safetensors").rename(downloads / "mystyle_ink.safetensors")
    assert scan(new_hub(), downloads).files["mystyle_ink.safetensors"].sub_type == "my_style"


def test_links_it_left_behind_are_known(old_hub: Path, new_hub: Callable[[], Hub], tmp_path: Path) -> None:
    blob = next(path for path in old_hub.glob("models/*/LowRA.safetensors"))
    place = tmp_path / "old downloads/LowRA.safetensors"
    place.parent.mkdir()
    place.symlink_to(blob)
    hub = new_hub()
    assert scan(hub, place.parent).outcomes() == {"LowRA.safetensors": "known"}
    assert [where.path for where in hub.models.details("LowRA").locations] == [str(place)]
    assert os.readlink(place) == str(blob)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM models WHERE id = 3",
        "DROP TABLE deploy_targets",
        "ALTER TABLE models ADD COLUMN notes TEXT",
        "DROP TABLE deploy_links",
        "ALTER TABLE models ADD COLUMN my_column TEXT",
        "ALTER TABLE models DROP COLUMN debug_info",
    ],
)
def test_other_shapes_of_it_open_too(old_hub: Path, new_hub: Callable[[], Hub], change: str) -> None:
    database = sqlite3.connect(old_hub / "modelhub.db")
    database.execute(change)
    database.commit()
    database.close()
    assert len(new_hub().models.find(ModelFilter())) == 26
    assert new_hub().upgraded_from == ()


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(old_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = sqlite3.connect(old_hub / "modelhub.db")
    database.execute("CREATE TABLE evidence (mine TEXT)")  # stands where the upgrade makes a table
    database.commit()
    before = list(database.iterdump())
    database.close()
    with pytest.raises(DatabaseBroken, match="evidence"):
        open_hub(config.load({}, hub=str(old_hub)))
    database = sqlite3.connect(old_hub / "modelhub.db")
    assert list(database.iterdump()) == before
    database.close()


def test_a_hub_of_a_newer_program_is_refused_and_left_alone(new_hub: Callable[[], Hub], tmp_path: Path) -> None:
    new_hub().close()
    database = sqlite3.connect(tmp_path / "hub/modelhub.db")
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.commit()
    database.close()
    with pytest.raises(SchemaTooNew, match="newer ModelHub"):
        new_hub()


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    database = sqlite3.connect(tmp_path / "hub/modelhub.db")
    database.execute("CREATE TABLE bookmarks (url TEXT)")
    database.commit()
    database.close()
    with pytest.raises(DatabaseBroken, match="some other program"):
        open_hub(config.load({}, hub=str(tmp_path / "hub")))


def test_its_status_is_told_without_changing_it(old_hub: Path) -> None:
    from modelhub.core.places import HubPlaces

    before = (old_hub / "modelhub.db").read_bytes()
    states = database_status(HubPlaces(old_hub))
    assert [state.condition for state in states] == ["first_version", "first_version"]
    assert (old_hub / "modelhub.db").read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        'ALTER TABLE model_types ADD COLUMN "my col" TEXT',
        'ALTER TABLE size_rules ADD COLUMN "order" TEXT',
        "CREATE VIEW mine AS SELECT name FROM model_types",
        "DROP TABLE model_types",
    ],
)
def test_other_shapes_of_its_rules_open_too(old_hub: Path, new_hub: Callable[[], Hub], change: str) -> None:
    database = sqlite3.connect(old_hub / "classification.db")
    database.execute(change)
    database.commit()
    database.close()
    assert "lora" in dict(new_hub().models.types())


def test_no_rule_row_of_it_is_lost(old_hub: Path, new_hub: Callable[[], Hub]) -> None:
    tables = (
        "model_types",
        "size_rules",
        "sub_type_rules",
        "architecture_patterns",
        "external_apis",
        "detection_rules",
    )
    before = {table: {row["id"] for row in rows(old_hub / "classification.db", table)} for table in tables}
    new_hub()
    for table in tables:
        assert before[table] <= {row["id"] for row in rows(old_hub / "classification.db", table)}


def test_a_dry_run_leaves_it_as_it_is(old_hub: Path, downloads: Path, modelhub: Modelhub) -> None:
    before = {path: path.read_bytes() for path in (old_hub / "modelhub.db", old_hub / "classification.db")}
    assert modelhub("scan", downloads, "--dry-run", hub=old_hub).code == 0
    assert {path: path.read_bytes() for path in before} == before
    assert not (old_hub / "backups").exists()
