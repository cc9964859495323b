"""Safetensors and GGUF files whose headers lie: lengths, counts, offsets, nesting, numbers, names."""

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from tests import build
from tests.hostile.calls import system
from tests.hostile.case import Case, fixed
from tests.hostile.zips import archive, model

_ALL = (1 << 64) - 1
_HEAD = 8


def tensors_file(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


def entry(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def _safetensors() -> dict[str, bytes]:
    four, one = bytes(4), json.dumps(entry()).encode()
    told = {"a": entry()}
    cases = {
        "length_of_all_bits": tensors_file(told, four, length=_ALL),
        "length_of_63_bits": tensors_file(told, four, length=1 << 63),
        "length_of_a_terabyte": tensors_file(told, four, length=1 << 40),
        "length_of_100_megabytes": tensors_file(told, four, length=100_000_000),
        "length_one_too_long": tensors_file(b"{}", length=3),
        "length_one_too_short": tensors_file(told, four, length=len(json.dumps(told)) - 1),
        "length_of_nothing": tensors_file(b"", b"{}" + four),
        "header_of_24_megabytes": tensors_file(b'{"a":"' + b"x" * (24 << 20)),
        "header_of_spaces": tensors_file(b"{" + b" " * (20 << 20)),
        "deep_lists": tensors_file(b'{"a":' + b"[" * 1_000_000),
        "deep_objects": tensors_file(b'{"a":' * 500_000),
        "deep_in_metadata": tensors_file(b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "nan": tensors_file(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', four),
        "infinity": tensors_file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,Infinity]}}', four),
        "exponent": tensors_file(b'{"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}}', four),
        "float": tensors_file(b'{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}', four),
        "5000_digits": tensors_file(one.replace(b"[1]", b"[" + b"9" * 5000 + b"]").join((b'{"a":', b"}")), four),
        "duplicate": tensors_file(b'{"a":' + one + b',"a":' + one + b"}", four),
        "duplicate_escaped": tensors_file(b'{"a":' + one + b',"\\u0061":' + one + b"}", four),
        "duplicate_metadata": tensors_file(b'{"__metadata__":{},"__metadata__":{"a":"b"}}'),
        "surrogate_name": tensors_file(b'{"\\ud800":' + one + b"}", four),
        "surrogate_metadata": tensors_file(b'{"__metadata__":{"a":"\\udfff"}}'),
        "surrogate_bytes": tensors_file(b'{"\xed\xa0\x80":' + one + b"}", four),
        "bad_utf8": tensors_file(b'{"\xff":' + one + b"}", four),
        "utf16": tensors_file(json.dumps(told).encode("utf-16"), four),
        "byte_order_mark": tensors_file(b"\xef\xbb\xbf{}"),
        "overlap": tensors_file({"a": entry(), "b": entry()}, four),
        "partial_overlap": tensors_file({"a": entry(), "b": entry(offsets=(2, 6))}, bytes(6)),
        "hole": tensors_file({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)),
        "hole_in_front": tensors_file({"a": entry(offsets=(4, 8))}, bytes(8)),
        "negative_offset": tensors_file({"a": entry(offsets=(-4, 0))}, four),
        "backward": tensors_file({"a": entry(offsets=(4, 0))}, four),
        "offset_of_all_bits": tensors_file({"a": entry(offsets=(0, _ALL))}, four),
        "offset_beyond_64_bits": tensors_file({"a": entry(offsets=(0, 1 << 70))}, four),
        "negative_shape": tensors_file({"a": entry(shape=(-1,))}, four),
        "shape_overflow": tensors_file({"a": entry(shape=(1 << 32, 1 << 32))}, four),
        "shape_overflow_then_zero": tensors_file({"a": entry(shape=(1 << 63, 4, 0), offsets=(0, 0))}),
        "shape_too_small": tensors_file({"a": entry(shape=(2,))}, four),
        "shape_of_100000": tensors_file({"a": entry("U8", [1 << 62] * 100_000, (0, 0))}),
        "shape_missing": tensors_file({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, four),
        "shape_of_text": tensors_file({"a": entry(shape="1")}, four),
        "three_offsets": tensors_file({"a": entry(offsets=(0, 2, 4))}, four),
        "unknown_dtype": tensors_file({"a": entry("Q4_K")}, four),
        "dtype_of_number": tensors_file({"a": entry(7)}, four),
        "beyond_the_file": tensors_file({"a": entry(shape=(1000,), offsets=(0, 4000))}, four),
        "trailing": tensors_file(told, bytes(5)),
        "metadata_of_numbers": tensors_file({"__metadata__": {"a": 1}}),
        "metadata_of_lists": tensors_file({"__metadata__": ["a"]}),
        "metadata_as_tensor": tensors_file({"__metadata__": entry()}, four),
        "not_an_object": tensors_file(b"[]"),
        "two_objects": tensors_file(b"{}{}"),
        "zeros": bytes(64),
        "lone_length": struct.pack("<Q", 2),
        "zip": archive(model()),
        "pickle": build.STATE_DICT,
    }  # fmt: skip
    named = {f"{title}.safetensors": content for title, content in cases.items()}
    return named | {"zip.SafeTensors": cases["zip"], "pickle.SAFETENSORS": cases["pickle"], "zip.sft": cases["zip"]}


def _text(value: str | bytes, length: int | None = None) -> bytes:
    encoded = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded


def gguf(pairs: Sequence[bytes] = (), tensors: Sequence[bytes] = (), *, version: int = 3, counts: Any = None) -> bytes:
    tensor_count, key_count = counts or (len(tensors), len(pairs))
    head = b"GGUF" + struct.pack("<IQQ", version, tensor_count, key_count) + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(64)


def _tensor(
    name: str | bytes, shape: Sequence[int] = (8,), kind: int = 0, offset: int = 0, rank: int | None = None
) -> bytes:
    dims = struct.pack(f"<I{len(shape)}Q", len(shape) if rank is None else rank, *shape)
    return _text(name) + dims + struct.pack("<IQ", kind, offset)


def _pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def _gguf() -> dict[str, bytes]:
    pad, number = bytes(256), struct.pack("<I", 1)
    nested = struct.pack("<IQ", 9, 1)
    cases = {
        "string_of_all_bits": gguf([_pair("k", 8, _text("v", _ALL))]) + pad,
        "string_of_63_bits": gguf([_pair("k", 8, _text("v", 1 << 63))]) + pad,
        "string_of_a_gigabyte": gguf([_pair("k", 8, _text("v", 1 << 30))]) + pad,
        "key_of_all_bits": gguf([_text("k", _ALL)]) + pad,
        "key_of_nothing": gguf([_pair("", 4, number)]),
        "key_of_64k": gguf([_pair("k" * 70_000, 4, number)]),
        "array_of_all_bits": gguf([_pair("k", 9, struct.pack("<IQ", 4, _ALL))]) + pad,
        "array_of_strings_without_end": gguf([_pair("k", 9, struct.pack("<IQ", 8, 1 << 61))]) + pad,
        "array_of_bytes_beyond": gguf([_pair("k", 9, struct.pack("<IQ", 0, 1 << 40))]) + pad,
        "array_wraps_around": gguf([_pair("k", 9, struct.pack("<IQ", 10, 1 << 61))]) + pad,
        "array_of_unknown": gguf([_pair("k", 9, struct.pack("<IQ", 77, 1))]) + pad,
        "listed_without_end": gguf([_pair("general.tags", 9, struct.pack("<IQ", 8, 999) + _text("v", _ALL))]) + pad,
        "nested_deep": gguf([_pair("k", 9, nested * 10_000 + struct.pack("<IQ", 4, 0))]),
        "nested_without_end": gguf([_pair("k", 9, struct.pack("<IQ", 9, 1 << 50))]) + pad,
        "nested_wide": gguf([_pair("k", 9, struct.pack("<IQ", 9, 2_000_000) + struct.pack("<IQ", 4, 0) * 2_000_000)],
                            [_tensor("t", rank=9)]),
        "rank_of_9": gguf((), [_tensor("t", (1,) * 9)]),
        "rank_of_all_bits": gguf((), [_tensor("t", rank=0xFFFFFFFF)]) + pad,
        "shape_overflow": gguf((), [_tensor("t", (1 << 32, 1 << 32))]),
        "shape_of_all_bits": gguf((), [_tensor("t", (_ALL, _ALL, _ALL, _ALL))]),
        "block_not_filled": gguf((), [_tensor("t", (33,), kind=8)]),
        "type_of_all_bits": gguf((), [_tensor("t", kind=0xFFFFFFFF)]),
        "type_of_a_million": gguf((), [_tensor("t", kind=1_000_000)]),
        "offset_beyond": gguf((), [_tensor("t", offset=1 << 40)]),
        "offset_of_all_bits": gguf((), [_tensor("t", offset=_ALL - 31)]),
        "offset_not_aligned": gguf((), [_tensor("t", offset=3)]),
        "overlap": gguf((), [_tensor("t", (16,)), _tensor("u", (16,), offset=32)]) + pad,
        "tensors_of_all_bits": gguf(counts=(_ALL, 0)) + pad,
        "keys_of_all_bits": gguf(counts=(0, _ALL)) + pad,
        "one_tensor_more": gguf((), [_tensor("t")], counts=(2, 0)),
        "one_key_more": gguf([_pair("k", 4, number)], counts=(0, 2))[:-90],
        "version_0": gguf(version=0),
        "version_4": gguf(version=4),
        "version_99": gguf(version=99),
        "version_of_all_bits": gguf(version=0xFFFFFFFF),
        "big_endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + pad,
        "bool_of_2": gguf([_pair("k", 7, b"\2")]),
        "bool_of_255": gguf([_pair("k", 7, b"\xff")]),
        "value_type_13": gguf([_pair("k", 13, number)]) + pad,
        "value_type_of_all_bits": gguf([_pair("k", 0xFFFFFFFF, number)]) + pad,
        "duplicate_key": gguf([_pair("k", 4, number)] * 2),
        "duplicate_key_and_array": gguf([_pair("k", 4, number), _pair("k", 9, struct.pack("<IQ", 4, 0))]),
        "duplicate_tensor": gguf((), [_tensor("t"), _tensor("t", offset=32)]),
        "cut_off": gguf([_pair("k", 8, _text("value" * 100))])[:60],
        "magic_only": b"GGUF",
        "zip": archive(model()),
        "pickle": build.STATE_DICT,
    } | {
        f"alignment_{value}": gguf([_pair("general.alignment", 4, struct.pack("<I", value))], [_tensor("t")])
        for value in (0, 3, 24, 0x80000000, 0xFFFFFFFF)
    }  # fmt: skip
    cases["alignment_of_text"] = gguf([_pair("general.alignment", 8, _text("32"))], [_tensor("t")])
    cases["alignment_negative"] = gguf([_pair("general.alignment", 5, struct.pack("<i", -32))], [_tensor("t")])
    return {f"{title}.gguf": content for title, content in cases.items()}


_TEMPLATES = {
    "globals": "{{ cycler.__init__.__globals__.os.popen('touch CANARY').read() }}",
    "import": "{% import 'os' as os %}{{ os.system('touch CANARY') }}",
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__()[104].__init__('touch CANARY') }}",
    "endless": "{% for x in range(10**9) %}CANARY{% endfor %}",
}


def _templates() -> Iterator[Case]:
    """A chat template is text, and stays text; one that only takes long harms who renders it."""
    for title, template in _TEMPLATES.items():

        def make(canary: str, template: str = template) -> bytes:
            text = template.replace("CANARY", canary)
            return gguf(
                [_pair("general.architecture", 8, _text("llama")), _pair("tokenizer.chat_template", 8, _text(text))]
            )

        yield Case(f"template_{title}.gguf", "gguf", make, "bounded" if title == "endless" else "refused")


def _sparse() -> Iterator[Case]:
    """Files of zeros that take no room, and stand for more than anybody wants to read."""
    words = [_pair(f"general.l{n}", 9, struct.pack("<IQ", 8, 1000) + bytes(8000)) for n in range(3000)]
    many = gguf(words, [_tensor("t", rank=9)])
    yield Case("lists_of_nothing.gguf", "gguf", lambda _: many)
    strings = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _text("k") + struct.pack("<IIQ", 9, 8, 1 << 30)
    yield Case("strings_of_nothing.gguf", "gguf", lambda _: strings, holes=16 << 30)
    sums = gguf((), [_tensor(f"t{n}", (1 << 61,), kind=99, offset=0) for n in range(8)])
    yield Case("elements_beyond_all_numbers.gguf", "gguf", lambda _: sums, "bounded")
    most = gguf(
        [
            _pair("general.parameter_count", 10, struct.pack("<Q", _ALL)),
            _pair("x.nan", 6, struct.pack("<f", float("nan"))),
        ]
    )
    yield Case("number_of_all_bits.gguf", "gguf", lambda _: most, "accepted")
    names = ("\x1b[2J\x07", "a\nb", "\u202etxt", "[/][bold]", "a\0b", "n" * 4000)
    acting = gguf([_pair(f"general.{name}", 8, _text(name)) for name in names], [_tensor(name, (0,)) for name in names])
    yield Case("names_that_act.gguf", "gguf", lambda _: acting, "accepted")
    yield Case(
        "bytes_that_are_no_text.gguf",
        "gguf",
        lambda _: gguf([_pair(b"\xff\xfe", 8, _text(b"\xed\xa0\x80"))]),
        "accepted",
    )


def _polyglots() -> Iterator[Case]:
    """Sound files of a format without code that are pickles too, under a suffix that apps unpickle."""
    attacks = {
        "number": b"\n0", "hex": b"\nI0x1F\n00", "octal": b"\nI017\n00", "quoted": b"\n0S'\\xc3\\xa9'\n0",
        "zero": b"\nI1\x00x\n00",
    }  # fmt: skip
    for title, start in attacks.items():

        def make(canary: str, start: bytes = start) -> bytes:
            attack = start + system(canary, 0)
            header = json.dumps({"a": {"dtype": "U8", "shape": [len(attack)], "data_offsets": [0, len(attack)]}})
            return tensors_file(header.encode().ljust(0x156), attack)

        yield Case(f"safetensors_{title}.ckpt", "polyglots", make)
    yield Case("gguf.bin", "polyglots", lambda c: b"GGUF" + system(c))
    yield Case("pickle_then_gguf.bin", "polyglots", lambda c: system(c) + gguf())
    yield Case("pickle_then_safetensors.pt", "polyglots", lambda c: system(c) + tensors_file(b"{}"))
    yield Case(
        "safetensors_then_zip.safetensors", "polyglots", lambda c: archive(model(system(c)), before=tensors_file(b"{}"))
    )
    yield Case(
        "gguf_then_zip.gguf", "polyglots", lambda c: archive(model(system(c)), before=gguf((), [_tensor("t", rank=9)]))
    )
    yield Case("page.safetensors", "polyglots", lambda c: b"<html>" + system(c))
    yield Case("zeros_then_pickle.pt", "polyglots", lambda c: bytes(8192) + system(c))
    yield Case(
        "pointer_then_pickle.pt", "polyglots", lambda c: b"version https://git-lfs.github.com/spec/v1\n" + system(c)
    )


def cases() -> Iterator[Case]:
    yield from fixed("safetensors", _safetensors())
    yield from fixed("gguf", _gguf())
    yield from _templates()
    yield from _sparse()
    yield from _polyglots()
