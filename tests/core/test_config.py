"""Settings in layers, each refused with one sentence when it cannot be right."""

from pathlib import Path

import pytest
import yaml

from modelhub.core import config
from modelhub.core.errors import ConfigInvalid
from modelhub.core.places import bundled


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_shipped_file_gives_the_defaults() -> None:
    settings = config.load({})
    assert (settings.adopt, settings.confidence_threshold) == ("symlink", 0.5)
    assert {one.source for one in settings.listing} == {"default"}


def test_every_layer_overrides_the_one_below(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    user = write(tmp_path / "mine.yaml", "scan: {adopt: copy, workers: 3}\nclassification: {confidence_threshold: 0.7}")
    write(hub / "config.yaml", "scan: {workers: 4}")
    environ = {"MODELHUB_CLASSIFICATION_CONFIDENCE_THRESHOLD": "0.9", "MODELHUB_CONFIG": str(user)}
    settings = config.load(environ, hub=str(hub))
    assert (settings.adopt, settings.workers, settings.confidence_threshold) == ("copy", 4, 0.9)
    sources = {one.key: one.source for one in settings.listing}
    assert sources["scan.adopt"] == str(user)
    assert sources["scan.workers"] == str(hub / "config.yaml")
    assert sources["classification.confidence_threshold"] == "MODELHUB_CLASSIFICATION_CONFIDENCE_THRESHOLD"


@pytest.mark.parametrize("variable", ["MODELHUB_HUB", "AI_MODELS_ROOT"])
def test_the_hub_comes_from_flag_variable_file_or_the_platform(tmp_path: Path, variable: str) -> None:
    user = write(tmp_path / "mine.yaml", f"model_hub: {{path: {tmp_path}/from file}}")
    environ = {"MODELHUB_CONFIG": str(user)}
    assert config.load(environ).hub == tmp_path / "from file"
    environ[variable] = str(tmp_path / "from variable")
    assert config.load(environ).hub == tmp_path / "from variable"
    assert config.load(environ, hub=str(tmp_path / "from flag")).hub == tmp_path / "from flag"
    assert config.load({}).hub.is_absolute()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scan: {adpot: copy}", "unknown key 'scan.adpot'"),
        ("scan: {adopt: teleport}", "must be one of symlink, copy, move, reference"),
        ("scan: {workers: many}", "scan.workers"),
        ("scan: {workers: 1000}", "between 0 and 64"),
        ("scan: {extensions: .gguf}", "a list of words"),
        ("classification: {confidence_threshold: 7}", "between 0 and 1"),
        ("scan: [1", "not valid YAML"),
        ("- just\n- a list", "keys and values"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    user = write(tmp_path / "mine.yaml", text)
    with pytest.raises(ConfigInvalid) as refused:
        config.load({"MODELHUB_CONFIG": str(user)})
    assert said in refused.value.message
    assert refused.value.hint


def test_the_nearest_key_is_named(tmp_path: Path) -> None:
    user = write(tmp_path / "mine.yaml", "scan: {adpot: copy}")
    with pytest.raises(ConfigInvalid) as refused:
        config.load({}, config=str(user))
    assert refused.value.hint == "Did you mean 'scan.adopt'?"


def test_a_named_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="does not exist"):
        config.load({}, config=str(tmp_path / "nowhere.yaml"))


def test_every_shipped_key_has_a_comment() -> None:
    lines = bundled("config.yaml").read_text().splitlines()
    keys = [key for section in yaml.safe_load("\n".join(lines)).values() for key in section]
    for key in keys:
        number = next(index for index, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
        assert lines[number - 1].strip().startswith("#")
