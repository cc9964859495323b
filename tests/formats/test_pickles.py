"""PyTorch files: recognised by content, judged by what they name, never unpickled."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelhub.core.types import Inspection
from modelhub.formats.inspect import inspect
from tests import build

LEGACY = (
    b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + pickle.dumps({"little_endian": True}, 2)
)


def look(content: bytes, name: str = "x.pt") -> Inspection:
    return inspect(io.BytesIO(content), len(content), name)


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


class Reduced:
    """Pickles into a call of whatever is asked for."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def evil(protocol: int) -> bytes:
    import os

    return pickle.dumps(Reduced(os.system, "touch /tmp/canary"), protocol)


@pytest.mark.parametrize(
    ("content", "container"),
    [
        (zipped({"archive/data.pkl": build.STATE_DICT, "archive/data/0": b"\0" * 64}), "torch_zip"),
        (LEGACY + build.STATE_DICT + pickle.dumps(["0"], 2) + b"\0" * 72, "torch_legacy"),
        (build.STATE_DICT, "pickle"),
    ],
)
def test_a_state_dict_is_safe_in_every_container(content: bytes, container: str) -> None:
    found = look(content)
    assert (found.container, found.state) == (container, "ok")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["x.pt", "x.ckpt", "x.bin", "x"])
def test_a_pickle_that_calls_the_system_is_unsafe_in_every_protocol(protocol: int, name: str) -> None:
    found = look(evil(protocol), name)
    assert found.state == "unsafe"
    assert "system" in found.message


@pytest.mark.parametrize("protocol", range(2, 6))
def test_so_it_is_inside_a_zip(protocol: int) -> None:
    assert look(zipped({"archive/data.pkl": evil(protocol)})).state == "unsafe"


@pytest.mark.parametrize("name", ["x.safetensors", "x.gguf", "x.SafeTensors", "x.onnx"])
@pytest.mark.parametrize("content", [evil(2), build.STATE_DICT, zipped({"archive/data.pkl": build.STATE_DICT})])
def test_a_pickle_under_an_innocent_suffix_is_a_disguise(name: str, content: bytes) -> None:
    assert (look(content, name).state, look(content, name).code) == ("unsafe", "disguised")


def test_names_drawn_from_memory_are_seen_through() -> None:
    hidden = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x02ls\x85R."
    assert look(hidden).state == "unsafe"
    assert look(b"\x80\x04NN\x93.").state == "unsafe"


def test_two_members_of_one_name_are_unsafe() -> None:
    first = zipped({"archive/data.pkl": build.STATE_DICT, "archive/data.pkX": evil(2)})
    assert look(first.replace(b"data.pkX", b"data.pkl")).state == "unsafe"


def test_a_cut_off_archive_is_broken() -> None:
    whole = zipped({"archive/data.pkl": build.STATE_DICT, "archive/data/0": b"\0" * 5000})
    assert (look(whole[:3000]).state, look(whole[:3000]).code) == ("broken", "truncated")


def test_a_cut_off_pickle_is_broken() -> None:
    assert (look(build.STATE_DICT[:40]).state, look(build.STATE_DICT[:40]).code) == ("broken", "bad_pickle")


def test_an_archive_without_a_pickle_is_no_model() -> None:
    assert (look(zipped({"readme.txt": b"x"})).state, look(zipped({"readme.txt": b"x"})).code) == (
        "not_model",
        "archive",
    )


def test_a_bomb_is_not_unpacked() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"N0" * (80 << 20))
    assert look(out.getvalue()).state == "unsafe"


def test_nothing_is_imported_or_executed(tmp_path: Path) -> None:
    import sys

    before = set(sys.modules)
    canary = tmp_path / "canary"
    look(build.malicious_pickle(f"touch {canary}"))
    look(zipped({"archive/data.pkl": b"\x80\x02cantigravity\nfly\n."}))
    assert not canary.exists()
    assert "antigravity" not in set(sys.modules) - before


MAGIC = 0x1950A86A20F9469CFC6C


@pytest.mark.parametrize(
    "first",
    [pickle.dumps(MAGIC, 4), b"\x80\x02L119547037146038801333356L\n.", pickle.dumps({"a": 1}, 2)],
)
def test_a_second_pickle_after_the_first_is_not_overlooked(first: bytes) -> None:
    assert look(first + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + evil(2)).state == "unsafe"


def test_the_third_pickle_of_an_old_file_is_judged_too() -> None:
    assert look(LEGACY + evil(2)).state == "unsafe"


def test_an_archive_with_two_directories_is_unsafe() -> None:
    """One program finds the directory by its stated place, another by what stands before the end."""
    good, bad = zipped({"archive/data.pkl": build.STATE_DICT}), zipped({"archive/data.pkl": evil(2)})
    assert look(bad + good).state == "unsafe"
    assert look(good + bad).state == "unsafe"
    assert look(good + b"trailing").state == "unsafe"


def test_classes_may_be_made_empty_and_never_called() -> None:
    made = b"\x80\x02cultralytics.nn.tasks\nDetectionModel\n)\x81}X\x01\x00\x00\x00aK\x01sb."
    assert look(made).state == "ok"
    assert look(b"\x80\x02cmodels.yolo\nModel\nX\x04\x00\x00\x00evil\x85R.").state == "unsafe"
    assert look(b"\x80\x02cmodels.yolo\nModel\nX\x04\x00\x00\x00evil\x85\x81.").state == "unsafe"


def test_a_class_of_the_loading_program_may_not_be_changed() -> None:
    assert look(b"\x80\x02ctorch\nTensor\n}X\x01\x00\x00\x00aK\x01sb.").state == "unsafe"


def test_a_tar_archive_that_starts_as_a_pickle_is_unsafe() -> None:
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    block = bytearray(out.getvalue())
    block[:5] = b"\x80\x02}.\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    assert look(bytes(block)).state == "unsafe"


def test_a_polyglot_under_a_pickle_suffix_is_unsafe() -> None:
    """A safetensors file whose length byte is an opcode that swallows the header, and whose data is a pickle."""
    attack = b"\n0cos\nsystem\n(S'true'\ntR."
    header = b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (len(attack), len(attack))
    content = (0x156).to_bytes(8, "little") + header.ljust(0x156) + attack
    assert look(content, "x.safetensors").state == "ok"
    assert look(content, "x.ckpt").state == "unsafe"
    assert look(content.replace(b"cos\n", b"zzz\n"), "x.ckpt").state == "ok"


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_packing_that_pytorch_does_not_use_is_unsafe(method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("archive/data.pkl", build.STATE_DICT * 20)
    assert look(out.getvalue()).state == "unsafe"


def test_many_long_pickles_share_one_bound() -> None:
    steps = b"\x80\x02" + b"N0" * 900_000 + b"N."
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(f"archive/{number}.pkl", steps)
    assert look(out.getvalue()).state == "unsafe"


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200))
def test_arbitrary_pickles_never_raise(content: bytes) -> None:
    assert look(b"\x80\x02N" + content).state in ("ok", "broken", "unsafe")
    assert look(zipped({"archive/data.pkl": content})).state in ("ok", "broken", "unsafe")


ATTRIBUTES = b"}X\x0c\x00\x00\x00__setstate__cmodels.yolo\nModel\ns"


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02cargparse\nNamespace\n)\x81" + ATTRIBUTES + b"b}b.",
        b"\x80\x02cargparse\nNamespace\n)\x81}X\x06\x00\x00\x00appendcmodels.yolo\nModel\nsb}a.",
        b"\x80\x02cargparse\nNamespace\n)\x81}a.",
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cmodels.yolo\nModel\nNK\x01\x85NtR.",
        b"\x80\x02ccopyreg\n_reconstructor\n(cargparse\nNamespace\ncmodels.yolo\nModel\n}tR.",
    ],
    ids=["setstate", "append attribute", "append", "rebuild", "reconstructor"],
)
def test_methods_of_objects_cannot_be_made_to_run(pickled: bytes) -> None:
    assert look(pickled).state == "unsafe"


def test_numbers_are_read_as_c_reads_them() -> None:
    assert look(b"\x80\x02I0\x00 anything\n0cposix\nsystem\n(X\x04\x00\x00\x00truetR.").state == "unsafe"


@pytest.mark.parametrize("nested", [40, 200])
def test_a_nest_of_dictionaries_ends_soon(nested: int) -> None:
    inner = b"}" + b"q\x00" + b"".join(b"}X\x01\x00\x00\x00ah\x00sX\x01\x00\x00\x00bh\x00sq\x00" for _ in range(nested))
    assert look(b"\x80\x02" + inner + b".").state in ("ok", "broken", "unsafe")


def test_a_flag_that_is_called_like_a_method_is_no_attack() -> None:
    pickled = b"\x80\x02cultralytics.nn.modules.block\nBottleneck\n)\x81}X\x03\x00\x00\x00add\x88sb."
    assert look(pickled).state == "ok"
