"""The header of a safetensors file, checked as strictly as its own library does it."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from modelhub.core.types import Inspection
from modelhub.formats.inspect import inspect
from tests import build


def look(content: bytes, name: str = "x.safetensors") -> Inspection:
    return inspect(io.BytesIO(content), len(content), name)


def file(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


GOOD = file({"__metadata__": {"format": "pt"}, "a": entry(), "b": entry("F16", (2, 2), (4, 12))}, b"\0" * 12)


def test_names_shapes_types_and_metadata_are_read() -> None:
    found = look(GOOD)
    assert found.container == "safetensors"
    assert {name: (t.dtype, t.shape) for name, t in found.tensors.items()} == {"a": ("F32", (1,)), "b": ("F16", (2, 2))}
    assert found.metadata == {"format": "pt"}


def test_an_empty_header_is_valid() -> None:
    assert look(file({})).state == "ok"
    assert look(file({"__metadata__": None})).state == "ok"


ONE = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
OTHER = b'{"dtype":"I32","shape":[1],"data_offsets":[0,4]}'
BROKEN = {
    "header_too_large": struct.pack("<Q", 200_000_000) + b"{" + b"\0" * 16,
    "truncated": struct.pack("<Q", 4096) + b'{"a": 1}' + b"\0" * 16,
    "truncated data": file({"a": entry(offsets=(0, 4))}, b"\0"),
    "trailing_bytes": file({"a": entry()}, b"\0" * 5),
    "bad_header": file(b'{"a": {"dtype": "F32"'),
    "bad_header nan": file(b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 4]}}', b"\0" * 4),
    "bad_header huge": file(ONE.replace(b"[1]", b"[" + b"9" * 5000 + b"]").join((b'{"a":', b"}")), b"\0" * 4),
    "bad_header deep": file(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "bad_header utf8": file(b'{"\xff\xfe": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"\0" * 4),
    "bad_header metadata": file({"__metadata__": {"a": 1}}),
    "bad_offsets overlap": file({"a": entry(), "b": entry()}, b"\0" * 4),
    "bad_offsets hole": file({"a": entry(), "b": entry(offsets=(8, 12))}, b"\0" * 12),
    "bad_shape negative": file({"a": entry(shape=(-1,), offsets=(0, 4))}, b"\0" * 4),
    "bad_shape": file({"a": entry(shape=(2,))}, b"\0" * 4),
    "bad_shape product": file({"a": entry(shape=(1 << 40, 1 << 40))}, b"\0" * 4),
    "unknown_dtype": file({"a": entry("Q8")}, b"\0" * 4),
    "duplicate_key": file(b'{"a":' + ONE + b',"a":' + OTHER + b"}", b"\0" * 4),
    "duplicate_key escaped": file(b'{"a":' + ONE + b',"\\u0061":' + OTHER + b"}", b"\0" * 4),
    "duplicate_key all escaped": file(
        b'{"a":' + ONE + b',"a":{"\\u0064type":"F32","sh\\u0061pe":[1],"data_offset\\u0073":[0,4]}}', b"\0" * 4
    ),
    "duplicate_key metadata": file(b'{"__metadata__":{"a":"1","a":"2"}}'),
    "duplicate_key two metadata": file(b'{"__metadata__":{},"\\u005f_metadata__":{"a":"b"}}'),
    "bad_shape overflow": file({"a": entry(shape=(1 << 63, 1 << 63, 0), offsets=(0, 0))}),
    "bad_shape many": file({"a": entry("U8", [(1 << 63) - 1] * 100_000, (0, 0))}),
    "bad_header ignored field": file(ONE.replace(b"}", b',"x":"\xff"}').join((b'{"a":', b"}")), b"\0" * 4),
    "duplicate_key inside": file(b'{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', b"\0" * 4),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_damaged_header_is_broken_with_a_code_and_a_sentence(case: str) -> None:
    found = look(BROKEN[case])
    assert (found.state, found.code) == ("broken", case.split(maxsplit=1)[0])
    assert found.message.endswith(".")
    assert not found.tensors


def test_a_header_length_of_all_bits_is_no_safetensors_file() -> None:
    assert look(b"\xff" * 8 + b"{}" + b"\0" * 100).state == "broken"


def test_a_header_of_many_tensors_is_read_in_bounded_time() -> None:
    header = {f"layer.{number}": entry(offsets=(4 * number, 4 * number + 4)) for number in range(200_000)}
    assert len(look(file(header, b"\0" * 800_000)).tensors) == 200_000


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_what_the_library_refuses_is_broken_and_what_it_opens_is_not(
    data: st.DataObject, tmp_path_factory: Any
) -> None:
    """Mutate a valid file at random; the format's own library is the judge."""
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(9, len(content))))]
    path = tmp_path_factory.getbasetemp() / "mutant.safetensors"
    path.write_bytes(content)
    try:
        with safetensors.safe_open(path, framework="numpy") as opened:
            opened.keys()
        judged = "ok"
    except Exception:  # noqa: BLE001  (the library raises errors of several kinds)
        judged = "broken"
    found = look(bytes(content))
    if judged == "broken":
        assert found.state != "ok"
    else:
        assert found.state == "ok" or found.code == "duplicate_key" or content[8:9] != b"{"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_never_raise(content: bytes) -> None:
    assert look(struct.pack("<Q", len(content)) + b"{" + content).state in ("ok", "broken", "not_model", "unsafe")


def test_real_recipes_are_valid_for_the_library(tmp_path: Path) -> None:
    for name in build.SAMPLES:
        path = build.write_sample(tmp_path, name)
        with safetensors.safe_open(path, framework="numpy") as opened, path.open("rb") as stream:
            assert set(opened.keys()) == set(inspect(stream, path.stat().st_size, path.name).tensors)
