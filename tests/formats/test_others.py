"""ONNX, whisper.cpp, TFLite, CTranslate2, Keras, NumPy, NeMo and Core ML files: what their headers tell."""

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelhub.core.types import Inspection, Tensor
from modelhub.formats import openvino
from modelhub.formats.inspect import inspect
from modelhub.formats.wire import MAX_FIELDS
from modelhub.samples import writers
from tests import build


def look(content: bytes, name: str) -> Inspection:
    return inspect(io.BytesIO(content), len(content), name)


def onnx(tmp_path: Path, external: str = "") -> bytes:
    return build.onnx(tmp_path / "m.onnx", {"conv.weight": (4, 3, 3, 3)}, external=external).read_bytes()


def whisper(tmp_path: Path) -> bytes:
    return writers.whisper(tmp_path / "ggml.bin", layers=4, width=384).read_bytes()


def ctranslate2(_: Path) -> bytes:
    name, spec = b"encoder/weight\0", b"TransformerSpec\0"
    variable = struct.pack("<H", len(name)) + name + struct.pack("<BIIBI", 2, 4, 2, 4, 16) + bytes(16)
    return struct.pack("<IH", 6, len(spec)) + spec + struct.pack("<II", 1, 1) + variable


def tflite(_: Path) -> bytes:
    """A FlatBuffer: the offset of its root, the magic, and a model without graphs."""
    model = bytearray(36)
    struct.pack_into("<i", model, 0, -16)  # its field table stands 16 bytes on
    struct.pack_into("<I", model, 4, 3)  # version
    struct.pack_into("<I", model, 8, 24)  # the list of graphs stands 24 bytes on, and is empty
    struct.pack_into("<HHHHH", model, 16, 10, 12, 4, 0, 8)  # lengths, then where version, codes, graphs are
    return struct.pack("<I", 8) + b"TFL3" + bytes(model)


def keras(_: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("config.json", '{"class_name": "Functional", "config": {"name": "mobilenet"}}')
        archive.writestr("model.weights.h5", b"")
    return out.getvalue()


def hdf5(_: Path) -> bytes:
    head = bytearray(b"\x89HDF\r\n\x1a\n" + bytes(88))
    head[13] = 8
    struct.pack_into("<Q", head, 40, 400)
    return bytes(head) + b'"class_name": "Functional"' + bytes(400 - len(head) - 26)


def npz(_: Path) -> bytes:
    header = b"{'descr': '<f2', 'fortran_order': False, 'shape': (4, 2), }\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16))
    return out.getvalue()


def nemo(tmp_path: Path) -> bytes:
    inner = writers.torch_zip(tmp_path / "model_weights.ckpt", {"encoder.w": (2, 2)}).read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in (("model_config.yaml", b"target: nemo.asr.EncDecCTC\n"), ("model_weights.ckpt", inner)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def coreml(_: Path) -> bytes:
    about = writers._field(100, writers._field(3, b"the author"))
    return writers._field(1, 4) + writers._field(2, about) + writers._field(500, b"")


FILES: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "m.onnx": ("onnx", onnx),
    "ggml-tiny.bin": ("ggml", whisper),
    "model.bin": ("ctranslate2", ctranslate2),
    "m.tflite": ("tflite", tflite),
    "m.keras": ("keras", keras),
    "m.h5": ("hdf5", hdf5),
    "w.npz": ("npz", npz),
    "m.nemo": ("nemo", nemo),
    "m.mlmodel": ("coreml", coreml),
}


@pytest.mark.parametrize("name", FILES)
def test_each_format_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    container, make = FILES[name]
    found = look(make(tmp_path), name)
    assert (found.container, found.state, found.message) == (container, "ok", "")


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("m.mlmodel", "m.keras", "m.tflite", "m.nemo")])
def test_a_file_that_is_cut_off_is_not_sound(name: str, tmp_path: Path) -> None:
    whole = FILES[name][1](tmp_path)
    found = look(whole[: len(whole) * 2 // 3], name)
    assert found.state in ("broken", "unsafe", "not_model")


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_no_damage_breaks_a_parser(name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(FILES[name][1](tmp_path_factory.mktemp("x")))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    look(bytes(content[: data.draw(st.integers(0, len(content)))]), name)


def test_an_onnx_file_tells_its_tensors_and_operators(tmp_path: Path) -> None:
    found = look(onnx(tmp_path), "m.onnx")
    assert found.tensors == {"conv.weight": Tensor("F32", (4, 3, 3, 3))}
    assert (found.metadata["onnx.operators"], found.metadata["onnx.inputs"]) == ("Conv", "input")


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "a/../../b", "C:\\x", "..\\x", "x\0"])
def test_weights_outside_the_folder_are_an_attack(tmp_path: Path, place: str) -> None:
    found = look(onnx(tmp_path, external=place), "m.onnx")
    assert (found.state, found.code) == ("unsafe", "external_path")


def test_a_protobuf_of_endless_fields_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelhub.formats.wire.MAX_FIELDS", 1000)
    graph = writers._field(7, writers._field(3, b"") * 2000)
    found = look(writers._field(1, 8) + writers._field(2, b"x") + graph, "m.onnx")
    assert MAX_FIELDS > 1000
    assert (found.state, found.code) == ("broken", "too_many_fields")


def test_whisper_hyper_parameters_are_told(tmp_path: Path) -> None:
    found = look(whisper(tmp_path), "ggml-tiny.bin")
    assert (found.metadata["whisper.n_audio_layer"], found.metadata["whisper.n_mels"]) == (4, 80)
    assert "encoder.conv1.bias" in found.tensors


def test_arrays_of_python_objects_are_unsafe() -> None:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps([1]))
    assert look(out.getvalue(), "w.npz").state == "unsafe"


def test_the_pickle_within_an_archive_is_judged(tmp_path: Path) -> None:
    inner = build.torch_zip(tmp_path / "x", build.malicious_pickle("false")).read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("model_weights.ckpt")
        member.size = len(inner)
        archive.addfile(member, io.BytesIO(inner))
    assert look(out.getvalue(), "m.nemo").state == "unsafe"


def test_every_checkpoint_of_an_archive_is_judged(tmp_path: Path) -> None:
    evil = build.torch_zip(tmp_path / "x", build.malicious_pickle("false")).read_bytes()
    good = writers.torch_zip(tmp_path / "y", {"w": (2, 2)}).read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in (("model_weights.ckpt", evil), ("zz.ckpt", good)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert look(out.getvalue(), "m.nemo").state == "unsafe"


def test_layers_of_python_code_are_unsafe() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("config.json", '{"class_name": "Functional", "layers": [{"class_name": "Lambda"}]}')
        archive.writestr("model.weights.h5", b"")
    assert (look(out.getvalue(), "m.keras").state, look(out.getvalue(), "m.keras").code) == ("unsafe", "lambda_layer")


@pytest.mark.parametrize("number", [15, 25])
def test_weights_of_functions_and_sparse_tensors_are_looked_at_too(number: int) -> None:
    escape = writers._field(13, writers._field(1, b"location") + writers._field(2, b"../../etc/passwd"))
    if number == 15:
        graph = writers._field(2, b"g") + writers._field(15, writers._field(1, escape))
        content = writers._field(7, graph)
    else:
        node = writers._field(5, writers._field(5, escape))
        content = writers._field(7, writers._field(2, b"g")) + writers._field(25, writers._field(7, node))
    assert look(writers._field(1, 8) + writers._field(2, b"x") + content, "m.onnx").state == "unsafe"


def test_graphs_within_graphs_end_somewhere() -> None:
    graph = writers._field(2, b"g")
    for _ in range(300):
        graph = writers._field(1, writers._field(5, writers._field(6, graph)))
    assert look(writers._field(1, 8) + writers._field(2, b"x") + writers._field(7, graph), "m.onnx").code == "too_deep"


GRAPH = (
    b'<?xml version="1.0"?><net name="net" version="11"><layers><layer id="1" name="w" type="Const">'
    b'<data element_type="f16" shape="4, 2" offset="0" size="16"/></layer></layers></net>'
)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_no_damage_breaks_the_reader_of_openvino_graphs(data: st.DataObject) -> None:
    content = bytearray(GRAPH)
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    openvino.inspect(io.BytesIO(bytes(content)), len(content), 16)
