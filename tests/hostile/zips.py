"""Zip files that two programs read differently, or that unpack to more than fits."""

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tests import build
from tests.hostile.calls import system
from tests.hostile.case import Case, Make, fixed

KIND = "zips"
_ALL = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Member:
    """One member, and what its two headers say of it where they lie."""

    name: str | bytes
    content: bytes
    method: int = 0
    flags: int = 0
    local_name: str | bytes | None = None
    local_method: int | None = None
    size: int | None = None
    packed: int | None = None
    crc: int | None = None
    offset: int | None = None
    extra: bytes = b""


def archive(members: Sequence[Member], *, before: bytes = b"", comment: bytes = b"", absolute: bool = False) -> bytes:
    """A zip as told. `before` stands in front; offsets count from its start if they are `absolute`."""
    out, directory = io.BytesIO(before), io.BytesIO()
    out.seek(0, io.SEEK_END)
    origin = 0 if absolute else len(before)
    for member in members:
        name, local = _encoded(member.name), _encoded(member.local_name or member.name)
        data = _packed(member)
        crc = zlib.crc32(member.content) if member.crc is None else member.crc
        size = len(member.content) if member.size is None else member.size
        packed = len(data) if member.packed is None else member.packed
        start = out.tell() - origin if member.offset is None else member.offset
        method = member.method if member.local_method is None else member.local_method
        told = struct.pack("<4HIII", 0, 0, 0, 0, crc, packed & _ALL, size & _ALL)[4:]
        out.write(struct.pack("<4s3H", b"PK\3\4", 20, member.flags, method) + told + struct.pack("<HH", len(local), 0))
        out.write(local + data)
        directory.write(struct.pack("<4s4H", b"PK\1\2", 20, 20, member.flags, member.method) + told)
        directory.write(struct.pack("<5HII", len(name), len(member.extra), 0, 0, 0, 0, start & _ALL))
        directory.write(name + member.extra)
    place, held = out.tell() - origin, directory.getvalue()
    out.write(held)
    counts = (len(members) & 0xFFFF,) * 2
    out.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *counts, len(held), place, len(comment)) + comment)
    return out.getvalue()


def _encoded(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode()


def _packed(member: Member) -> bytes:
    if member.method == zipfile.ZIP_DEFLATED:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(member.content) + packer.flush()
    return member.content


def model(data: bytes = build.STATE_DICT, *more: Member) -> list[Member]:
    """What `torch.save` writes, and more."""
    return [
        Member("archive/data.pkl", data),
        Member("archive/data/0", bytes(64)),
        Member("archive/version", b"3\n"),
        *more,
    ]


def _packed_by(method: int) -> Make:
    return lambda canary: archive([replace(member, method=method) for member in model(system(canary))])


def _whole_packed(pack: Callable[[bytes], bytes]) -> Make:
    return lambda canary: pack(system(canary))


def _carriers() -> Iterator[tuple[str, Make]]:
    """Where the pickle that runs lies in a zip."""
    good = archive(model())

    def evil(canary: str) -> bytes:
        return archive(model(system(canary)))

    yield "data.pt", evil
    yield "data.PT", evil
    yield "data.bin", evil
    yield "no_suffix", evil
    yield "packed.pt", lambda c: archive([replace(m, method=8) for m in model(system(c))])
    yield "constants.pt", lambda c: archive(model(build.STATE_DICT, Member("archive/constants.pkl", system(c))))
    yield "other_folder.pt", lambda c: archive(model(build.STATE_DICT, Member("b/data.pkl", system(c))))
    yield "upper_case.pt", lambda c: archive(model(build.STATE_DICT, Member("archive/DATA.PKL", system(c))))
    yield "hidden_folder.pt", lambda c: archive(model(build.STATE_DICT, Member("archive/.data/x.pickle", system(c))))
    yield "name_cut_by_zero.pt", lambda c: archive(model(build.STATE_DICT, Member(b"archive/x.pkl\0.txt", system(c))))
    yield "twice_good_first.pt", lambda c: archive(model(build.STATE_DICT, Member("archive/data.pkl", system(c))))
    yield "twice_evil_first.pt", lambda c: archive(model(system(c), Member("archive/data.pkl", build.STATE_DICT)))
    yield (
        "unicode_path.pt",
        lambda c: archive(model(build.STATE_DICT, _unicode_path(b"archive/x.txt", b"archive/y.pkl", c))),
    )
    yield (
        "other_local_name.pt",
        lambda c: archive([replace(model(system(c))[0], local_name="archive/data.txt"), *model()[1:]]),
    )
    yield "pickle_in_front.pt", lambda c: archive(model(), before=system(c))
    yield "pickle_in_front_absolute.pt", lambda c: archive(model(), before=system(c), absolute=True)
    yield "pickle_behind.pt", lambda c: good + system(c)
    yield "zip_in_front.pt", lambda c: archive(model(), before=evil(c))
    yield "zip_in_front_absolute.pt", lambda c: archive(model(), before=evil(c), absolute=True)
    yield "zip_behind.pt", lambda c: good + evil(c)
    yield "zip_behind_absolute.pt", lambda c: archive(model(system(c)), before=good, absolute=True)
    yield "zip_in_comment.pt", lambda c: archive(model(), comment=evil(c))
    yield "zip_within.pt", lambda c: archive([Member("archive/model.pt", evil(c))])
    yield "zip_within_beside.pt", lambda c: archive(model(build.STATE_DICT, Member("archive/model.pt", evil(c))))
    yield "pickle_beside.pt", lambda c: archive(model(build.STATE_DICT, Member("archive/extra.bin", system(c))))
    yield "pickle_beside_early.pt", lambda c: archive(model(build.STATE_DICT, Member("archive/x", system(c, 0))))
    yield (
        "torchscript.pt",
        lambda c: archive(
            model(build.STATE_DICT, Member("archive/code/__torch__.py", f"import os; os.system('touch {c}')".encode()))
        ),
    )
    yield "torchscript_upper.pt", lambda c: archive(model(build.STATE_DICT, Member("archive/code/X.PY", c.encode())))
    yield "compiled.pt", lambda c: archive(model(build.STATE_DICT, Member("archive/x.pyc", c.encode())))
    yield "named.safetensors", evil
    yield "named.SafeTensors", evil
    yield "named.gguf", evil
    yield "named.onnx", evil
    yield "named.npz", evil
    yield "encrypted.pt", lambda c: archive([replace(m, flags=1) for m in model(system(c))])
    yield "strongly_encrypted.pt", lambda c: archive([replace(m, flags=0x41) for m in model(system(c))])
    yield "masked.pt", lambda c: archive([replace(m, flags=0x2001) for m in model(system(c))])
    for method in (1, 6, 9, 14, 93, 97, 99, 0xFFFF):
        yield f"method_{method}.pt", _packed_by(method)
    yield "method_differs.pt", lambda c: archive([replace(m, local_method=8) for m in model(system(c))])
    for title, pack in (("gzip", _gzip), ("zlib", zlib.compress), ("bz2", bz2.compress), ("xz", lzma.compress)):
        for suffix in ("pkl", "pt", "joblib"):
            yield f"{title}.{suffix}", _whole_packed(pack)


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(content) + packer.flush()


def _unicode_path(name: bytes, other: bytes, canary: str) -> Member:
    """An extra field gives the member another name."""
    field = struct.pack("<BI", 1, zlib.crc32(name)) + other
    return Member(name, system(canary), extra=struct.pack("<HH", 0x7075, len(field)) + field)


def _escaping() -> dict[str, bytes]:
    """Members that would be unpacked elsewhere."""
    places = {
        "parent": "../../../../tmp/x.txt", "absolute": "/etc/cron.d/x", "drive": "C:\\x.txt",
        "backslash": "..\\..\\x.txt",
        "within": "archive/../../x.txt", "share": "\\\\host\\x",
    }  # fmt: skip
    return {
        f"leads_to_{title}.pt": archive(model(build.STATE_DICT, Member(place, b"x"))) for title, place in places.items()
    }


def _lies() -> dict[str, bytes]:
    good, (first, *rest) = archive(model()), model()
    end = good.rfind(b"PK\5\6")
    big = struct.pack("<HHQQQ", 1, 24, (1 << 64) - 1, (1 << 64) - 1, (1 << 64) - 1)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, 1 << 63, 1 << 63)
    lies = {
        "size_too_small": archive([replace(first, size=10), *rest]),
        "size_too_big": archive([replace(first, size=1 << 31), *rest]),
        "packed_too_big": archive([replace(first, packed=1 << 31), *rest]),
        "wrong_sum": archive([replace(first, crc=1), *rest]),
        "offset_beyond": archive([replace(first, offset=0xFFFFFFF0), *rest]),
        "offset_of_another": archive([replace(first, offset=200), *rest]),
        "offset_within_itself": archive([first, replace(rest[0], name="archive/x.pkl", offset=3)]),
        "zip64_of_all_bits": archive([replace(first, size=_ALL, packed=_ALL, offset=_ALL, extra=big), *rest]),
        "zip64_cut_off": archive([replace(first, size=_ALL, extra=b"\1\0\2\0\0\0"), *rest]),
        "directory_of_all_bits": good[:end] + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, _ALL, _ALL, 0),
        "end64_beyond": good[:end] + end64 + struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, _ALL, _ALL, 0),
        "end64_elsewhere": good[:end] + end64 + struct.pack("<4sIQI", b"PK\6\7", 0, 1 << 62, 1)
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, _ALL, _ALL, 0),
        "second_end_in_comment": archive(model(), comment=archive([])),
        "comment_cut_off": good[:-1] + b"\x09",
        "no_directory": good[:end],
        "cut_in_the_middle": good[: len(good) // 2],
        "bad_name": archive([replace(first, name=b"\xff\xfe.pkl", flags=0x800), *rest]),
        "no_members": archive([]),
        "missing_storage": archive([first]),
        "short_storage": archive([first, replace(rest[0], content=bytes(8))]),
        "corrupt_deflate": archive([replace(first, method=8), *rest]).replace(zlib.compress(b"")[:2], b"xx")
        .replace(_packed(replace(first, method=8))[:20], b"\xff" * 20),
    }  # fmt: skip
    return {f"{title}.pt": content for title, content in lies.items()}


def _bombs() -> Iterator[tuple[str, bytes]]:
    deflated = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = bytes(1 << 20)
    gigabyte = b"".join(deflated.compress(block) for _ in range(1024)) + deflated.flush()
    told = Member("archive/data.pkl", gigabyte, method=0, size=1 << 30, crc=0)
    stored = archive([told])
    yield "gigabyte_of_zeros.pt", stored.replace(struct.pack("<4s3H", b"PK\3\4", 20, 0, 0), struct.pack("<4s3H",
        b"PK\3\4", 20, 0, 8)
    ).replace(struct.pack("<4s4H", b"PK\1\2", 20, 20, 0, 0), struct.pack("<4s4H", b"PK\1\2", 20, 20, 0, 8))  # fmt: skip
    bombs = [Member(f"archive/{n}.pkl", b"\x80\x02" + b"N0" * (15 << 20) + b"N.", method=8) for n in range(1)]
    yield "pickle_of_nothing.pt", archive(bombs)
    yield "members_without_end.pt", _crowd(b"%06x")
    yield "members_without_end.npz", _crowd(b"%06x.npy")
    yield "one_member_under_many_names.npz", _crowd(b"%06x.npy", same=True)


def _crowd(name: bytes, *, same: bool = False) -> bytes:
    """A directory of half a million members, which all lie at one place."""
    content = b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }".ljust(80)
    local = b"0" * 6 if same else name % 0
    whole = archive([Member(local, content)])
    entry = whole[whole.find(b"PK\1\2") : whole.rfind(b"PK\5\6")]
    head = whole[: whole.find(b"PK\1\2")]
    entries = b"".join(entry.replace(local, name % number) for number in range(500_000))
    return head + entries + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(entries), len(head), 0)


def cases() -> Iterator[Case]:
    for title, make in _carriers():
        yield Case(title, KIND, make)
    yield from fixed(KIND, _escaping())
    yield from fixed(KIND, _lies())
    for title, content in _bombs():
        yield from fixed(KIND, {title: content})
