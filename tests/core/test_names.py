"""Names never act on a terminal, and JSON keeps their exact bytes."""

import base64
import os

import pytest

from modelhub.core.names import human_size, path_fields, printable, storable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain.gguf", "plain.gguf"),
        ("水墨山水.safetensors", "水墨山水.safetensors"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        (os.fsdecode(b"\xff\xfe"), "\\xff\\xfe"),
        ("👩\u200d🔬", "👩\u200d🔬"),
    ],
)
def test_what_could_act_on_a_terminal_is_shown_as_an_escape(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_bytes_that_are_not_utf8_travel_exactly() -> None:
    exact = b"model-\xff.gguf"
    fields = path_fields(os.fsdecode(exact))
    assert fields["path"] == "model-\\xff.gguf"
    assert base64.b64decode(fields["path_b64"]) == exact
    assert path_fields("model.gguf") == {"path": "model.gguf"}
    assert storable(os.fsdecode(exact)).encode() == b"model-\\xff.gguf"


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (6_938_078_334, "6.94 GB"), (999_999_999, "1e+03 MB")],
)
def test_sizes_are_said_in_decimal_units(size: int, said: str) -> None:
    assert human_size(size) == said.replace("1e+03 MB", "1 GB")
