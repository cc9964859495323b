"""Which format a file has, by its content. The suffix only tells a disguise from an honest name."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath
from typing import BinaryIO

from modelhub.core import plugins
from modelhub.core.types import CHAT_DANGER, Inspection, MetaValue, Tensor
from modelhub.formats import archives, chat, coreml, ctranslate2, ggml, gguf, hdf5, onnx, pickles, safetensors, tflite
from modelhub.formats.broken import BrokenFile

HEAD = 4096
"""Bytes read to recognise a format."""

_Reader = Callable[[BinaryIO, int], tuple[dict[str, Tensor], dict[str, MetaValue]]]
_LFS = b"version https://git-lfs.github.com/spec/"
_HTML = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
_JSON_ANSWER = re.compile(rb'\s*\{\s*"(?:error|message|detail|errors|code|status)"')
_ONNX = re.compile(rb"\x08[\x01-\x20](?:[\x12\x1a\x22\x32\x3a\x42]|\x28)", re.DOTALL)
_CODE_FREE = {".safetensors", ".sft", ".gguf", ".onnx"}
"""Suffixes that promise a file without code; a pickle or an archive under one is a disguise."""


def inspect(stream: BinaryIO, size: int, name: str) -> Inspection:
    """Read the header of an open file of `size` bytes. `name` is used to tell disguises only."""
    stream.seek(0)
    head = stream.read(HEAD)
    suffix = PurePath(name).suffix.lower()
    if pickles.is_zip(head) or pickles.is_pickle(head):
        return _code_bearing(stream, size, head, suffix)
    found = _code_free(stream, size, head, name)
    if found.state in ("ok", "broken") and suffix in pickles.PICKLE_SUFFIXES and pickles.would_run(stream, size):
        message = f"Named {suffix}, and a program that loads it as a pickle would run what is in it."
        return Inspection(found.container, size, "unsafe", "disguised", message)
    return found


def _code_free(stream: BinaryIO, size: int, head: bytes, name: str) -> Inspection:
    if head.startswith(gguf.MAGIC):
        return _read("gguf", gguf.read, stream, size)
    if safetensors.looks_like(head):
        return _read("safetensors", safetensors.read, stream, size)
    return _other(stream, size, head, name)


def _read(container: str, reader: _Reader, stream: BinaryIO, size: int) -> Inspection:
    try:
        tensors, metadata = reader(stream, size)
    except BrokenFile as broken:
        return Inspection(container, size, "broken", broken.code, broken.message)
    found = Inspection(container, size, tensors=tensors, metadata=metadata)
    danger = metadata.get(CHAT_DANGER)
    if danger is None:
        return found
    return replace(found, state="unsafe", code="unsafe_template", message=chat.danger_message(str(danger)))


def _code_bearing(stream: BinaryIO, size: int, head: bytes, suffix: str) -> Inspection:
    named = suffix in _CODE_FREE or suffix in pickles.PICKLE_SUFFIXES
    other = archives.inspect_zip(stream, size) if pickles.is_zip(head) and not named else None
    if other is not None:
        return other
    container = pickles.container(head)
    if suffix in _CODE_FREE:
        what = "an archive" if pickles.is_zip(head) else "a pickle"
        message = f"Named {suffix} but holds {what}, which can carry code."
        return Inspection(container, size, "unsafe", "disguised", message)
    return pickles.inspect(container, stream, size)


def _other(stream: BinaryIO, size: int, head: bytes, name: str) -> Inspection:
    suffix = PurePath(name).suffix.lower()
    impostor = _impostor(head)
    if impostor is not None:
        return Inspection(impostor[0], size, "not_model", *impostor)
    reader = _recognised(head, suffix)
    if reader is not None:
        return reader(stream, size)
    added = plugins.inspect(stream, size, head, name)
    if added is not None:
        return added
    if suffix in _CODE_FREE:
        return Inspection("unknown", size, "broken", "wrong_content", f"Named {suffix} but holds something else.")
    return Inspection("unknown", size, "not_model", "not_a_model", "The content is of no known model format.")


def _impostor(head: bytes) -> tuple[str, str] | None:
    """Code and sentence for what often lies about under a model's name."""
    if not head:
        return "empty", "The file is empty."
    if head.startswith(_LFS):
        return "lfs_pointer", _lfs_message(head)
    if _HTML.match(head) or _JSON_ANSWER.match(head):
        return "web_page", "A web page or error answer was saved in place of a model."
    if not any(head):
        return "partial_download", "The file starts with zeros: an unfinished download."
    return None


def _recognised(head: bytes, suffix: str) -> Callable[[BinaryIO, int], Inspection] | None:
    """The reader of a format that is told by its first bytes; weak marks count only under a fitting suffix."""
    marks = (
        (head[:4] in ggml.MAGICS, ggml.inspect),
        (head.startswith(hdf5.MAGIC), hdf5.inspect),
        (head[4:8] == b"TFL3", tflite.inspect),
        (ctranslate2.looks_like(head), ctranslate2.inspect),
        (archives.is_tar(head) and suffix == ".nemo", archives.inspect_nemo),
        (coreml.looks_like(head, suffix), coreml.inspect),
        (suffix in ("", ".onnx") and _ONNX.match(head) is not None, onnx.inspect),
    )
    return next((reader for found, reader in marks if found), None)


def _lfs_message(head: bytes) -> str:
    found = re.search(rb"^size (\d{1,19})$", head, re.MULTILINE)
    stands_for = f" for {int(found[1]):,} bytes" if found else ""
    return f"A Git LFS pointer{stands_for}; run `git lfs pull` in its repository to get the model."
