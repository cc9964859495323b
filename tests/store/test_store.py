"""The promise of the two databases: names, meanings, migrations, seed rules."""

import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Inspector, create_engine, inspect

from modelhub.core import config
from modelhub.core.errors import Ambiguous, NotFound, Unreadable
from modelhub.core.places import bundled
from modelhub.core.types import ModelFilter
from modelhub.services.hub import Hub, open_hub
from modelhub.store import migrate, schema, seed
from modelhub.store.engine import Database
from modelhub.store.rules import Rules
from tests import build
from tests.conftest import finish, scan

PROMISED_COLUMNS = {
    "models": """id file_hash reclassify deleted filename file_size file_extension primary_type sub_type triggers
        confidence classification_method tensor_count architecture precision quantization filename_score size_score
        metadata_score tensor_score classified_at created_at updated_at""",
    "model_metadata": "id model_id metadata_type key value",
    "deploy_targets": "id name display_name base_path enabled created_at updated_at",
    "deploy_mappings": "id target_id model_type folder_path",
    "deploy_links": "id model_id target_id source_path deploy_path is_deployed deployed_at created_at",
}
PROMISED_RULE_COLUMNS = {
    "model_types": "id name display_name description enabled created_at",
    "size_rules": "id model_type min_size max_size confidence_weight enabled created_at",
    "sub_type_rules": "id primary_type sub_type pattern pattern_type confidence_weight enabled created_at",
    "architecture_patterns": "id architecture tensor_pattern confidence_weight enabled created_at",
    "external_apis": "id name enabled priority rate_limit_delay timeout_seconds created_at",
}


def columns(path: Path, table: str) -> set[str]:
    database = sqlite3.connect(path)
    found = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
    database.close()
    return found


def test_every_promised_table_and_column_is_there(hub: Hub) -> None:
    for table, names in PROMISED_COLUMNS.items():
        assert set(names.split()) <= columns(hub.places.library, table)
    for table, names in PROMISED_RULE_COLUMNS.items():
        assert set(names.split()) <= columns(hub.places.rules, table)


def own_tables(found: Inspector) -> set[str]:
    """Without those that Alembic and the search index keep for themselves."""
    return {name for name in found.get_table_names() if name != "alembic_version" and "search" not in name}


def test_the_migrations_make_what_the_program_expects(hub: Hub) -> None:
    engine = create_engine(f"sqlite:///{hub.places.library}")
    found = inspect(engine)
    assert set(schema.library.tables) == own_tables(found)
    for table in schema.library.tables.values():
        made = {column["name"]: column for column in found.get_columns(table.name)}
        assert set(made) == {column.name for column in table.columns}
        for column in table.columns:
            if not column.primary_key:
                assert made[column.name]["nullable"] == column.nullable, f"{table.name}.{column.name}"
    engine.dispose()


def test_the_queries_people_have_keep_working(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    database = sqlite3.connect(hub.places.library)
    counts = database.execute(
        "SELECT primary_type, COUNT(*) FROM models WHERE deleted = 0 GROUP BY primary_type"
    ).fetchall()
    assert counts == [("embedding", 1), ("lora", 1), ("vae", 1)]
    targets = database.execute("SELECT name, display_name, enabled FROM deploy_targets").fetchall()
    assert ("comfyui", "ComfyUI", 0) in targets
    database.close()


def test_the_databases_are_durable_and_strict(hub: Hub) -> None:
    with hub._databases[0].read() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 60_000}


def test_several_programs_may_make_the_same_hub_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelhub", "--hub", str(tmp_path / "hub"), "targets", "list", "--json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    answers = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 4, answers
    assert all(len(json.loads(out)["targets"]) == 4 for out, _ in answers)


def test_a_warm_start_does_not_look_for_migrations(
    hub: Hub, new_hub: Callable[[], Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_run", lambda *_: pytest.fail("a warm start ran Alembic"))
    new_hub()


def rules_of(hub: Hub) -> sqlite3.Connection:
    return sqlite3.connect(hub.places.rules, isolation_level=None)


def renewed(hub: Hub, tmp_path: Path, change: Callable[[str], str]) -> None:
    """Ship other rules and open the hub again."""
    folder = tmp_path / "seed"
    shutil.copytree(bundled("classification_seed"), folder)
    path = folder / "size_rules.yaml"
    path.write_text(change(path.read_text()))
    database = Database(hub.places.rules)
    Rules(database).renew(folder)
    database.close()


def test_a_users_row_hides_ours_of_the_same_name(hub: Hub) -> None:
    database = rules_of(hub)
    database.execute("INSERT INTO model_types (name, display_name) VALUES ('lora', 'My LoRAs')")
    rows = database.execute("SELECT display_name, origin FROM effective_model_types WHERE name = 'lora'").fetchall()
    assert rows == [("My LoRAs", "user")]
    database.close()


def test_new_seed_rules_replace_ours_and_never_a_users(hub: Hub, tmp_path: Path) -> None:
    database = rules_of(hub)
    database.execute("INSERT INTO size_rules (model_type, min_size, max_size) VALUES ('vae', 1, 2)")
    renewed(hub, tmp_path, lambda text: text.replace("lora: [100000,", "lora: [4711,").replace("gligen:", "novelty:"))
    found = dict(database.execute("SELECT model_type, min_size FROM effective_size_rules"))
    assert (found["lora"], found["vae"], "gligen" in found, "novelty" in found) == (4711, 1, False, True)
    database.close()


def test_a_row_of_ours_that_was_edited_by_hand_becomes_the_users(hub: Hub, tmp_path: Path) -> None:
    database = rules_of(hub)
    database.execute("UPDATE size_rules SET max_size = 12345 WHERE model_type = 'lora'")
    database.execute("UPDATE size_rules SET enabled = 0 WHERE model_type = 'sam'")
    renewed(hub, tmp_path, lambda text: text + "\n# a new version\n")
    found = dict(database.execute("SELECT model_type, max_size FROM effective_size_rules"))
    assert found["lora"] == 12345
    assert "sam" not in found
    database.close()


def test_a_rule_inserted_by_hand_decides_the_next_scan(hub: Hub, new_hub: Callable[[], Hub], downloads: Path) -> None:
    database = rules_of(hub)
    database.execute(
        "INSERT INTO sub_type_rules (primary_type, sub_type, pattern) VALUES ('lora', 'my_own', '^detail')"
    )
    database.close()
    assert scan(new_hub(), downloads).files["detail.safetensors"].sub_type == "my_own"


def test_seed_files_load_and_keys_are_unique() -> None:
    rows = seed.load(bundled("classification_seed")).rows
    for table, key in (
        ("architecture_patterns", "key"),
        ("filename_patterns", "key"),
        ("sub_type_rules", "key"),
        ("model_types", "name"),
    ):
        keys = [row[key] for row in rows[table]]
        assert len(keys) == len(set(keys))
    known = {row["name"] for row in rows["model_types"]}
    assert {row["model_type"] for row in rows["size_rules"]} <= known
    assert {row["model_type"] for row in rows["architecture_patterns"]} - {""} <= known
    families = {row["name"] for row in rows["base_models"]}
    told = [row["base"] for row in rows["architecture_patterns"] if not row["base"].startswith("=")]
    named = {family for base in told for family in base.split("|")}
    assert named - {""} <= families


@pytest.fixture
def library(hub: Hub, tmp_path: Path) -> Hub:
    """Five models of several kinds."""
    folder = tmp_path / "models"
    build.safetensors(folder / "ink.safetensors", build.SDXL_LORA, mark="1")
    build.safetensors(folder / "ink_pony.safetensors", build.SDXL_LORA, mark="2")
    build.safetensors(folder / "Detail.safetensors", build.SD15_LORA)
    build.safetensors(folder / "ÄRA.safetensors", build.vae())
    build.gguf(folder / "tiny-F16.gguf", build.llm_pairs("llama", "tiny"), build.LLM_TENSORS)
    scan(hub, folder)
    hub.models.correct("ink", fields={}, add_tags=["art"])
    return hub


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (ModelFilter(text="INK"), ["ink.safetensors", "ink_pony.safetensors"]),
        (ModelFilter(text="ära"), ["ÄRA.safetensors"]),
        (ModelFilter(text="50%_off"), []),
        (ModelFilter(types=("lora",), bases=("sdxl",)), ["ink.safetensors", "ink_pony.safetensors"]),
        (ModelFilter(sub_types=("pony",)), ["ink_pony.safetensors"]),
        (ModelFilter(tags=("art",)), ["ink.safetensors"]),
        (ModelFilter(formats=("gguf",)), ["tiny-F16.gguf"]),
        (ModelFilter(quantizations=("f16",), formats=("gguf",)), ["tiny-F16.gguf"]),
        (ModelFilter(categories=("language",)), ["tiny-F16.gguf"]),
        (ModelFilter(capabilities=("completion",)), ["tiny-F16.gguf"]),
        (ModelFilter(licenses=("mit",)), []),
        (ModelFilter(types=("vae", "llm")), ["tiny-F16.gguf", "ÄRA.safetensors"]),
        (ModelFilter(max_size=100_000, types=("lora",), bases=("sd15",)), ["Detail.safetensors"]),
        (ModelFilter(min_size=1 << 40), []),
        (ModelFilter(deployed=True), []),
        (ModelFilter(missing=True), []),
        (ModelFilter(min_confidence=0.97, types=("lora",)), []),
    ],
)
def test_models_are_found(library: Hub, wanted: ModelFilter, names: list[str]) -> None:
    assert sorted(model.filename for model in library.models.find(wanted)) == sorted(names)
    assert library.models.count(wanted) == len(names)


@pytest.mark.parametrize("name", ["Detail.safetensors", "detail.SAFETENSORS", "detail"])
def test_a_model_is_named_by_its_name_in_any_case(library: Hub, name: str) -> None:
    assert library.models.resolve(name).filename == "Detail.safetensors"


def test_a_model_is_named_by_id_or_the_start_of_its_hash(library: Hub) -> None:
    model = library.models.resolve("ink")
    for name in (str(model.id), model.sha256, model.sha256[:12], model.sha256[:12].upper()):
        assert library.models.resolve(name).id == model.id


def test_a_name_that_fits_several_is_refused_with_their_ids(library: Hub, tmp_path: Path) -> None:
    build.safetensors(tmp_path / "again/ink.safetensors", build.SDXL_LORA, mark="3")
    scan(library, tmp_path / "again")
    with pytest.raises(Ambiguous, match=r"ink\.safetensors"):
        library.models.resolve("ink")
    with pytest.raises(NotFound):
        library.models.resolve("nothing of this name")


def test_corrections_stick_until_they_are_lifted(library: Hub) -> None:
    library.models.correct("ink", fields={"type": "embedding", "sub_type": "mine"})
    finish(library.models.reclassify(library.models.find(ModelFilter())))
    kept = library.models.resolve("ink")
    assert (kept.type, kept.sub_type, kept.method) == ("embedding", "mine", "manual")
    library.models.correct("ink", fields={"type": "", "sub_type": ""})
    lifted = library.models.resolve("ink")
    assert (lifted.type, lifted.sub_type) == ("lora", "sdxl")


def test_metadata_and_evidence_are_kept_as_rows(library: Hub) -> None:
    details = library.models.details("tiny-F16")
    assert ("gguf", "general.architecture", "llama") in details.metadata
    assert details.model.context_length == 8192
    assert any(one.claim == "llm" for one in details.evidence)


def test_a_read_only_hub_can_be_read_and_says_why_it_cannot_be_written(
    library: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.close()
    monkeypatch.setattr("os.access", lambda *_: False)
    with Database(library.places.library).read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM models").scalar() == 5
    with pytest.raises(Unreadable, match="cannot be written"), Database(library.places.library).write() as connection:
        connection.exec_driver_sql("DELETE FROM models")


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A hub of the version before families, categories and what sites say."""
    folder = tmp_path / "earlier"
    folder.mkdir()
    for name in ("modelhub.db", "classification.db"):
        content = gzip.decompress(
            (Path(__file__).parent.parent / "data" / "before_families" / f"{name}.gz").read_bytes()
        )
        (folder / name).write_bytes(content)
    return folder


def test_a_hub_of_an_earlier_version_opens_whole(earlier: Path) -> None:
    with open_hub(config.load({}, hub=str(earlier))) as hub:
        model = hub.models.resolve("ink_pony")
        assert (model.type, model.base, model.tags) == ("lora", "flux", ("art",))
        assert hub.models.details("ink_pony").corrections == {"base": "flux"}
        assert len(hub.upgraded_from) == 2
        mine = {(one.table, one.key) for one in hub.rules.listed(mine=True)}
    assert ("size_rules", "sam") in mine, "a shipped row that was changed in place is the user's"
    with sqlite3.connect(earlier / "classification.db") as database:
        own = database.execute("SELECT sub_type, pattern FROM sub_type_rules WHERE origin = 'user'").fetchall()
        sure = database.execute(
            "SELECT confidence_weight FROM effective_size_rules WHERE model_type = 'sam'"
        ).fetchall()
    assert own == [("my_style", "mystyle")]
    assert sure == [(0.9,)]


def test_new_columns_make_no_shipped_rule_a_users(earlier: Path) -> None:
    with open_hub(config.load({}, hub=str(earlier))):
        pass
    with sqlite3.connect(earlier / "classification.db") as database:
        for table in ("model_types", "base_models", "architecture_patterns", "filename_patterns"):
            assert database.execute(f"SELECT COUNT(*) FROM {table} WHERE origin = 'user'").fetchone() == (0,)
