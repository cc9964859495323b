"""Rules as data that people change: their rows, their files, and what a check of them finds."""

import os
import sqlite3
from pathlib import Path

import pytest

from modelhub.core.errors import ConfigInvalid, Conflict, InvalidInput, NotFound
from modelhub.core.places import bundled
from modelhub.core.types import ModelFilter
from modelhub.services.hub import Hub, open_hub
from modelhub.store import rule_files, seed
from tests import build
from tests.conftest import finish, scan

STARLIGHT = """
base_models:
  starlight: {name: Starlight, domain: diffusion}
architecture_patterns:
  - key: dit-starlight
    when: {all: ['star_blocks.#.attn.weight'], none: ['*lora*']}
    then: {type: unet, base: starlight, confidence: 0.95}
    because: the blocks of Starlight
"""
TENSORS = {f"star_blocks.{number}.attn.weight": (64, 64) for number in range(4)}


@pytest.fixture
def starlight(tmp_path: Path) -> Path:
    return build.safetensors(tmp_path / "mystery.safetensors", TENSORS)


def test_an_unknown_architecture_needs_yaml_only(hub: Hub, starlight: Path) -> None:
    assert hub.judge.at(str(starlight)).verdict.type == "unknown"
    hub.rules.folder.mkdir()
    (hub.rules.folder / "starlight.yaml").write_text(STARLIGHT)
    with open_hub(hub.settings) as again:
        verdict = again.judge.at(str(starlight)).verdict
    assert (verdict.type, verdict.base) == ("unet", "starlight")


def test_added_rules_count_at_once_and_are_told_as_yours(hub: Hub, starlight: Path) -> None:
    assert hub.rules.add(STARLIGHT, "mine.yaml") == ["starlight", "dit-starlight"]
    assert hub.judge.at(str(starlight)).verdict.base == "starlight"
    assert [one.key for one in hub.rules.listed(mine=True)] == ["starlight", "dit-starlight"]
    with pytest.raises(Conflict, match="You have a rule"):
        hub.rules.add(STARLIGHT, "mine.yaml")


def test_a_new_rule_makes_what_was_judged_before_stale(hub: Hub, starlight: Path) -> None:
    scan(hub, starlight.parent, adopt="reference")
    hub.rules.add(STARLIGHT, "mine.yaml")
    assert finish(hub.models.reclassify(None)).changed == 1
    assert hub.models.resolve("mystery").base == "starlight"
    assert finish(hub.models.reclassify(None)).models == 0


@pytest.mark.parametrize(
    ("content", "error", "told"),
    [
        ("- {key: x, when: {alll: [a]}, then: {type: llm}, because: y}", InvalidInput, "'x': unknown condition 'alll'"),
        ("- {key: x, when: {all: [a]}, then: {type: nope}, because: y}", InvalidInput, "'nope'"),
        ("- {key: x, when: {all: [a]}, then: {type: llm, base: nope}, because: y}", InvalidInput, "no family 'nope'"),
        ("- {key: x, when: {requires: [nope]}, then: {type: llm}, because: y}", InvalidInput, "no rule 'nope'"),
        ("- {key: x, when: {regex: '('}, then: {type: llm}, because: y}", InvalidInput, "pattern"),
        ("- {key: x, when: {all: [a]}, because: y}", ConfigInvalid, "'x' lacks 'then'"),
        ("- {when: {all: [a]}, then: {type: llm}, because: y}", ConfigInvalid, "has no key"),
        ("- {key: x, when: {all: [a]}, then: llm, because: y}", ConfigInvalid, "'x' is not written as one is"),
        ("nothing: []", ConfigInvalid, "no table 'nothing'"),
        ("category_rules: 3", ConfigInvalid, "must be a list"),
        (
            "category_rules: [{key: c, level: height, value: X, confidence: 1}]",
            ConfigInvalid,
            "level must be one of primary",
        ),
        (
            "category_rules: [{key: c, level: primary, value: [X], confidence: 1}]",
            ConfigInvalid,
            "value must be a text",
        ),
        ("- {key: x, when: {all: [a]}, then: {type: llm, confidence: .nan}, because: y}", ConfigInvalid, "from 0 to 1"),
        ("- {key: x, when: {all: [a]}, then: {type: llm, confidence: 99}, because: y}", ConfigInvalid, "from 0 to 1"),
        ("- {key: x, when: {all: [a]}, then: {type: [llm]}, because: y}", ConfigInvalid, "must be a text"),
        ("- {key: x, when: {all: [a]}, then: {type: llm}, because: y, before: 7}", ConfigInvalid, "not written"),
        ("- {key: x, when: {}, then: {type: llm}, because: y}", ConfigInvalid, "not written"),
        ("- {key: x, whenn: {all: [a]}, then: {type: llm}, because: y}", ConfigInvalid, "no field 'whenn'"),
        ("- {key: ' ', when: {all: [a]}, then: {type: llm}, because: y}", ConfigInvalid, "visible characters"),
        ("- {key: [1], when: {all: [a]}, then: {type: llm}, because: y}", ConfigInvalid, "no key that is a text"),
        ("- {key: x, when: {otherwise: 'false'}, then: {type: llm}, because: y}", InvalidInput, "true or false"),
        ("- {key: x, when: {count: {a: [5, 1]}}, then: {type: llm}, because: y}", InvalidInput, "least, most"),
        ("- {key: x, when: {regex: '(a|aa)+$'}, then: {type: llm}, because: y}", InvalidInput, "takes too long"),
        ("external_apis: {civitai: [1, .nan, 5]}", ConfigInvalid, "rate_limit_delay must be a number"),
        ("external_apis: {civitai: [1, 1, 0]}", ConfigInvalid, "timeout_seconds must be a number above 0"),
        ("external_apis: {civitai: abc}", ConfigInvalid, "not written"),
        ("size_rules: {lora: [5, 1, 0.3]}", ConfigInvalid, "the least size is over the most"),
        ("size_rules: {nope: [1, 5, 0.3]}", InvalidInput, "no type 'nope'"),
        ("method_weights: {smell: 1}", ConfigInvalid, "must be one of"),
        ("model_types: {zz: ab}", ConfigInvalid, "not written"),
        ("base_models: {zz: {name: Z, parent: zz}}", InvalidInput, "its own parent"),
        ("base_models: {zz: {name: Z, parent: nope}}", InvalidInput, "no family 'nope'"),
        ("filename_patterns: [{key: x, pattern: a, confidence: 1, because: y}]", InvalidInput, "claims neither"),
        (
            "sub_type_rules: [{key: x, type: nope, sub_type: a, pattern: a, confidence: 1}]",
            InvalidInput,
            "no type 'nope'",
        ),
        ("model_types: {a: [A, a]}\nmodel_types: {b: [B, b]}", ConfigInvalid, "there twice"),
        ("base_models: {a: &x {name: A}, b: *x}", ConfigInvalid, "aliases"),
        ("base_models: {a: &x {name: A}, b: {<<: *x}}", ConfigInvalid, "merge keys"),
        ("categorization_rules: 7", InvalidInput, "no category"),
        ("disabled: {base_models: [zz]}", ConfigInvalid, "no rule of base_models in this file"),
        ("- " + "[" * 5000, ConfigInvalid, "not valid YAML"),
        ("[1, 2", ConfigInvalid, "not valid YAML"),
        ("just words", ConfigInvalid, "no tables"),
    ],
)
def test_a_rule_that_cannot_be_right_is_refused_by_name(
    hub: Hub, content: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        hub.rules.add(content, "mine.yaml")
    assert hub.rules.listed(mine=True) == []


def test_rules_that_run_in_a_circle_are_refused(hub: Hub) -> None:
    circle = """
- {key: one, when: {all: [a]}, then: {type: llm}, before: [two], because: x}
- {key: two, when: {all: [b]}, then: {type: llm}, before: [one], because: x}
"""
    with pytest.raises(InvalidInput, match="circle"):
        hub.rules.add(circle, "mine.yaml")


def test_a_rule_is_switched_off_and_on(hub: Hub, tmp_path: Path) -> None:
    path = str(build.safetensors(tmp_path / "x.safetensors", build.flux()))
    assert hub.judge.at(path).verdict.variant == "dev"
    for key in ("dit-flux-dev", "dit-flux"):
        hub.rules.enable(key, enabled=False)
    assert hub.judge.at(path).verdict.type == "unknown"
    for key in ("dit-flux-dev", "dit-flux"):
        hub.rules.enable(key, enabled=True)
    assert hub.judge.at(path).verdict.variant == "dev"
    assert hub.rules.listed(mine=True) == []


def test_a_changed_rule_of_ours_is_yours_until_it_is_reset(hub: Hub) -> None:
    changed = hub.rules.show("dit-wan").replace("confidence: 0.96", "confidence: 0.5")
    hub.rules.add(changed, "editor", replace=True)
    assert "confidence: 0.5" in hub.rules.show("dit-wan")
    assert [one.level for one in hub.rules.lint(samples=False)] == ["note"]
    assert hub.rules.reset("dit-wan") == 1
    assert "confidence: 0.96" in hub.rules.show("dit-wan")
    with pytest.raises(NotFound, match="You have no rule"):
        hub.rules.reset("dit-wan")


def test_exported_rules_come_back_as_they_were(hub: Hub, tmp_path: Path) -> None:
    hub.rules.add(STARLIGHT, "mine.yaml")
    hub.rules.enable("dit-mochi", enabled=False)
    told = hub.rules.export()
    assert hub.rules.reset() == 3
    hub.rules.add(told, "export.yaml", replace=True)
    assert hub.rules.export() == told


def test_every_shipped_rule_survives_being_written_and_read(hub: Hub) -> None:
    shipped = seed.load(bundled("classification_seed")).rows
    document = rule_files.parse(rule_files.dump(rule_files.document_of(shipped)), "written")
    again = rule_files.rows_of(document, "written")
    assert {table: list(rows) for table, rows in shipped.items() if rows} == again


def test_the_shipped_rules_name_nothing_that_is_not_there(hub: Hub) -> None:
    assert hub.rules.lint(samples=False) == []


def test_a_check_tells_rules_that_never_matter(hub: Hub) -> None:
    idle = "- {key: idle, when: {all: [nothing.like.that]}, then: {type: llm}, because: x}"
    beaten = "- {key: beaten, when: {container: gguf}, then: {type: gguf}, because: x}"
    winner = "- {key: winner, when: {container: gguf}, then: {type: llm}, before: [beaten], because: x}"
    hub.rules.add(f"{idle}\n{beaten}\n{winner}", "mine.yaml")
    found = {one.key: one.message for one in hub.rules.lint()}
    assert "fires for none" in found["idle"]
    assert "another rule goes before" in found["beaten"]
    assert "winner" not in found


def test_a_trial_shows_what_fires_and_what_is_silenced(hub: Hub, tmp_path: Path) -> None:
    path = build.safetensors(tmp_path / "x.safetensors", build.flux())
    classified, tried = hub.rules.try_on(str(path))
    assert classified.verdict.base == "flux"
    assert {one.key: one.silenced for one in tried} == {"dit-flux": True, "dit-flux-dev": False}


def test_categories_come_in_from_a_categorisation_file(hub: Hub, tmp_path: Path) -> None:
    told = '{"categorization_rules": {"secondary_category": {"CREATIVE": {"keywords": ["starlight", "c++"]}}}}'
    assert hub.rules.add(told, "model_categorization.json") == ["model_categorization-secondary-creative"]
    path = build.gguf(tmp_path / "starlight.gguf", build.llm_pairs("llama", "x"), build.LLM_TENSORS)
    assert hub.judge.at(str(path)).facts.category.secondary == "CREATIVE"


def test_a_bad_file_in_the_rules_folder_costs_itself_only(hub: Hub, starlight: Path) -> None:
    hub.rules.folder.mkdir()
    (hub.rules.folder / "bad.yaml").write_text("[1, 2")
    (hub.rules.folder / "good.yaml").write_text(STARLIGHT)
    with open_hub(hub.settings) as again:
        assert again.judge.at(str(starlight)).verdict.base == "starlight"
        assert any("bad.yaml" in one.message for one in again.rules.lint(samples=False))


def test_rows_inserted_by_hand_are_yours(hub: Hub) -> None:
    with sqlite3.connect(hub.places.rules) as database:
        database.execute("INSERT INTO filename_patterns (key, model_type, pattern) VALUES ('my-names', 'lora', '^zz_')")
    assert [one.key for one in hub.rules.listed(mine=True)] == ["my-names"]


def test_what_is_set_by_hand_as_category_sticks(hub: Hub, tmp_path: Path) -> None:
    build.gguf(tmp_path / "in" / "star.gguf", build.llm_pairs("llama", "x"), build.LLM_TENSORS)
    scan(hub, tmp_path / "in")
    hub.models.correct("star", fields={"secondary": "CODE", "specialization": "TECHNICAL"})
    finish(hub.models.reclassify(hub.models.find(ModelFilter())))
    model = hub.models.resolve("star")
    assert tuple(model.category) == ("LANGUAGE", "CODE", "TECHNICAL")
    assert hub.models.correct("star", fields={"secondary": ""}).category.secondary != "CODE"


def test_rules_that_were_off_come_back_off(hub: Hub) -> None:
    hub.rules.enable("primary-language", enabled=False)
    told = hub.rules.export()
    hub.rules.reset()
    hub.rules.add(told, "export.yaml", replace=True)
    assert [one.enabled for one in hub.rules.listed(mine=True)] == [False]
    assert hub.rules.export() == told


def test_a_rule_is_named_with_its_table_everywhere(hub: Hub) -> None:
    named = "category_rules:primary-language"
    hub.rules.enable(named, enabled=False)
    hub.rules.enable(named, enabled=True)
    assert hub.rules.listed(mine=True) == []
    hub.rules.enable(named, enabled=False)
    assert hub.rules.reset(named) == 1


def test_switching_a_rule_off_tells_what_builds_on_it(hub: Hub) -> None:
    assert "dit-sd35-medium-diffusers" in hub.rules.enable("dit-sd3-diffusers", enabled=False)


def test_a_rule_of_a_file_is_shown_and_changed_in_its_file(hub: Hub) -> None:
    hub.rules.folder.mkdir()
    (hub.rules.folder / "mine.yaml").write_text(STARLIGHT)
    assert "star_blocks" in hub.rules.show("dit-starlight")
    with pytest.raises(InvalidInput, match=r"is a rule of .*mine.yaml"):
        hub.rules.enable("dit-starlight", enabled=False)


def test_an_edit_is_of_the_rule_that_was_named(hub: Hub) -> None:
    with pytest.raises(InvalidInput, match="must hold the rule 'dit-flux'"):
        hub.rules.add(STARLIGHT, "mine.yaml", replace=True, only="dit-flux")
    with pytest.raises(NotFound, match="no rule 'nope'"):
        hub.rules.add(STARLIGHT, "mine.yaml", replace=True, only="nope")


@pytest.mark.parametrize(
    ("table", "columns", "values"),
    [
        (
            "architecture_patterns",
            "key, tensor_pattern, architecture, conditions, confidence_weight",
            "'odd', '', 'llm', '{}', 'sure'",
        ),
        (
            "architecture_patterns",
            "key, tensor_pattern, architecture, conditions, confidence_weight, before",
            "'odd', '', 'llm', '{}', 1, '7'",
        ),
        (
            "architecture_patterns",
            "key, tensor_pattern, architecture, conditions, confidence_weight",
            "'odd', '', 'bundle', '{\"sometimes\": 1}', 1",
        ),
        ("external_apis", "name, rate_limit_delay, timeout_seconds", "'civitai', 'soon', 5"),
        ("size_rules", "model_type, min_size, max_size, confidence_weight", "'lora', 'small', 7, 0.3"),
        ("method_weights", "method, weight", "'tensors', 'heavy'"),
        ("base_models", "name, display_name, names", "'zz', 'Z', '('"),
    ],
)
def test_a_bad_row_written_by_sql_costs_itself_only(
    hub: Hub, starlight: Path, table: str, columns: str, values: str
) -> None:
    with sqlite3.connect(hub.places.rules) as rules:
        rules.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})")
    with open_hub(hub.settings) as again:
        assert again.judge.at(str(starlight)).verdict.type == "unknown"
        assert len(again.judge.book.problems) == 1


@pytest.mark.parametrize("kind", ["folder", "dangling", "pipe", "huge", "bytes"])
def test_what_is_no_rule_file_costs_itself_only(hub: Hub, starlight: Path, kind: str) -> None:
    hub.rules.folder.mkdir()
    place = hub.rules.folder / "odd.yaml"
    if kind == "folder":
        place.mkdir()
    elif kind == "dangling":
        place.symlink_to("/nowhere")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "huge":
        with place.open("wb") as stream:
            stream.truncate(8 << 30)
    else:
        place.write_bytes(b"model_types: {a: ['\xff', b]}")
    with open_hub(hub.settings) as again:
        assert again.judge.at(str(starlight)).verdict.type == "unknown"
        assert ["odd.yaml" in problem for problem in again.judge.book.problems] == [True]
