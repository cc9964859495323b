"""Archives and files of other makes that carry code or pickles: NumPy, NeMo, Keras, HDF5."""

import io
import json
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from tests.hostile.calls import system
from tests.hostile.case import Case, Make, constant, fixed
from tests.hostile.zips import Member, archive, model


def npy(description: str, shape: str = "(1,)", data: bytes = bytes(4)) -> bytes:
    header = f"{{'descr': {description}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) & 0xFFFF) + header + data


def _pickled_array(description: str) -> Make:
    return lambda canary: archive([Member("a.npy", npy(description, data=system(canary)))])


def _arrays() -> Iterator[tuple[str, Make]]:
    objects = {
        "objects": "'|O'",
        "objects_long": "'object'",
        "objects_8": "'O8'",
        "objects_within": "[('a', '<f4'), ('b', '|O')]",
        "objects_deep": "[('a', [('b', 'object')])]",
        "objects_listed": "'f4,O'",
        "objects_named": "{'names': ['a'], 'formats': ['O']}",
        "objects_shaped": "('object', (2,))",
        "objects_typed": "'object_'",
    }
    for title, description in objects.items():
        yield f"{title}.npz", _pickled_array(description)
    yield (
        "second_is_objects.npz",
        lambda c: archive([Member("a.npy", npy("'<f4'")), Member("b.npy", npy("'|O'", data=system(c)))]),
    )
    yield "pickle_named_npy.npz", lambda c: archive([Member("a.npy", system(c))])
    yield "twice.npz", lambda c: archive([Member("a.npy", npy("'<f4'")), Member("a.npy", npy("'|O'", data=system(c)))])
    lies = {
        "shape_of_infinity": npy("'<f4'", "(1e999,)"),
        "shape_of_nonsense": npy("'<f4'", "(nan,)"),
        "shape_negative": npy("'<f4'", "(-4,)"),
        "shape_beyond_all_numbers": npy("'<f4'", "(10**99,)"),
        "shape_of_5000_digits": npy("'<f4'", f"({'9' * 5000},)"),
        "shape_too_big": npy("'<f4'", f"({'9' * 40},)"),
        "shape_of_text": npy("'<f4'", "'12'"),
        "no_header": b"\x93NUMPY\x01\x00\xff\xff",
        "deep": npy("(" * 9000),
        "code": npy("__import__('os').system('true')"),
        "lists": npy("'<f4'", "[" * 200 + "]" * 200),
        "type_of_nonsense": npy("'<x9'"),
        "type_of_number": npy("4"),
        "cut_off": npy("'<f4'", "(1000000,)"),
    }
    for title, content in lies.items():
        yield f"{title}.npz", constant(archive([Member("a.npy", content)]))
    packed = archive([Member("a.npy", npy("'<f4'"), method=8)])
    yield "corrupt.npz", lambda _: packed[:35] + b"\xff" * 30 + packed[65:]
    yield (
        "offset_of_all_bits.npz",
        lambda _: archive(
            [Member("a.npy", npy("'<f4'"), offset=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 8, (1 << 64) - 1))]
        ),
    )
    yield "dictionary_of_4_gigabytes.npz", lambda _: _lzma_dictionary()


def _lzma_dictionary() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as made:
        made.writestr("a.npy", npy("'<f4'") * 1000)
    properties = lzma._encode_filter_properties({"id": lzma.FILTER_LZMA1})  # type: ignore[attr-defined]
    return out.getvalue().replace(properties, properties[:1] + b"\xff\xff\xff\xff")


def tar(members: Mapping[str, bytes], **fields: Any) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as made:
        for name, content in members.items():
            told = tarfile.TarInfo(name)
            told.size = len(content)
            for field, value in fields.items():
                setattr(told, field, value)
            made.addfile(told, io.BytesIO(content))
    return out.getvalue()


def _tars() -> Iterator[tuple[str, Make]]:
    def evil(canary: str) -> bytes:
        return archive(model(system(canary)))

    yield "checkpoint.nemo", lambda c: tar({"model_config.yaml": b"target: x\n", "model_weights.ckpt": evil(c)})
    yield "bare_pickle.nemo", lambda c: tar({"model_weights.ckpt": system(c)})
    yield "other_suffix.nemo", lambda c: tar({"./weights": system(c, 0)})
    yield "second.nemo", lambda c: tar({"a.ckpt": archive(model()), "b.pt": evil(c)})
    yield "named_as_config.nemo", lambda c: tar({"a.ckpt": archive(model()), "x_model_config.yaml": system(c)})
    yield "same_name.nemo", lambda c: tar({"a.ckpt": archive(model())})[:-10240] + tar({"a.ckpt": evil(c)})
    yield "behind_the_end.nemo", lambda c: tar({"a.ckpt": archive(model())}) + tar({"b.ckpt": evil(c)})
    yield "tar_within.nemo", lambda c: tar({"a.ckpt": archive(model()), "b.tar": tar({"c.ckpt": evil(c)})})
    yield "gzip.nemo", lambda c: __import__("gzip").compress(tar({"a.ckpt": evil(c)}))
    yield "tar.pt", lambda c: tar({"pickle": system(c), "tensors": system(c)})
    yield "tar.tar", lambda c: tar({"a.ckpt": evil(c)})
    for place in ("../../x.ckpt", "/etc/x.ckpt"):
        title = "up" if place[0] == "." else "absolute"
        yield f"leads_{title}.nemo", constant(tar({"a.ckpt": archive(model()), place: b"x"}))
    for title, kind in (("symlink", b"2"), ("hardlink", b"1"), ("fifo", b"6"), ("device", b"3")):
        yield f"{title}.nemo", constant(tar({"a.ckpt": b""}, type=kind, linkname="/etc/passwd"))
    yield "cut_off.nemo", lambda _: tar({"a.ckpt": archive(model())})[:700]
    yield "member_beyond.nemo", lambda _: _resized(tar({"a.ckpt": b"x" * 600}), 1 << 40)
    yield "negative.nemo", lambda _: _resized(tar({"a.ckpt": b"x" * 600}), -512)
    yield "members_without_end.nemo", lambda _: tar({f"{n:06}": b"" for n in range(12_000)})
    yield (
        "yaml_of_megabytes.nemo",
        lambda _: tar(
            {f"{n}/model_config.yaml": b"a: [x, y, {b: c}]\n" * 200_000 for n in range(2)} | {"a.ckpt": system("x")}
        ),
    )
    yield "yaml_laughs.nemo", lambda _: tar({"model_config.yaml": _yaml_laughs(), "a.ckpt": system("x")})


def _resized(content: bytes, size: int) -> bytes:
    """The first member's header says another size, in the base that allows any."""
    block = bytearray(content[:512])
    block[124:136] = bytes([255 if size < 0 else 128]) + (size & ((1 << 88) - 1)).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + content[512:]


def _yaml_laughs() -> bytes:
    lines = [b"a0: &a0 [lol, lol]"]
    lines += [b"a%d: &a%d [*a%d, *a%d, *a%d]" % (n, n, n - 1, n - 1, n - 1) for n in range(1, 60)]
    return b"\n".join(lines)


def _keras_configs() -> dict[str, Any]:
    """Configurations of layers that Keras would import, call or unpickle for."""

    def layer(name: str, **more: Any) -> dict[str, Any]:
        return {"class_name": name, "config": {"name": "x"}, **more}

    lambdas = {"class_name": "Lambda", "config": {"function": ["gANjb3M=", None, None]}}
    return {
        "lambda": layer("Functional", layers=[lambdas]),
        "lambda_registered": layer("Functional", layers=[layer("Custom>Lambda")]),
        "lambda_function": layer("Dense", activation={"class_name": "__lambda__", "config": {"value": "4wE="}}),
        "imported": layer("Functional", layers=[layer("system", module="os")]),
        "imported_function": layer(
            "Dense", activation={"module": "subprocess", "class_name": "function", "config": "Popen"}
        ),
        "builtin": layer("Dense", activation={"module": "builtins", "class_name": "function", "config": "eval"}),
        "file_fetched": layer(
            "Dense", activation={"module": "keras.utils", "class_name": "function", "config": "get_file"}
        ),
        "model_loaded": layer(
            "Dense", activation={"module": "keras.models", "class_name": "function", "config": "load_model"}
        ),
        "unpickled": layer("TorchModuleWrapper", module="keras.layers"),
        "unsafe_switched_on": layer(
            "Dense",
            activation={"module": "keras.config", "class_name": "function", "config": "enable_unsafe_deserialization"},
        ),
    }


def keras(text: bytes) -> bytes:
    return archive([Member("metadata.json", b"{}"), Member("config.json", text), Member("model.weights.h5", b"")])


def hdf5(text: bytes, *, at: int = 200) -> bytes:
    """A file of HDF5 with `text` somewhere in it."""
    head = bytearray(b"\x89HDF\r\n\x1a\n" + bytes(at))
    head[13] = 8
    struct.pack_into("<Q", head, 40, len(head) + len(text) + 64)
    return bytes(head) + text + bytes(64)


def _keras() -> Iterator[tuple[str, bytes]]:
    for title, config in _keras_configs().items():
        text = json.dumps(config).encode()
        yield f"{title}.keras", keras(text)
        yield f"{title}.h5", hdf5(text)
    escaped = b'{"class_name": "Functional", "layers": [{"class_n\\u0061me": "L\\u0061mbda"}]}'
    yield "lambda_escaped.keras", keras(escaped)
    yield "lambda_escaped.h5", hdf5(escaped)
    lambdas = json.dumps(_keras_configs()["lambda"]).encode()
    yield "lambda_in_utf16.keras", keras(lambdas.decode().encode("utf-16"))
    yield "lambda_far_behind.h5", hdf5(lambdas, at=9 << 20)
    yield "lambda_across_a_boundary.h5", hdf5(lambdas, at=(4 << 20) - 60)
    yield "lambda_twice.keras", keras(b'{"class_name": "Lambda", "class_name": "Dense"}')
    yield "deep.keras", keras(b"[" * 200_000)
    yield "numbers.keras", keras(b'{"class_name": ' + b"9" * 5000 + b"}")
    yield "nothing.keras", keras(b"")
    yield (
        "evil_beside.keras",
        archive(
            [
                Member("config.json", b'{"class_name": "Dense"}'),
                Member("model.weights.h5", b""),
                Member("x.pkl", system("x")),
            ]
        ),
    )
    yield (
        "twice.keras",
        archive(
            [
                Member("config.json", b'{"class_name": "Dense"}'),
                Member("config.json", lambdas),
                Member("model.weights.h5", b""),
            ]
        ),
    )
    yield "head_only.h5", b"\x89HDF\r\n\x1a\n"
    yield "end_beyond.h5", hdf5(b"")[:-64]


def cases() -> Iterator[Case]:
    for title, make in _arrays():
        yield Case(title, "arrays", make)
    for title, make in _tars():
        yield Case(title, "tars", make)
    for title, kind in (("pax", b"x"), ("pax_global", b"g"), ("long_name", b"L"), ("long_link", b"K")):
        content = _resized(_retyped(kind), 3 << 30)
        yield Case(f"{title}_of_3_gigabytes.nemo", "tars", constant(content), holes=4 << 30)
    for title, text in _keras():
        yield from fixed("keras", {title: text})


def _retyped(kind: bytes) -> bytes:
    """A tar whose first block is of that kind."""
    block = bytearray(tar({"a": b"x" * 600})[:512])
    block[156:157] = kind
    return bytes(block)
