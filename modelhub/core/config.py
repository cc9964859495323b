"""Settings in layers: shipped defaults < user's file < HUB/config.yaml < environment < flags.

The shipped `config.yaml` is also the schema: it names every key, and its values give the types.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from modelhub.core import places
from modelhub.core.errors import ConfigInvalid, from_os_error
from modelhub.core.names import printable
from modelhub.core.types import ADOPT_MODES, Adopt

Scalar: TypeAlias = str | int | float | bool
Value: TypeAlias = Scalar | tuple[str, ...]

_PREFIX = "MODELHUB_"
_HUB_VARIABLES = ("MODELHUB_HUB", "AI_MODELS_ROOT")


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value and the place it came from."""

    key: str
    value: Value
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All effective settings of one run."""

    hub: Path
    adopt: Adopt
    extensions: tuple[str, ...]
    exclude: tuple[str, ...]
    workers: int
    confidence_threshold: float
    external_apis: bool
    civitai_url: str
    huggingface_url: str
    trash_days: int
    verify_days: int
    backups_kept: int
    launch_files: tuple[str, ...]
    page_size: int
    keys: tuple[str, ...]
    virus_scan: str
    trusted_sources: tuple[str, ...]
    trusted_signers: tuple[str, ...]
    listing: tuple[Setting, ...]
    files: tuple[Path, ...]


def load(environ: Mapping[str, str], *, hub: str | None = None, config: str | None = None) -> Settings:
    """Read every layer. `hub` and `config` are the flags; an unknown key or wrong value is refused."""
    layers = _Layers(dict(_flatten(_read(places.bundled("config.yaml")))))
    user_file = Path(config).expanduser() if config else places.user_config_file(environ)
    if config and not user_file.is_file():
        raise ConfigInvalid(f"{printable(user_file)} does not exist.", hint="Check --config.")
    layers.add_file(user_file)
    chosen = hub or next((environ[name] for name in _HUB_VARIABLES if environ.get(name)), "")
    if chosen:
        layers.set("model_hub.path", chosen, "--hub" if hub else "environment")
    root = Path(places.expand(str(layers.values["model_hub.path"]) or str(places.default_hub())))
    layers.add_file(places.HubPlaces(root).config, locked="model_hub.path")
    layers.add_environment(environ)
    return _settings(root, layers)


def _settings(root: Path, layers: "_Layers") -> Settings:
    values = layers.values
    adopt = next((mode for mode in ADOPT_MODES if mode == values["scan.adopt"]), None)
    if adopt is None:
        layers.refuse("scan.adopt", f"must be one of {', '.join(ADOPT_MODES)}")
        raise AssertionError
    threshold = float(str(values["classification.confidence_threshold"]))
    if not 0 <= threshold <= 1:
        layers.refuse("classification.confidence_threshold", "must lie between 0 and 1")
    workers = int(str(values["scan.workers"]))
    if not 0 <= workers <= 64:
        layers.refuse("scan.workers", "must lie between 0 and 64")
    return Settings(
        hub=root,
        adopt=adopt,
        extensions=tuple(ending.lower() for ending in layers.words("scan.extensions")),
        exclude=layers.words("scan.exclude"),
        workers=workers,
        confidence_threshold=threshold,
        external_apis=bool(values["external_apis.enabled"]),
        civitai_url=str(values["external_apis.civitai_url"]),
        huggingface_url=str(values["external_apis.huggingface_url"]),
        trash_days=layers.count("trash.days"),
        verify_days=layers.count("verify.remind_days"),
        backups_kept=layers.count("backup.keep"),
        launch_files=layers.words("uses.launch_files"),
        page_size=max(1, layers.count("interface.page_size")),
        keys=layers.words("interface.keys"),
        virus_scan=str(values["security.virus_scan"]),
        trusted_sources=layers.words("security.trusted_sources"),
        trusted_signers=layers.words("security.trusted_signers"),
        listing=tuple(Setting(key, values[key], layers.sources[key]) for key in sorted(values)),
        files=tuple(layers.files),
    )


class _Layers:
    """Values so far, and where each came from."""

    def __init__(self, defaults: dict[str, Value]) -> None:
        self.values = defaults
        self.sources = dict.fromkeys(defaults, "default")
        self.files: list[Path] = []

    def words(self, key: str) -> tuple[str, ...]:
        value = self.values[key]
        return value if isinstance(value, tuple) else (str(value),)

    def count(self, key: str) -> int:
        """A number that cannot be negative."""
        value = int(str(self.values[key]))
        if not 0 <= value <= 100_000:
            self.refuse(key, "must lie between 0 and 100,000")
        return value

    def set(self, key: str, value: Value, source: str) -> None:
        self.values[key] = self._checked(key, value, source)
        self.sources[key] = source

    def refuse(self, key: str, why: str) -> None:
        raise ConfigInvalid(
            f"{key} = {self.values[key]!r} ({self.sources[key]}) {why}.",
            hint="Correct it; `modelhub config show` lists every setting.",
        )

    def add_file(self, path: Path, *, locked: str = "") -> None:
        if not path.is_file():
            return
        self.files.append(path)
        for key, value in _flatten(_read(path)):
            if key == locked:
                continue  # a hub cannot say that it lies elsewhere
            if key not in self.values:
                raise _unknown_key(key, path, self.values)
            self.set(key, value, printable(path))

    def add_environment(self, environ: Mapping[str, str]) -> None:
        for key, default in self.values.items():
            variable = _PREFIX + key.replace(".", "_").upper()
            text = environ.get(variable)
            if text is not None and key != "model_hub.path":
                value = tuple(text.split(",")) if isinstance(default, tuple) else _scalar(text)
                self.set(key, value, variable)

    def _checked(self, key: str, value: Value, source: str) -> Value:
        default = self.values[key]
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(default, str) and not isinstance(value, tuple):
            return str(value)
        if type(value) is not type(default):
            wanted = "a list of words" if isinstance(default, tuple) else f"of type {type(default).__name__}"
            raise ConfigInvalid(f"{key} in {source} must be {wanted}, not {value!r}.", hint="Correct the value.")
        return value


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  (a safe loader)
    except OSError as error:
        raise from_os_error(error, printable(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ConfigInvalid(f"{printable(path)}{line} is not valid YAML.", hint="Correct or remove it.") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigInvalid(f"{printable(path)} must hold keys and values.", hint="Compare the shipped config.yaml.")
    return document


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in document.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{key}.")
        elif isinstance(value, list):
            yield key, tuple(str(item) for item in value)
        else:
            yield key, "" if value is None else value


def _scalar(text: str) -> Scalar:
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506  (a safe loader)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _unknown_key(key: str, path: Path, known: Mapping[str, Value]) -> ConfigInvalid:
    names: Sequence[str] = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return ConfigInvalid(
        f"{printable(path)} has an unknown key {printable(key)!r}.", hint=f"Did you mean {names[0]!r}?"
    )
