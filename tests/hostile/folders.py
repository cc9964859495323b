"""Folders that attack whoever walks them, and files beside models that attack whoever reads those."""

import json
import os
import socket
from pathlib import Path

from tests import build
from tests.hostile.graphs import _located
from tests.hostile.headers import entry, tensors_file

NAMES = (
    b"new\nline",
    b"esc\x1b[2J\x1b]0;owned\x07",
    "right\u202egnp.exe".encode(),
    b"[bold]x[@click=app.quit]q[]",
    b"bad\xff\xfeutf8",
    b"'; DROP TABLE models; --",
    b"$(touch canary_) `touch canary`",
    b"-rf",
    b"%s%n{0}",
    b" ",
    b"\t",
    b"l" * 240,
    "\u200b\u2028".encode(),
    b"..hidden",
    b"~",
    b"C:\\x",
)
_TEMPLATE = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for x in range(10**9) %}{% endfor %}"
_DEEP = "[" * 200_000
_SURROGATE = '"\\ud800"'
DESCRIBED = {
    "deep": '{"model_type": ' + _DEEP,
    "deep and closed": '{"model_type": ' + "[" * 50_000 + "]" * 50_000 + "}",
    "long number": '{"model_type": "llama", "vocab_size": ' + "9" * 5000 + "}",
    "huge number": '{"model_type": "llama", "vocab_size": ' + "9" * 400 + ', "max_position_embeddings": 1e999}',
    "not a number": '{"model_type": "llama", "hidden_size": NaN, "x": [Infinity, -Infinity]}',
    "surrogate": f'{{"model_type": {_SURROGATE}, "architectures": [{_SURROGATE}], {_SURROGATE}: 1}}',
    "acting": json.dumps(
        {"model_type": "\x1b[2J\x07", "_name_or_path": "a\r\nb\u202e", "architectures": ["[/][bold]"]}
    ),
    "code": json.dumps(
        {"model_type": "x", "trust_remote_code": True, "auto_map": {"AutoModel": "../../evil--modeling.Evil"}}
    ),
    "many": json.dumps({"model_type": "x"} | {f"k{n}": "v" * 100 for n in range(50_000)}),
    "list": "[1, 2]",
    "text": '"x"',
    "nothing": "",
    "bad utf8": '{"model_type": "\udcff"}',
    "twice": '{"model_type": "llama", "model_type": "evil"}',
}
"""A config.json by what is wrong with it."""

_WEIGHTS = tensors_file({"model.embed_tokens.weight": entry("F16", (8, 4), (0, 64))}, bytes(64))


def lay_out(folder: Path) -> Path:
    """The folder, full of everything that is no file, and of models with names and describing files that attack."""
    _special(folder / "special")
    for number, name in enumerate(NAMES):
        home = folder / "names" / str(number)
        home.mkdir(parents=True)
        data = bytes([number]) * 64
        held = tensors_file({"model.embed_tokens.weight": entry("F16", (8, 4), (0, 64))}, data)
        (Path(os.fsdecode(os.fsencode(home) + b"/" + name + b".safetensors"))).write_bytes(held)
    for title, text in DESCRIBED.items():
        _transformer(folder / "described" / title, {"config.json": text})
    _beside(folder / "beside")
    return folder


def _special(folder: Path) -> None:
    """A pipe, links to devices, to folders around and to nothing, a socket, a file without rights."""
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe.safetensors")
    os.mkfifo(folder / "config.json")
    for name, target in (
        ("zero.safetensors", "/dev/zero"),
        ("zero.gguf", "/dev/urandom"),
        ("terminal.ckpt", "/dev/tty"),
        ("nothing.gguf", "/nonexistent"),
        ("itself.gguf", "itself.gguf"),
        ("passwd.bin", "/etc/passwd"),
        ("environ.bin", "/proc/self/environ"),
        ("memory.bin", "/proc/self/mem"),
    ):
        (folder / name).symlink_to(target)
    (folder / "loop").symlink_to(folder)
    (folder / "parent").symlink_to("..")
    (folder / "root").symlink_to("/")
    (folder / "folder.safetensors").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        place = os.getcwd()
        try:
            os.chdir(folder)  # names of sockets must be short
            bound.bind("socket.gguf")
        finally:
            os.chdir(place)


def _transformer(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(_WEIGHTS + b"")
    for name, text in {"tokenizer.json": "{}", **texts}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")


def _beside(folder: Path) -> None:
    told = json.dumps({"model_type": "llama"})
    places = ["../../../../etc/passwd", "/etc/passwd", "..\\x", "model-00002-of-00002.safetensors", "\x1b[2J", ""]
    _transformer(
        folder / "index",
        {
            "config.json": told,
            "model.safetensors.index.json": json.dumps(
                {"weight_map": {f"w{n}": place for n, place in enumerate(places)}}
            ),
        },
    )
    _transformer(
        folder / "index of numbers",
        {"config.json": told, "model.safetensors.index.json": '{"weight_map": {"a": [1], "b": 7}}'},
    )
    _transformer(
        folder / "index deep", {"config.json": told, "model.safetensors.index.json": '{"weight_map": ' + _DEEP}
    )
    _transformer(
        folder / "code",
        {"config.json": told, "modeling_x.py": "open('canary', 'w')", "setup.py": "open('canary', 'w')"},
    )
    _transformer(
        folder / "card",
        {
            "config.json": told,
            "README.md": "---\nlicense: !!python/object/apply:os.system ['touch canary']\n---\n# \x1b[2J",
        },
    )
    laughs = "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    _transformer(folder / "card laughs", {"config.json": told, "README.md": f"---\n{laughs}---\n"})
    _transformer(folder / "card deep", {"config.json": told, "README.md": "---\ntags: " + "[" * 100_000})
    _transformer(
        folder / "card long", {"config.json": told, "README.md": "---\ntags: [" + "x, " * 500_000 + "]\n---\n"}
    )
    _transformer(
        folder / "template",
        {
            "config.json": told,
            "tokenizer_config.json": json.dumps({"chat_template": _TEMPLATE}),
            "chat_template.jinja": "{{ cycler.__init__.__globals__.os.system('touch canary') }}",
        },
    )
    build.safetensors(folder / "sidecar" / "lora.safetensors", build.SD15_LORA)
    for ending, text in (
        (".civitai.info", '{"baseModel": "\\ud800", "trainedWords": ' + _DEEP),
        (".json", '{"activation text": 7}'),
        (".cm-info.json", '{"ModelType": {"a": [1]}, "TrainedWords": "x", "BaseModel": 9e999}'),
        (".metadata.json", '{"civitai": {"trainedWords": [{"a": 1}, null, "\\u001b[2J"]}, "base_model": []}'),
    ):
        (folder / "sidecar" / f"lora{ending}").write_text(text)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(_located(b"weights.bin"))
    (folder / "onnx" / "weights.bin").symlink_to("/etc/passwd")
