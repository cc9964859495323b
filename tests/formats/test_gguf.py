"""The walk over a GGUF header: right, bounded, and believed by nobody."""

import io
import struct
from pathlib import Path

import gguf as library
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelhub.core.types import FILE_TYPE_NAME, Inspection
from modelhub.formats.ggml_types import FILE_TYPES, TENSOR_TYPES
from modelhub.formats.inspect import inspect
from tests import build

REAL = sorted((Path(__file__).parent.parent / "data/gguf").glob("*.gguf"))


def look(content: bytes) -> Inspection:
    return inspect(io.BytesIO(content), len(content), "x.gguf")


def look_at(path: Path) -> Inspection:
    with path.open("rb") as stream:
        return inspect(stream, path.stat().st_size, path.name)


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_a_real_file_says_what_the_library_says(path: Path) -> None:
    found, judge = look_at(path), library.GGUFReader(path)
    assert found.state == "ok"
    for name, field in judge.fields.items():
        if name.startswith("GGUF."):
            continue
        if field.types[0] == library.GGUFValueType.ARRAY:
            assert found.metadata[f"{name}.length"] == len(field.data)
        else:
            assert found.metadata[name] == field.contents()


def test_tensors_are_named_typed_and_shaped_as_the_library_does(tmp_path: Path) -> None:
    path = build.gguf(tmp_path / "x.gguf", build.llm_pairs("llama", "X"), build.LLM_TENSORS)
    judged = {
        t.name: (t.tensor_type.name, tuple(int(n) for n in reversed(t.shape))) for t in library.GGUFReader(path).tensors
    }
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in look_at(path).tensors.items()} == judged


def test_our_tables_are_the_librarys() -> None:
    for number, (name, block, size) in TENSOR_TYPES.items():
        kind = library.GGMLQuantizationType(number)
        assert (kind.name, library.GGML_QUANT_SIZES[kind]) == (name, (block, size))
    for number, name in FILE_TYPES.items():
        assert library.LlamaFileType(number).name.removeprefix("MOSTLY_").removeprefix("ALL_") == name


def test_the_file_type_gets_its_usual_name(tmp_path: Path) -> None:
    path = build.gguf(tmp_path / "x.gguf", build.llm_pairs("llama", "X", file_type=15))
    assert look_at(path).metadata[FILE_TYPE_NAME] == "Q4_K_M"


def head(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def nested(depth: int) -> bytes:
    return text("a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * depth + struct.pack("<IQ", 4, 0)


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


PAD = b"\0" * 64
BROKEN = {
    "truncated": head(keys=1),
    "truncated string": head(keys=1) + struct.pack("<Q", 1000) + PAD,
    "truncated value": head(keys=1) + text("k") + struct.pack("<IQ", 8, 1 << 63) + PAD,
    "truncated array": head(keys=1) + text("k") + struct.pack("<IIQ", 9, 4, 1 << 60) + PAD,
    "truncated data": head(tensors=1) + tensor("t", (1024, 1024)) + PAD,
    "bad_count keys": head(keys=1 << 62) + PAD,
    "bad_count tensors": head(tensors=1 << 62) + PAD,
    "bad_count strings": head(keys=1) + text("k") + struct.pack("<IIQ", 9, 8, 1 << 60) + PAD,
    "big_endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "unknown_version": head(version=77) + PAD,
    "unknown_value_type": head(keys=1) + text("k") + struct.pack("<I", 99) + PAD,
    "unknown_value_type nested": head(keys=1) + nested(2000),
    "bad_value": head(keys=1) + text("k") + struct.pack("<IB", 7, 9),
    "bad_name": head(keys=1) + struct.pack("<Q", 0) + PAD,
    "duplicate_key": head(keys=2) + (text("k") + struct.pack("<II", 4, 1)) * 2,
    "duplicate_key tensor": head(tensors=2) + tensor("t", (8,)) + tensor("t", (8,), offset=32) + PAD * 2,
    "bad_shape": head(tensors=1) + tensor("t", (1,) * 9) + PAD,
    "bad_shape block": head(tensors=1) + tensor("t", (33,), kind=8) + PAD * 2,
    "bad_offsets": head(tensors=1) + tensor("t", (8,), offset=7) + PAD * 2,
    "bad_offsets overlap": head(tensors=2) + tensor("t", (32,)) + tensor("u", (8,), offset=32) + PAD * 8,
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_lie_is_broken_with_a_code_and_a_sentence(case: str) -> None:
    found = look(BROKEN[case])
    assert (found.state, found.code) == ("broken", case.split(maxsplit=1)[0]), found.message
    assert found.message.endswith(".")


def test_version_one_with_its_short_lengths_is_read() -> None:
    key = struct.pack("<I", 20) + b"general.architecture" + struct.pack("<II", 8, 5) + b"llama"
    found = look(b"GGUF" + struct.pack("<III", 1, 0, 1) + key)
    assert (found.state, found.metadata) == ("ok", {"general.architecture": "llama"})


def test_a_sparse_file_of_empty_strings_is_not_walked_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "evil.gguf"
    path.write_bytes(head(keys=1) + text("k") + struct.pack("<IIQ", 9, 8, 1 << 30))
    with path.open("r+b") as stream:
        stream.truncate(16 << 30)
    assert look_at(path).code == "bad_count"


def test_text_without_end_is_not_kept() -> None:
    value = text("v" * (1 << 20))
    content = head(keys=40) + b"".join(text(f"k{number}") + struct.pack("<I", 8) + value for number in range(40))
    assert look(content).code == "header_too_large"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_mutated_file_never_raises(data: st.DataObject) -> None:
    content = bytearray(REAL[0].read_bytes()[:3000])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(4, 600))] = data.draw(st.integers(0, 255))
    assert look(bytes(content)).state in ("ok", "broken")
