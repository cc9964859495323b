"""The words of the house, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NewType, TypeAlias

Sha256 = NewType("Sha256", str)
"""A SHA-256 as 64 lower-case hexadecimal digits: the address of a blob."""

Adopt: TypeAlias = Literal["symlink", "copy", "move", "reference", "hardlink", "reflink"]
ADOPT_MODES: tuple[Adopt, ...] = ("symlink", "copy", "move", "reference", "hardlink", "reflink")

State: TypeAlias = Literal["ok", "broken", "unsafe", "not_model"]
"""`not_model`: not my kind of file (skipped). `broken`: my kind, and damaged (kept, not deployable).
`unsafe`: could run code when an app loads it (kept, not deployable)."""

Role: TypeAlias = Literal["main", "part", "companion"]
"""What a file is to its model: the one that stands for it, another it cannot do without, or one that goes along."""

UNKNOWN = "unknown"
NOT_A_MODEL = "not_a_model"
"""What `classify` says of a file that is certainly something else. Such files are never taken into the library."""

FILE_TYPE_NAME = "modelhub.file_type"
"""Key that the GGUF reader adds to a file's own: the usual name of the number in `general.file_type`."""

CHAT_FEATURES = "chat.features"
"""Key that readers add for what a model's chat template can express."""

CHAT_DANGER = "chat.danger"
"""Key that readers add for a word by which a chat template reaches out of what templates are for."""


@dataclass(frozen=True, slots=True)
class Digests:
    """What one read of a file tells: full SHA-256 and BLAKE3, and the two short hashes sites use.

    `autov1` is the first 8 digits of the SHA-256 of the 64 KiB at offset 1 MiB (empty for smaller
    files); AutoV2 is the first 10 digits of `sha256` and needs no field.
    """

    sha256: Sha256
    blake3: str
    autov1: str
    size: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """Identity of a file on its disk without reading it. Times are nanoseconds."""

    dev: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Tensor(NamedTuple):
    """One tensor of a header: dtype in the file format's own spelling, shape outermost first."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file says about itself, from its header alone.

    `container` is the format by content (``safetensors``, ``gguf``, ``torch_zip`` ...), whatever the
    suffix claims. `metadata` holds strings, numbers and booleans; long lists are given as their length
    under ``<key>.length``. `code` and `message` explain a `state` other than ``ok``. `files` are the names of a
    model of many files, relative to it.
    """

    container: str
    size: int
    state: State = "ok"
    code: str = ""
    message: str = ""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, "MetaValue"] = field(default_factory=dict)
    files: tuple[str, ...] = ()


MetaValue: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """One method's claim and its reason. `confidence` 0-1 is the rule's, `weight` the method's."""

    method: str
    claim: str
    confidence: float
    weight: float
    because: str
    rule: str = ""
    base: str = ""
    sub_type: str = ""
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    type: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, and everything that was said for and against it."""

    type: str
    base: str
    sub_type: str
    variant: str
    confidence: float
    candidates: tuple[Candidate, ...]
    evidence: tuple[Evidence, ...]
    scores: Mapping[str, float]


class Category(NamedTuple):
    """What a model is for: LANGUAGE, VISION ...; CHAT, CODE ...; GENERAL, MEDICAL ... Empty: not told."""

    primary: str = ""
    secondary: str = ""
    specialization: str = ""


class Adapter(NamedTuple):
    """How an adapter patches its base: its kind (lora, loha ...), rank and alpha (0: not told), and what it patches."""

    kind: str
    rank: int
    alpha: float
    targets: tuple[str, ...]


NO_CATEGORY = Category()


@dataclass(frozen=True, slots=True)
class Facts:
    """What follows from the header without any judgement. Sizes are in numbers or tokens; 0 or empty: not told.

    `modalities` are of TEXT, IMAGE, VIDEO, AUDIO, 3D; `capabilities` say what one can do with it (chat, tools ...).
    """

    format: str
    precision: str = ""
    quantization: str = ""
    architecture: str = ""
    parameters: int = 0
    tensor_count: int = 0
    context_length: int = 0
    triggers: tuple[str, ...] = ()
    license: str = ""
    license_name: str = ""
    languages: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    category: Category = NO_CATEGORY
    tags: tuple[str, ...] = ()
    description: str = ""
    base_models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    vocabulary_size: int = 0
    chat_template: bool = False
    adapter: Adapter | None = None


SIDECAR = "sidecar"
"""The source of an answer that lies in a file beside the model, whose name is `asked`."""


@dataclass(frozen=True, slots=True)
class External:
    """What a site said of a model, asked by the hash or name `asked`; `data` is its answer, empty if it had none.

    `fetched_at` is when it was last asked; `gone` that it has nothing any more, though it had.
    """

    source: str
    asked: str
    fetched_at: str
    data: Mapping[str, Any]
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Classified:
    """One file, inspected and judged: what `classify` shows and what a scan stores."""

    inspection: Inspection
    verdict: Verdict
    facts: Facts


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the library as lists show it. `size` in bytes, `confidence` 0-1.

    `candidates` and `facts` (what has no field of its own) are filled where one model is asked for.
    """

    id: int
    sha256: Sha256
    filename: str
    size: int
    type: str
    base: str
    sub_type: str
    variant: str
    confidence: float
    method: str
    format: str
    precision: str
    quantization: str
    architecture: str
    parameters: int
    context_length: int
    tensor_count: int
    triggers: str
    state: str
    code: str
    message: str
    missing: bool
    deleted: bool
    notes: str
    classified_at: str
    created_at: str
    license: str = ""
    languages: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    category: Category = NO_CATEGORY
    tags: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    offline: bool = False

    @property
    def condition(self) -> str:
        """In one word, whether it can be used: its state, or offline or missing."""
        return "offline" if self.offline else "missing" if self.missing else self.state

    @property
    def deployable(self) -> bool:
        return self.state == "ok" and not self.missing and not self.deleted


class Listed(NamedTuple):
    """As much of a model as a table shows and a filter asks for; there may be a hundred thousand.

    `size` in bytes, `confidence` 0-1; `civitai`: it has data from there; `tags` are parted by TAGS_PARTED.
    """

    id: int
    filename: str
    type: str
    base: str
    sub_type: str
    precision: str
    quantization: str
    size: int
    confidence: float
    state: str
    missing: bool
    tags: str
    triggers: str
    civitai: bool
    offline: bool
    format: str
    category: str
    capabilities: str
    license: str
    by_hand: bool
    deployed: bool
    duplicate: bool

    @property
    def condition(self) -> str:
        """In one word, whether it can be used: its state, or offline or missing."""
        return "offline" if self.offline else "missing" if self.missing else self.state


TAGS_PARTED = "\x1f"


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models are wanted. Empty fields do not filter; several values of a field mean "any of".

    `text` is in the language of `core.query`.
    """

    text: str = ""
    types: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    sub_types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    quantizations: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    min_size: int | None = None
    max_size: int | None = None
    min_confidence: float | None = None
    max_confidence: float | None = None
    deleted: bool = False
    missing: bool | None = None
    deployed: bool | None = None


SORT_KEYS = ("id", "name", "type", "base", "size", "confidence", "added")


@dataclass(frozen=True, slots=True)
class Location:
    """A place where a model was found, and what stands there now."""

    path: str
    how: str
    present: bool
    first_seen: str
    recorded_at: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model. `stored_at` is empty while the content lies outside the store."""

    sha256: Sha256
    name: str
    size: int
    blake3: str
    autov1: str
    stored: bool
    verified_at: str
    role: Role = "main"
