"""Apps' own configuration files: ours in, ours out, and every other byte as it was."""

import json

import pytest
import yaml

from modelhub.apps import configs
from modelhub.apps.configs import Entry, Wanted
from modelhub.core.errors import ConfigInvalid

ROOT = "/hub/deployed/my app"
FOLDERS = {"checkpoints": ["checkpoints"], "loras": ["loras", "more"], "Lora": ["Lora"], "ckpts": ["ckpts"]}
HERE = Wanted(root=ROOT, block="modelhub", folders=FOLDERS, own="/app/models")
GONE = Wanted(root=ROOT, block="modelhub", own="/app/models")
ENTRIES = {"qwen": Entry('/a b/"q" \\ü.gguf', "/p.gguf"), "zephyr": Entry("/z.gguf")}
NAMED = Wanted(root="", block="", entries=ENTRIES, ours=frozenset(ENTRIES))
UNNAMED = Wanted(root="", block="", ours=frozenset(ENTRIES))


def merged(kind: str, before: bytes | None, wanted: Wanted) -> bytes | None:
    return configs.merged(kind, "file", before, wanted)["file"]


@pytest.mark.parametrize(
    ("kind", "text", "there", "away"),
    [
        ("comfyui", b"# mine\nown:\n    base_path: /x   # slow\n    loras: |\n        a\n        b \n#\n", HERE, GONE),
        ("comfyui", b"own:\r\n  loras: x\r\n", HERE, GONE),
        ("comfyui", b"own:\n  loras: x", HERE, GONE),
        ("comfyui", b"a: &a\n  base_path: /a\nb:\n  <<: *a\n  vae: x\nempty:\n", HERE, GONE),
        ("llama_swap", b"models:\n    # first\n    'own':\n        cmd: x\n    b: {cmd: y}\nz: {}\n", NAMED, UNNAMED),
        ("llama_swap", b"startPort: 1\nmodels:\n  own: {cmd: x}\n# end\n", NAMED, UNNAMED),
        ("presets", b"version = 1\n; mine\n[*]\nctx-size=4096\n\n[own]\nmodel = /o.gguf ; hm\n", NAMED, UNNAMED),
        ("fooocus", b'{\n    "path_checkpoints": ["/my", "/other"],\n    "x": 1\n}', HERE, GONE),
        ("fooocus", b'{\n  "path_loras": "/my"\n}\n', HERE, GONE),
        ("wan2gp", b'{\n  "checkpoints_paths": [\n    "ckpts",\n    "big"\n  ],\n  "a": 1\n}', HERE, GONE),
        ("swarmui", b"#x\r\nPaths:\r\n\t#Root\r\n\tModelRoot: Models;/o\r\n\tB: c\r\nZ: 1\r\n", HERE, GONE),
        ("swarmui", b"Paths:\n    ModelRoot:\n    B: c\n", HERE, GONE),
    ],
)  # fmt: skip
def test_what_goes_in_and_out_leaves_the_rest_as_it_was(kind: str, text: bytes, there: Wanted, away: Wanted) -> None:
    made = merged(kind, text, there)
    assert made is not None
    assert made != text
    assert merged(kind, made, there) == made, "a second time changes nothing"
    back = merged(kind, made, away)
    assert back is not None
    if kind in ("fooocus", "wan2gp"):
        assert json.loads(back) == json.loads(text)
    elif kind == "swarmui":
        assert back.replace(b"ModelRoot: Models\n", b"ModelRoot:\n") == text
    else:
        assert back.rstrip() == text.rstrip()


@pytest.mark.parametrize("kind", ["comfyui", "llama_swap", "presets", "fooocus"])
def test_a_file_that_is_ours_alone_goes_again(kind: str) -> None:
    there, away = (NAMED, UNNAMED) if kind in ("llama_swap", "presets") else (HERE, GONE)
    made = merged(kind, None, there)
    assert made is not None
    assert merged(kind, made, away) is None


@pytest.mark.parametrize("kind", ["wan2gp", "swarmui"])
def test_settings_that_only_the_app_can_make_are_asked_for(kind: str) -> None:
    assert merged(kind, None, GONE) is None
    with pytest.raises(ConfigInvalid, match="does not exist yet"):
        merged(kind, None, HERE)


def test_several_folders_are_a_block_and_never_a_list() -> None:
    made = merged("comfyui", None, HERE)
    assert made is not None
    assert yaml.safe_load(made)["modelhub"]["loras"] == "loras\nmore\n"


@pytest.mark.parametrize("kind", ["presets", "llama_swap"])
def test_entries_are_read_back_as_they_were_written(kind: str) -> None:
    made = merged(kind, None, NAMED)
    assert configs.entries(kind, "file", made) == ENTRIES


def test_what_a_user_added_to_a_preset_of_ours_stays() -> None:
    made = merged("presets", None, NAMED)
    assert made is not None
    edited = made.replace(b"[zephyr]\n", b"[zephyr]\nctx-size = 8192\n")
    moved = Wanted(root="", block="", entries=ENTRIES | {"zephyr": Entry("/new.gguf")}, ours=frozenset(ENTRIES))
    again = merged("presets", edited, moved)
    assert again is not None
    assert b"ctx-size = 8192" in again
    assert b"/new.gguf" in again


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("comfyui", b"- a\n"), ("comfyui", b"a: [1"), ("comfyui", b"own:\n  loras: [x]\n"), ("comfyui", b"{a: {b: c}}"),
        ("comfyui", b"x: 1\n"), ("comfyui", b"modelhub:\n  base_path: /somebody/else\n"), ("comfyui", b"a: b: c\n"),
        ("comfyui", b"\xff\xfe"), ("comfyui", b"---\na: {}\n---\nb: {}\n"), ("llama_swap", b"models: [a]\n"),
        ("llama_swap", b"models: {a: {cmd: x}}\n"), ("presets", b"[a]\n[a]\n"), ("fooocus", b"{"), ("fooocus", b"[]"),
        ("fooocus", b'{"path_loras": 3}'), ("wan2gp", b'{"checkpoints_paths": [1]}'), ("swarmui", b"Paths:\n"),
        ("swarmui", b"Other:\n\tModelRoot: Models\n"), ("fooocus", b"[" * 100_000),
    ],
)  # fmt: skip
def test_what_the_app_could_not_read_is_refused_with_the_name_of_the_file(kind: str, text: bytes) -> None:
    with pytest.raises(ConfigInvalid, match=r"^file "):
        merged(kind, text, NAMED if kind in ("llama_swap", "presets") else HERE)
