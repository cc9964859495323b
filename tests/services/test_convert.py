"""A PyTorch file becomes safetensors without being run; the format's own library reads the same numbers out of it."""

import io
import os
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors import safe_open

from modelhub.core.errors import Conflict, InvalidInput, ModelHubError, Unsafe
from modelhub.services.convert import Converted, convert
from modelhub.services.hub import Hub
from tests import build
from tests.conftest import Modelhub, finish, scan

_CLASSES = {
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "u1": "ByteStorage",
    "c8": "ComplexFloatStorage",
}


class Kept(NamedTuple):
    """A storage, which PyTorch keeps outside the pickle."""

    key: str
    numbers: np.ndarray[Any, Any]


@pytest.fixture
def torch() -> Iterator[types.ModuleType]:
    """As much of PyTorch as a pickle names."""
    root, inner = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in (*_CLASSES.values(), "BFloat16Storage"):
        setattr(root, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_qtensor", "_rebuild_sparse_tensor"):
        made = types.FunctionType((lambda *_: None).__code__, {}, name)
        made.__module__, made.__qualname__ = "torch._utils", name
        setattr(inner, name, made)
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": root, "torch._utils": inner}
    yield root
    for name, module in before.items():
        sys.modules.pop(name)
        if module is not None:
            sys.modules[name] = module


class Pickled:
    """Something that is pickled as a call."""

    def __init__(self, name: str, *arguments: object) -> None:
        self._name = name
        self._arguments = arguments

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return getattr(sys.modules["torch._utils"], self._name), self._arguments


def tensor(key: str, numbers: np.ndarray[Any, Any], view: np.ndarray[Any, Any] | None = None, **flags: bool) -> Pickled:
    """A tensor that looks at `numbers` as the view does."""
    seen = numbers if view is None else view
    offset = (seen.__array_interface__["data"][0] - numbers.__array_interface__["data"][0]) // numbers.itemsize
    strides = tuple(one // numbers.itemsize for one in seen.strides)
    arguments = (Kept(key, numbers), offset, seen.shape, strides, False, {}, *([flags] if flags else []))
    return Pickled("_rebuild_tensor_v2", *arguments)


class Pickler(pickle.Pickler):
    def __init__(self, out: io.BytesIO, names: dict[str, str] | None = None) -> None:
        super().__init__(out, protocol=2)
        self.kept: dict[str, np.ndarray[Any, Any]] = {}
        self._names = names or {}

    def persistent_id(self, value: object) -> object:
        if not isinstance(value, Kept):
            return None
        self.kept[value.key] = value.numbers
        name = self._names.get(value.key) or _CLASSES[value.numbers.dtype.str[1:]]
        return ("storage", getattr(sys.modules["torch"], name), value.key, "cpu", value.numbers.size)


def save(path: Path, value: object, names: dict[str, str] | None = None, *, legacy: bool = False) -> Path:
    """What `torch.save` writes, in either of its forms."""
    out = io.BytesIO()
    pickler = Pickler(out, names)
    pickler.dump(value)
    if legacy:
        heads = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        with path.open("wb") as stream:
            for head in heads:
                pickle.dump(head, stream, protocol=2)
            stream.write(out.getvalue())
            pickle.dump(sorted(pickler.kept), stream, protocol=2)
            for key in sorted(pickler.kept):
                stream.write(struct.pack("<q", pickler.kept[key].size) + pickler.kept[key].tobytes())
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", out.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, numbers in pickler.kept.items():
            archive.writestr(f"archive/data/{key}", numbers.tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def converted(path: Path, **options: Any) -> Converted:
    done: Converted = finish(convert(str(path), **options))
    return done


def numbers_in(path: str) -> dict[str, np.ndarray[Any, Any]]:
    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dictionary)


A = np.arange(24, dtype="<f4").reshape(4, 6)
B = np.arange(10, dtype="<i8")


@pytest.mark.parametrize("legacy", [False, True])
def test_every_number_arrives_whatever_its_layout(torch: types.ModuleType, tmp_path: Path, legacy: bool) -> None:
    views = {
        "whole": A, "transposed": A.T, "rows": A[1:3], "columns": A[:, 2:4], "one": A[2, 3:4], "steps": A[::2, ::3],
        "scalar": A[1:2, 1:2].reshape(()), "expanded": np.broadcast_to(A[0], (3, 6)), "empty": A[:0],
    }  # fmt: skip
    state = {name: tensor("0", A, view) for name, view in views.items()} | {"long": tensor("1", B)}
    done = converted(save(tmp_path / "x.ckpt", {"state_dict": state, "global_step": 7}, legacy=legacy))
    assert (done.path, done.tensors) == (str(tmp_path / "x.safetensors"), 10)
    found = numbers_in(done.path)
    for name, view in (views | {"long": B}).items():
        assert np.array_equal(found[name], view), name
    with safe_open(done.path, framework="np") as file:
        assert file.metadata()["global_step"] == "7"


def test_numbers_that_numpy_does_not_know_keep_their_bytes(torch: types.ModuleType, tmp_path: Path) -> None:
    raw = np.arange(8, dtype="<f2")
    path = save(tmp_path / "x.pt", {"w": tensor("0", raw)}, {"0": "BFloat16Storage"})
    done = converted(path)
    content = Path(done.path).read_bytes()
    assert b'"dtype":"BF16"' in content
    assert content.endswith(raw.tobytes())


def test_a_parameter_is_its_tensor(torch: types.ModuleType, tmp_path: Path) -> None:
    path = save(tmp_path / "x.pt", {"w": Pickled("_rebuild_parameter", tensor("0", A), True, {})})
    assert np.array_equal(numbers_in(converted(path).path)["w"], A)


@pytest.mark.parametrize(
    ("value", "because"),
    [
        ({"w": tensor("0", A, conj=True)}, "negated or conjugated"),
        ({"w": Pickled("_rebuild_qtensor", Kept("0", A), 0, (4, 6), (6, 1), (), False, {})}, "quantised"),
        ({"w": Pickled("_rebuild_sparse_tensor", 1, (2, 3))}, "special kind"),
        ({"epoch": 3}, "no tensors"),
    ],
)
def test_what_safetensors_cannot_hold_is_refused(
    torch: types.ModuleType, tmp_path: Path, value: object, because: str
) -> None:
    path = save(tmp_path / "x.pt", value)
    with pytest.raises(InvalidInput, match=because):
        converted(path)
    assert [one.name for one in tmp_path.iterdir()] == ["x.pt"]


def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(torch: types.ModuleType, tmp_path: Path) -> None:
    path = save(tmp_path / "x.pt", {"w": Pickled("_rebuild_tensor_v2", Kept("0", A), 20, (4, 6), (6, 1), False, {})})
    with pytest.raises(InvalidInput, match="beyond its numbers"):
        converted(path)


def test_what_could_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    path = build.torch_zip(tmp_path / "evil.ckpt", build.malicious_pickle(f"touch {canary}"))
    with pytest.raises(Unsafe, match=r"posix\.system"):
        converted(path)
    assert not canary.exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02}.", b"PK\x03\x04" + bytes(100), b"not a model at all"])
def test_what_is_no_state_dict_is_one_clear_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ModelHubError):
        converted(path)


def test_nothing_is_overwritten_and_a_dry_run_writes_nothing(torch: types.ModuleType, tmp_path: Path) -> None:
    path = save(tmp_path / "x.pt", {"w": tensor("0", A)})
    assert converted(path, dry_run=True).tensors == 1
    assert [one.name for one in tmp_path.iterdir()] == ["x.pt"]
    (tmp_path / "x.safetensors").write_text("mine")
    with pytest.raises(Conflict, match="exists"):
        converted(path)
    assert (tmp_path / "x.safetensors").read_text() == "mine"


def test_what_a_crash_left_is_swept_and_never_scanned(hub: Hub, torch: types.ModuleType, tmp_path: Path) -> None:
    path = save(tmp_path / "in.pt", {"w": tensor("0", A)})
    (tmp_path / "in").mkdir()
    os.rename(path, tmp_path / "in/x.pt")
    left = tmp_path / "in" / (".modelhub-" + "a" * 32)
    build.safetensors(left, build.SD15_LORA)
    assert scan(hub, tmp_path / "in").outcomes()[left.name] == "skipped"
    converted(tmp_path / "in/x.pt")
    assert not left.exists()


def test_a_model_of_the_library_is_converted_beside_its_place_and_taken_in(
    modelhub: Modelhub, torch: types.ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    save(tmp_path / "in/x.pt", {"w": tensor("0", A)})
    modelhub("scan", str(tmp_path / "in"))
    assert modelhub("convert", "x", "--dry-run").code == 0
    done = modelhub("convert", "x")
    assert "1 tensor" in done.out
    assert np.array_equal(numbers_in(str(tmp_path / "in/x.safetensors"))["w"], A)
    assert "x.safetensors" in modelhub("list").out
    assert modelhub("convert", "x").code == 1
