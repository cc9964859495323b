"""ONNX, OpenVINO, TensorFlow Lite, whisper.cpp, CTranslate2 and Core ML files that lie or lead elsewhere."""

import struct
from collections.abc import Iterator

from modelhub.samples.writers import _field, _varint
from tests.hostile.case import Case, constant, fixed

_HEAD = _field(1, 8) + _field(2, b"pytorch")
_EXTERNAL = 13


def _located(place: bytes, *, by: int = 5) -> bytes:
    """A model with weights in the file `place`: an initializer's, or those of a node's attribute, or a function's."""
    tensor = _field(8, b"w") + _field(_EXTERNAL, _field(1, b"location") + _field(2, place)) + _field(14, 1)
    if by == 5:
        return _HEAD + _field(7, _field(2, b"g") + _field(5, tensor))
    node = _field(4, b"Constant") + _field(5, _field(5, tensor))
    if by == 1:
        return _HEAD + _field(7, _field(2, b"g") + _field(1, node))
    return _HEAD + _field(7, _field(2, b"g")) + _field(25, _field(7, node))


def _onnx() -> Iterator[tuple[str, bytes]]:
    places = {
        "up": b"../secret.bin", "far_up": b"../" * 40 + b"etc/passwd", "absolute": b"/etc/passwd",
        "within": b"a/../../b",
        "drive": b"C:\\Windows\\x", "backslash": b"..\\..\\x", "zero": b"x\0.bin", "share": b"\\\\host\\x", "url": b"http://h/x",
        "stream": b"x.bin:y", "nothing": b"",
    }  # fmt: skip
    for title, place in places.items():
        yield f"leads_{title}.onnx", _located(place)
    yield "leads_up_in_node.onnx", _located(b"../x", by=1)
    yield "leads_up_in_function.onnx", _located(b"../x", by=25)
    graph = _field(2, b"g")
    deep = graph
    for _ in range(2000):
        deep = _field(1, _field(5, _field(6, deep)))
    yield "deep.onnx", _HEAD + _field(7, deep)
    yield "length_of_all_bits.onnx", _HEAD + b"\x3a" + _varint((1 << 63) - 1) + b"x"
    yield "length_beyond.onnx", _HEAD + b"\x3a" + _varint(10_000) + b"x"
    yield "inner_length_beyond.onnx", _HEAD + _field(7, b"\x2a" + _varint(10_000) + b"x") + bytes(20_000)
    yield "number_without_end.onnx", _HEAD + b"\xff" * 100
    yield "field_of_nothing.onnx", _HEAD + b"\x00\x00"
    yield "type_3.onnx", _HEAD + b"\x3b"
    yield "type_7.onnx", _HEAD + b"\x3f"
    yield "no_graph.onnx", _HEAD
    yield "rank_of_a_million.onnx", _HEAD + _field(7, _field(5, _field(1, bytes(1 << 20)) + _field(8, b"w")))
    yield "rank_of_millions.onnx", _HEAD + _field(7, _field(5, _field(1, bytes(1 << 20)) * 8 + _field(8, b"w")))
    yield "negative_shape.onnx", _HEAD + _field(7, _field(5, _field(1, (1 << 64) - 1) + _field(8, b"w")))
    yield "fields_without_end.onnx", _HEAD + _field(7, _field(3, b"") * 4_000_000)


def _xml() -> Iterator[tuple[str, bytes]]:
    start = b'<?xml version="1.0"?>'
    digits = b"9" * 4300
    layer = (
        b'<net name="n" version="11"><layers><layer id="1" name="w" type="Const"><data element_type="f16" shape="%b"'
    )
    whole = layer + b' offset="%b" size="%b"/></layer></layers></net>'
    laughs = b'<!DOCTYPE x [<!ENTITY a "lol">' + b"".join(
        b'<!ENTITY a%d "&a%s;&a%s;">' % (n, str(n - 1).encode() if n else b"", str(n - 1).encode() if n else b"")
        for n in range(40)
    )
    yield "laughs", start + laughs + b"]><net>&a39;</net>"
    yield "outside_entity", start + b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><net>&a;</net>'
    yield "numbers_of_4300_digits", start + whole % (b"4, 2", digits, digits)
    yield "shape_of_4300_digits", start + whole % (digits + b"," + digits, b"0", b"16")
    yield "negative_shape", start + whole % (b"-4, 2", b"0", b"16")
    yield "negative_offset", start + whole % (b"4, 2", b"-999", b"16")
    yield "unknown_encoding", b'<?xml version="1.0" encoding="rot13"?><net/>'
    yield "nonsense_encoding", b'<?xml version="1.0" encoding="nope"?><net/>'
    yield "deep", start + b"<a>" * 500_000
    yield "beyond_the_numbers", start + whole % (b"4, 2", b"0", b"999999")
    yield "other_content", start + b"<html/>"


def _others() -> Iterator[tuple[str, bytes]]:
    whisper = struct.pack("<11i", 51865, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 1)
    head = b"lmgg" + whisper + struct.pack("<3i", 80, 0, 0)
    yield "whisper_filters_beyond.bin", b"lmgg" + whisper + struct.pack("<2i", 1 << 30, 1 << 30)
    yield "whisper_words_beyond.bin", b"lmgg" + whisper + struct.pack("<3i", 80, 0, 1 << 30)
    yield "whisper_tensor_beyond.bin", head + struct.pack("<7i", 4, 1, 0, 1 << 30, 1 << 30, 1 << 30, 1 << 30) + b"w"
    yield "whisper_negative.bin", head + struct.pack("<5i", 2, -1, 0, -5, 4)
    spec = struct.pack("<IH", 6, 16) + b"TransformerSpec\0"
    yield (
        "ctranslate2_rank.bin",
        spec + struct.pack("<II", 1, 1) + struct.pack("<H", 2) + b"w\0" + b"\xff" + b"\xff" * 1100,
    )
    yield (
        "ctranslate2_beyond.bin",
        spec + struct.pack("<II", 1, 1) + struct.pack("<H", 2) + b"w\0" + struct.pack("<BIBI", 1, 999, 0, 3996),
    )
    yield "ctranslate2_count.bin", spec + struct.pack("<II", 1, 99_999) + bytes(64)
    yield "tflite_root_beyond.tflite", struct.pack("<I", 0xFFFFFFF0) + b"TFL3" + bytes(32)
    yield "tflite_in_itself.tflite", struct.pack("<I", 8) + b"TFL3" + struct.pack("<iI", 0, 0) * 500
    yield "coreml_beyond.mlmodel", b"\x08\x04\x12" + _varint(1 << 40) + b"x"


def _long_names() -> bytes:
    """Properties of a megabyte each, as zeros in a file that takes no room."""
    return (
        _HEAD
        + _field(7, _field(2, b"g"))
        + b"".join(_field(14, _field(1, b"%d" % n + bytes(1 << 20)) + _field(2, bytes(1 << 20))) for n in range(33))
    )


def cases() -> Iterator[Case]:
    bounded = {"rank_of_millions.onnx", "whisper_negative.bin", "whisper_filters_beyond.bin",
        "whisper_words_beyond.bin",
               "tflite_in_itself.tflite"}  # fmt: skip
    for title, content in (*_onnx(), *_others()):
        yield from fixed(
            "graphs",
            {title: content},
            expected="bounded" if title in bounded - {"rank_of_millions.onnx"} else "refused",
        )
    yield Case("names_of_megabytes.onnx", "graphs", lambda _: _long_names())
    for title, content in _xml():
        yield Case(f"{title}.xml", "openvino", constant(content), parts={f"{title}.bin": bytes(16)})
