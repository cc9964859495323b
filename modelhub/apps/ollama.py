"""What Ollama keeps on disk for a model: a manifest, a configuration, and layers named by their digests.

Source: ollama's types/model/config.go, manifest/layer.go and server/images.go, as described in its documentation.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from modelhub.apps import naming
from modelhub.core.deployment import Deployable
from modelhub.core.types import Sha256

HOST = "registry.ollama.ai"
_NOT_ALLOWED = re.compile(r"[^a-z0-9_.-]+")
_LONGEST = 80


class Layer(NamedTuple):
    """`kind` is the last word of its media type, `size` in bytes."""

    kind: str
    sha256: Sha256
    size: int


class Talk(NamedTuple):
    """How a family of models is spoken to: `mark` shows it in a chat template; the template is Go's, `stop` ends it."""

    mark: str
    template: str
    stop: tuple[str, ...]


_TURN = "{{{{ range .Messages }}}}{before}{{{{ .Role }}}}{middle}{{{{ .Content }}}}{after}{{{{ end }}}}{last}"
_TALKS = (
    Talk(
        "<|im_start|>",
        _TURN.format(before="<|im_start|>", middle="\n", after="<|im_end|>\n", last="<|im_start|>assistant\n"),
        ("<|im_start|>", "<|im_end|>"),
    ),
    Talk(
        "<|start_header_id|>",
        _TURN.format(
            before="<|start_header_id|>", middle="<|end_header_id|>\n\n", after="<|eot_id|>",
            last="<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    Talk(
        "<start_of_turn>",
        '{{ range .Messages }}<start_of_turn>{{ if eq .Role "assistant" }}model{{ else }}user{{ end }}\n'
        "{{ .Content }}<end_of_turn>\n{{ end }}<start_of_turn>model\n",
        ("<start_of_turn>", "<end_of_turn>"),
    ),
    Talk(
        "<|end|>",
        _TURN.format(before="<|", middle="|>\n", after="<|end|>\n", last="<|assistant|>\n"),
        ("<|user|>", "<|assistant|>", "<|end|>"),
    ),
    Talk(
        "<|START_OF_TURN_TOKEN|>",
        '{{ range .Messages }}<|START_OF_TURN_TOKEN|>{{ if eq .Role "system" }}<|SYSTEM_TOKEN|>'
        '{{ else if eq .Role "user" }}'
        "<|USER_TOKEN|>{{ else }}<|CHATBOT_TOKEN|>{{ end }}{{ .Content }}<|END_OF_TURN_TOKEN|>{{ end }}"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    ),
    Talk(
        "[INST]",
        '{{ range .Messages }}{{ if eq .Role "assistant" }} {{ .Content }}</s>{{ else }}[INST] {{ .Content }} [/INST]'
        "{{ end }}{{ end }}",
        ("[INST]", "[/INST]"),
    ),
    Talk(
        "<|user|>",
        _TURN.format(before="<|", middle="|>\n", after="</s>\n", last="<|assistant|>\n"),
        ("<|user|>", "<|assistant|>", "<|system|>", "</s>"),
    ),
)  # fmt: skip
_SAMPLING = {
    "temp": ("temperature", float), "temperature": ("temperature", float), "top_k": ("top_k", int),
    "top_p": ("top_p", float), "min_p": ("min_p", float), "penalty_repeat": ("repeat_penalty", float),
}  # fmt: skip


def digest(content: bytes) -> Sha256:
    return Sha256(hashlib.sha256(content).hexdigest())


def manifest(config: Layer, layers: Sequence[Layer]) -> bytes:
    """The manifest of a model, which is written last and names everything else."""
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": f"sha256:{config.sha256}",
            "size": config.size,
        },
        "layers": [
            {
                "mediaType": f"application/vnd.ollama.image.{layer.kind}",
                "digest": f"sha256:{layer.sha256}",
                "size": layer.size,
            }
            for layer in layers
        ],
    }
    return _packed(document)


def config(model: Deployable, *, projector: bool) -> bytes:
    family = model.architecture or "unknown"
    return _packed(
        {
            "model_format": "gguf",
            "model_family": family,
            "model_families": [family, "clip"] if projector else [family],
            "model_type": _size(model.parameters),
            "file_type": model.quantization or model.precision.upper() or "unknown",
            "architecture": "amd64",
            "os": "linux",
        }
    )


def layers_of(metadata: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Template and parameters that the file itself states. A template we cannot put in Go's words is left to Ollama,
    which reads the file's own; Jinja in its place would be refused there.
    """
    told = metadata.get("tokenizer.chat_template", "")
    talk = next((talk for talk in _TALKS if talk.mark in told), None)
    if talk is not None and "tools" not in told:
        yield "template", talk.template.encode()
    parameters: dict[str, Any] = {"stop": list(talk.stop)} if talk is not None else {}
    for key, (name, kind) in _SAMPLING.items():
        value = metadata.get(f"general.sampling.{key}")
        if value is not None and re.fullmatch(r"\d+(\.\d+)?(e[-+]?\d+)?", value):
            parameters[name] = kind(float(f"{float(value):.6g}"))  # the file holds single precision
    if parameters:
        yield "params", _packed(parameters)


def names(model: Deployable, template: str, fields: Mapping[str, str]) -> Iterator[str]:
    """Places below `manifests/`: host, namespace, model and tag; the second bears the digest."""
    model_part, _, tag_part = (template or "{model}:{quant|precision}").partition(":")
    name = _part(naming.filled(model_part, fields)) or "model"
    tag = _part(naming.filled(tag_part, fields)) or "latest"
    yield f"{HOST}/library/{name}/{tag}"
    yield f"{HOST}/library/{name[: _LONGEST - 9]}-{model.sha256[:8]}/{tag}"


def digests_named(manifest_text: bytes) -> set[str]:
    """The digests (hexadecimal) that a manifest names; raises ValueError if it cannot be read."""
    document = json.loads(manifest_text)
    layers = document.get("layers") if isinstance(document, dict) else None
    if not isinstance(layers, list):
        raise ValueError("not a manifest")  # noqa: TRY004  (as json says it)
    named = [document.get("config"), *layers]
    told = [str(layer.get("digest", "")) for layer in named if isinstance(layer, dict)]
    return {text[7:] for text in told if re.fullmatch(r"sha256[:-][0-9a-fA-F]{64}", text)}


def _part(text: str) -> str:
    return _NOT_ALLOWED.sub("-", text.lower()).strip("-.")[:_LONGEST].strip("-.")


def _size(parameters: int) -> str:
    """Parameters as Ollama shows them: 3.2B, 567.00M."""
    if parameters >= 10**9:
        return f"{parameters / 10**9:.1f}B"
    return f"{parameters / 10**6:.2f}M" if parameters >= 10**6 else f"{parameters}"


def _packed(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
