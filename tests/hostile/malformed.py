"""Pickles that lie about lengths, never end, or are small and stand for very much; and text that acts on a terminal."""

import struct
from collections.abc import Iterator
from typing import Any

from tests.hostile.calls import system
from tests.hostile.case import Case, constant, fixed
from tests.hostile.opcodes import Call, Kept, Name, code, dumps, name, text

_HEAD = b"\x80\x04"
_BIG = (1 << 64) - 1
_REBUILT = Name("torch._tensor", "_rebuild_from_type_v2")


def _lies() -> dict[str, bytes]:
    """Lengths and numbers that are not what the file holds."""
    short = b"abc."
    return {
        "frame_of_all_bits.pkl": _HEAD + b"\x95" + struct.pack("<Q", _BIG) + name("os",
        "system") + text("x") + b"\x85R.",
        "frame_within_a_name.pkl": _HEAD + b"\x8c\x02os\x8c\x06sys\x95" + bytes(8) + b"tem\x93.",
        "unicode_of_all_bits.pkl": _HEAD + b"\x8d" + struct.pack("<Q", _BIG) + short,
        "unicode_of_63_bits.pkl": _HEAD + b"\x8d" + struct.pack("<Q", 1 << 63) + short,
        "unicode_of_a_terabyte.pkl": _HEAD + b"\x8d" + struct.pack("<Q", 1 << 40) + short,
        "bytes_of_all_bits.pkl": _HEAD + b"\x8e" + struct.pack("<Q", _BIG) + short,
        "bytes_of_four_gigabytes.pkl": _HEAD + b"B" + struct.pack("<I", 0xFFFFFFFF) + short,
        "bytearray_of_all_bits.pkl": b"\x80\x05\x96" + struct.pack("<Q", _BIG) + short,
        "string_of_negative_length.pkl": b"\x80\x02T" + struct.pack("<i", -1) + short,
        "long_of_negative_length.pkl": b"\x80\x02\x8b" + struct.pack("<i", -5) + short,
        "long_of_two_gigabytes.pkl": b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + short,
        "unicode_cut_off.pkl": b"\x80\x02X" + struct.pack("<I", 100) + short,
        "memo_of_all_bits.pkl": b"\x80\x02}r" + struct.pack("<I", 0xFFFFFFFF) + b".",
        "memo_of_a_long_line.pkl": b"\x80\x02}p99999999999\n.",
        "memo_before_the_first.pkl": b"\x80\x02}p-1\n.",
        "memo_that_was_never_kept.pkl": b"\x80\x02h\x07.",
        "memo_of_nothing.pkl": b"\x80\x02q\x00.",
        "names_that_are_numbers.pkl": _HEAD + b"K\x01K\x02\x93.",
        "names_that_are_bytes.pkl": _HEAD + b"C\x02osC\x06system\x93.",
        "names_that_are_made.pkl": dumps(Call(Name("builtins", "str"), (b"os", "ascii")),
        4)[:-1] + b"\x8c\x06system\x93.",
        "name_of_bad_utf8.pkl": b"\x80\x02c\xff\xfe\nsystem\n.",
        "name_without_an_end.pkl": b"\x80\x02cos\nsys",
        "name_with_a_space.pkl": b"(icollections OrderedDict\nx\n.",
        "extension_1.pkl": b"\x80\x02\x82\x01.",
        "extension_2.pkl": b"\x80\x02\x83\x01\x00.",
        "extension_4.pkl": b"\x80\x02\x84\x01\x00\x00\x00.",
        "opcode_unknown.pkl": b"\x80\x02\xff.",
        "protocol_200.pkl": b"\x80\x02\x80\xc8}.",
        "nothing_but_a_header.pkl": b"\x80\x02",
        "no_stop.pkl": b"\x80\x02}",
        "stop_at_once.pkl": b"\x80\x02.",
        "stop_within_a_mark.pkl": b"\x80\x02(.",
        "empty_obj.pkl": b"\x80\x02(o.",
        "call_without_a_tuple.pkl": b"\x80\x02" + name("collections", "OrderedDict") + b"K\x01R.",
        "odd_items.pkl": b"\x80\x02}(K\x01u.",
        "tuple_of_too_few.pkl": b"\x80\x02K\x01\x87.",
        "two_pickles.pkl": dumps({}) + system("x"),
        "trailing_bytes.pkl": dumps({}) + b"\0",
        "persistent_line.pkl": b"(Pos\nsystem\n.",
    }  # fmt: skip


def _laughs() -> Iterator[tuple[str, bytes]]:
    """Few bytes that stand for very much, or take very long."""
    for title, start, again in (
        ("tuples", b")q\x00", b"0(h\x00h\x00tq\x00"),
        ("wide_tuples", b")q\x00", b"0(" + b"h\x00" * 50 + b"tq\x00"),
        ("lists", b"]q\x00", b"0](h\x00h\x00eq\x00"),
        ("dictionaries", b"}q\x00", b"0}(X\x01\0\0\0ah\x00X\x01\0\0\0bh\x00uq\x00"),
        (
            "ordered",
            b"}q\x00",
            b"0" + code(Name("collections", "OrderedDict")) + b")R(X\x01\0\0\0ah\x00X\x01\0\0\0bh\x00uq\x00",
        ),
    ):
        yield f"laughs_of_{title}.pkl", b"\x80\x02" + start + again * 100 + b"."
    numbers = b"\x80\x02](" + b"K\x01" * 500_000 + b"eq\x000]("
    yield "one_long_list_met_often.pkl", numbers + b"h\x00" * 500_000 + b"e."
    keyed = b"\x80\x02](" + b"K\x01" * 300_000 + b"eq\x000}("
    wrapped = b"".join(
        text(word) + b"](" + b"h\x00" * 60 + b"e" for word in ("state_dict", "model", "params", "net", "ema")
    )
    yield "long_lists_under_wrappers.pkl", keyed + wrapped + b"u."
    yield "dictionary_copied_often.pkl", b"\x80\x02}(" + b"".join(
        b"J" + struct.pack("<i", n) + b"N" for n in range(100_000)
    ) + b"uq\x000" + (code(Name("builtins", "dict")) + b"h\x00\x85R0") * 20_000 + b"}."  # fmt: skip
    yield "state_set_often.pkl", b"\x80\x02}(" + b"".join(
        b"J" + struct.pack("<i", n) + b"N" for n in range(100_000)
    ) + b"uq\x000" + code(Name("argparse", "Namespace")) + b")\x81" + b"h\x00b" * 100_000 + b"."  # fmt: skip
    shape = b"\x80\x02(" + b"K\x01" * 500_000 + b"tq\x000"
    rebuilt, kept = (
        Name("torch._utils", "_rebuild_tensor_v2"),
        Kept(("storage", Name("torch", "FloatStorage"), "0", "cpu", 4)),
    )
    yield "shape_met_often.pkl", shape + code(rebuilt) + b"q\x010" + code(kept) + b"q\x020" + (
        b"h\x01h\x02K\x00h\x00\x87R0"
    ) * 200_000 + b"}."  # fmt: skip
    yield "state_of_many_parts.pkl", shape + code(Name("numpy", "dtype")) + b")R" + b"h\x00b" * 400_000 + b"."
    yield (
        "arguments_met_often.pkl",
        shape + code(Name("builtins", "dict")) + b"q\x010" + b"h\x01h\x00R0" * 400_000 + b"}.",
    )
    yield "list_of_arguments_met_often.pkl", numbers[:-2] + b"0" + b"q\x010".join(
        (code(Name("torch", "Size")), b"h\x01h\x00R0" * 200_000)
    ) + b"}."  # fmt: skip
    nest = b"0](" + b"h\x00" * 50 + b"eq\x00"
    keys = ("state_dict", "model_state_dict", "params_ema", "params", "ema", "model_ema", "model", "module", "net")
    yield "wide_nest_under_wrappers.pkl", b"\x80\x02]q\x00" + nest * 9 + b"0}(" + b"".join(
        text(key) + b"}X\x01\0\0\0ah\x00s" for key in keys
    ) + b"u."  # fmt: skip
    yield "list_in_itself.pkl", b"\x80\x02]q\x00h\x00ah\x00a."
    yield "dictionary_in_itself.pkl", b"\x80\x02}q\x00X\x01\0\0\0ah\x00s."


def _endless() -> Iterator[tuple[str, bytes]]:
    yield "two_million_pops.pkl", b"\x80\x02" + b"N0" * 1_500_000 + b"."
    yield "no_end_of_nones.pkl", b"\x80\x02" + b"N" * 2_500_000
    yield "no_end_of_marks.pkl", b"\x80\x02" + b"(" * 3_000_000
    yield "no_end_of_frames.pkl", b"\x80\x04" + (b"\x95" + bytes(8)) * 2_500_000
    yield "tuples_within_tuples.pkl", b"\x80\x02)" + b"\x85" * 500_000 + b"."
    yield "lists_within_lists.pkl", b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b"."
    yield (
        "text_of_60_megabytes.pkl",
        b"\x80\x04\x8d" + struct.pack("<Q", 60 << 20) + b"\xf0\x9f\x98\x80" * (15 << 20) + b".",
    )
    yield "zeros_within_a_sparse_file.pkl", b"\x80\x02}"


def _numbers() -> Iterator[tuple[str, bytes]]:
    yield "line_of_5000_digits.pkl", b"\x80\x02I" + b"9" * 5000 + b"\n."
    yield "long_of_5000_digits.pkl", b"\x80\x02L" + b"9" * 5000 + b"L\n."
    yield "long_of_5_million_digits.pkl", b"\x80\x02L" + b"9" * 5_000_000 + b"L\n."
    yield "float_of_5_million_digits.pkl", b"\x80\x02F" + b"9" * 5_000_000 + b"\n."
    yield "long_of_ten_megabytes.pkl", b"\x80\x02\x8b" + struct.pack("<i", 10 << 20) + b"\x7f" * (10 << 20) + b"."
    yield "many_long_numbers.pkl", b"\x80\x02" + (b"L" + b"9" * 3999 + b"L\n0") * 10_000 + b"}."
    yield "not_a_number.pkl", dumps({"a": float("nan"), "b": float("inf"), "c": (1 << 64) - 1, "d": -(1 << 63) - 1})
    yield "shapes_beyond_all_numbers.pkl", dumps({f"w{n}": _tensor((1 << 62,) * 60) for n in range(4)})
    yield "elements_beyond_all_numbers.pkl", dumps({"w": _tensor((4,), elements=1 << 70)})


def _tensor(shape: tuple[int, ...], elements: int = 4) -> Any:
    kept = Kept(("storage", Name("torch", "FloatStorage"), "0", "cpu", elements))
    strides = (1,) * len(shape)
    return Name("torch._utils", "_rebuild_tensor_v2")(
        kept, 0, shape, strides, False, Name("collections", "OrderedDict")()
    )


def _text() -> Iterator[tuple[str, bytes]]:
    """Names and values that reach the terminal and the database."""
    for title, word in (
        ("escape", "\x1b]0;owned\x07\x1b[2J"), ("newline", "a\r\nb"), ("right_to_left", "\u202egnp.exe"),
        ("surrogate", "\ud800\udfff\udc00"), ("markup", "[/][bold]x[/bold][@click=app.quit]q[/]"), ("long", "n" * 1000),
        ("zero", "a\0b"),
    ):  # fmt: skip
        yield f"called_{title}.pkl", b"\x80\x04" + text(word) + text(word) + b"\x93."
        yield f"told_{title}.pkl", dumps({word: word, "state_dict": {word: 1}, "weight": {word: _tensor((2, 2))}})


def _deep_calls() -> bytes:
    inner: bytes = b")"
    rebuilt, tensor = code(_REBUILT), code(Name("torch", "Tensor"))
    pieces = rebuilt + tensor + b"("
    return b"\x80\x02" + rebuilt + b"(" + pieces * 20_000 + inner + b"t}t" * 20_000 + b"tR."


_CALLED = (
    "called_escape",
    "called_newline",
    "called_right_to_left",
    "called_surrogate",
    "called_markup",
    "called_long",
)


def cases() -> Iterator[Case]:
    yield from fixed("lies", _lies())
    for source in (_laughs(), _numbers(), _text()):
        for title, content in source:
            refused = title.removesuffix(".pkl") in (*_CALLED, "called_zero")
            yield from fixed("laughs", {title: content}, expected="refused" if refused else "bounded")
    for title, content in _endless():
        sparse = 8 << 30 if "sparse" in title else 0
        harmless = ("within_" in title and not sparse) or "text_of" in title
        yield Case(title, "endless", constant(content), "bounded" if harmless else "refused", holes=sparse)
    yield from fixed("endless", {"calls_within_calls.pkl": _deep_calls()})
    whole = dumps({"state_dict": {"w": _tensor((2, 2))}, "epoch": 3})
    yield from fixed("cut_off", {f"after_{end}.ckpt": whole[:end] for end in range(2, len(whole), 12)})
