"""Content decides the format; the suffix only tells a disguise."""

import io

import pytest

from modelhub.core.types import Inspection
from modelhub.formats.inspect import inspect


def look(content: bytes, name: str) -> Inspection:
    return inspect(io.BytesIO(content), len(content), name)


@pytest.mark.parametrize(
    ("content", "name", "container", "state", "code"),
    [
        (b"", "x.ckpt", "empty", "not_model", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 12\n", "x.gguf", "lfs_pointer", "not_model", "lfs_pointer"),
        (b"\n <!DOCTYPE html><html>", "x.safetensors", "web_page", "not_model", "web_page"),
        (b'{"error": "gated repo"}', "x.bin", "web_page", "not_model", "web_page"),
        (b"\0" * 9000, "x.safetensors", "partial_download", "not_model", "partial_download"),
        (b"\x08\x08\x12\x07pytorch:\x00", "x.onnx", "onnx", "ok", ""),
        (b"lmgg" + b"\0" * 40, "ggml-base.bin", "ggml", "ok", ""),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 40, "model", "hdf5", "ok", ""),
        (b"\x1c\0\0\0TFL3" + b"\0" * 40, "model", "tflite", "ok", ""),
        (b"random text", "x.bin", "unknown", "not_model", "not_a_model"),
        (b"random text", "x.safetensors", "unknown", "broken", "wrong_content"),
        (b"random text", "x.gguf", "unknown", "broken", "wrong_content"),
    ],
)
def test_formats_and_impostors(content: bytes, name: str, container: str, state: str, code: str) -> None:
    found = look(content, name)
    assert (found.container, found.state, found.code) == (container, state, code)


def test_safetensors_under_another_suffix_is_safetensors() -> None:
    assert look(b"\x02" + b"\0" * 7 + b"{}", "x.ckpt").container == "safetensors"


def test_a_pointer_says_what_it_stands_for() -> None:
    message = look(b"version https://git-lfs.github.com/spec/v1\nsize 4265146304\n", "x.gguf").message
    assert "4,265,146,304 bytes" in message
