"""A machine as a user has it: a home with installed apps, and a small library of every kind of model."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from modelhub.samples import architectures as nets
from modelhub.samples import writers
from tests import build

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)


def write_models(folder: Path) -> None:
    """Fifteen models, small ones, in folders as people keep them."""
    write = writers.safetensors
    write(folder / "checkpoints/dreamshaper_8.vae.safetensors", nets.sd15_checkpoint(), dtype="F8_E4M3")
    writers.text(folder / "checkpoints/dreamshaper_8.vae.yaml", "model: {}\n")
    write(folder / "loras/add_detail.SAFETENSORS", build.SD15_LORA)
    write(
        folder / "loras/pixel-art-xl.safetensors",
        nets.kohya_sdxl(4),
        metadata={"ss_base_model_version": "sdxl_base_v1-0"},
    )
    write(folder / "vae/ae.safetensors", build.vae(16))
    write(folder / "embeddings/EasyNegative.safetensors", {"emb_params": (8, 768)})
    write(folder / "controlnet/control_v11p_sd15_canny.safetensors", nets.controlnet_sd15())
    write(folder / "text_encoders/clip_l.safetensors", nets.clip_l())
    writers.torch_zip(folder / "upscalers/RealESRGAN_x2.pth", nets.esrgan(1, 2))
    language_model(folder / "llm/Qwen2.5-0.5B-Instruct-Q8_0.gguf", "qwen2")
    language_model(folder / "llm/Qwen2.5-0.5B-Instruct-Q4_K_M.gguf", "qwen2", file_type=15, mark="q4")
    writers.whisper(folder / "whisper/ggml-tiny.bin", layers=4, width=384)
    shapes = {"enc_p.emb.weight": (130, 192), "dec.conv_pre.weight": (256, 192, 7), "flow.flows.0.pre.weight": (96, 96)}
    told = {"audio": {"sample_rate": 22050}, "espeak": {"voice": "de"}, "num_speakers": 1, "piper_version": "1.0"}
    writers.text(folder / "voices/de_DE-thorsten-high.onnx.json", told)
    writers.onnx(folder / "voices/de_DE-thorsten-high.onnx", shapes, properties={"comment": "piper", "language": "de"})
    mlx_folder(folder / "mlx/SmolLM2-135M-Instruct-mlx")


def language_model(path: Path, architecture: str, *, file_type: int = 7, mark: str = "") -> Path:
    pairs = build.llm_pairs(architecture, path.stem, file_type=file_type)
    pairs |= {"tokenizer.chat_template": CHATML, "general.sampling.temp": 0.7, "modelhub.test": mark}
    kind = "Q8_0" if file_type == 7 else "Q4_K"
    tensors = {"token_embd.weight": ((1024, 256), kind), "blk.0.attn_q.weight": ((256, 256), kind)}
    return writers.gguf(path, pairs, {**tensors, "output_norm.weight": ((256,), "F32")})


def mlx_folder(folder: Path) -> Path:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1,
        "max_position_embeddings": 8192, "vocab_size": 1024, "quantization": {"group_size": 64, "bits": 4},
    }  # fmt: skip
    writers.text(folder / "config.json", config)
    writers.text(folder / "tokenizer.json", {"version": "1.0", "model": {"type": "BPE"}})
    writers.text(folder / "README.md", "---\nlibrary_name: mlx\npipeline_tag: text-generation\n---\n# SmolLM2\n")
    shapes = nets.llama_layers(1, 64, (4, 4), 128, 1024)
    return writers.safetensors(folder / "model.safetensors", shapes, metadata={"format": "mlx"}).parent


@dataclass(frozen=True)
class Home:
    """The apps of a home, by the folders of their roots."""

    root: Path

    def __getitem__(self, name: str) -> Path:
        return self.root / _ROOTS[name]

    def tree(self) -> dict[str, str]:
        """Everything in the home: folders, links with what they say, files with their content."""
        return tree(self.root)


def tree(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for here, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(here) / name
            key = str(path.relative_to(root))
            if path.is_symlink():
                found[key] = f"link {os.readlink(path)}"
            elif path.is_dir():
                found[key] = "folder"
            else:
                found[key] = f"file {path.read_bytes()[:4096]!r} {path.stat().st_size}"
    return found


_ROOTS = {
    "comfyui": "ComfyUI", "forge": "stable-diffusion-webui-forge", "reforge": "stable-diffusion-webui-reForge",
    "forge_neo": "sd-webui-forge-neo", "a1111": "stable-diffusion-webui", "fooocus": "Fooocus", "swarmui": "SwarmUI",
    "stability_matrix": "StabilityMatrix", "wan": "pinokio/api/wan.git/app", "lm_studio": ".lmstudio",
    "jan": ".local/share/Jan/data", "ollama": ".ollama/models", "invokeai": "invokeai", "whisper_cpp": "whisper.cpp",
    "text_generation_webui": "text-generation-webui",
}  # fmt: skip
_WEBUI = {"webui.py": "", "modules/sd_models.py": ""}
_VERSION = "modules_forge/forge_version.py"
_FILES: dict[str, dict[str, str]] = {
    "comfyui": {
        "main.py": "", "folder_paths.py": "", "comfy/__init__.py": "", "models/checkpoints/put_checkpoints_here": "",
        "models/loras/mine.safetensors": "mine", "extra_model_paths.yaml":
        "# my disks\nbig_disk:\n    base_path: /mnt/big   # slow\n    loras: |\n        loras\n        more loras\n",
    },
    "forge": {**_WEBUI, _VERSION: "version = '2.0.1'", "backend/x.py": "", "models/VAE/Put VAE here.txt": ""},
    "reforge": {**_WEBUI, _VERSION: "version = '1.0.0v2'", "ldm_patched/x.py": "", "models/x": ""},
    "forge_neo": {**_WEBUI, _VERSION: 'version = "neo"', "backend/x.py": "", "models/x": ""},
    "a1111": {**_WEBUI, "models/Lora/x": ""},
    "fooocus": {
        "fooocus_version.py": "", "modules/config.py": "", "models/checkpoints/put_here": "", "models/loras/x": "",
        "config.txt": '{\n    "path_checkpoints": "HOME/Fooocus/models/checkpoints",\n    "default_cfg_scale": 4.0\n}',
    },
    "swarmui": {
        "SwarmUI.sln": "", "Models/x": "", "Data/Settings.fds":
        "#Settings\nPaths:\n\t#Root path.\n\tModelRoot: Models\n\tSDLoraFolder: Lora\nIsInstalled: true\n",
    },
    "stability_matrix": {"settings.json": '{"InstalledPackages": []}', "Packages/x": "", "Models/Lora/x": ""},
    "wan": {
        "wgp.py": "", "defaults/x.json": "", "ckpts/x": "", "loras/x": "", "wgp_config.json":
        '{\n    "checkpoints_paths": [\n        "ckpts",\n        "."\n    ]\n}',
    },
    "lm_studio": {"settings.json": "{}", "models/x": ""},
    "jan": {"llamacpp/x": "", "threads/x": ""},
    "ollama": {"blobs/x": "", "manifests/x": ""},
    "invokeai": {"invokeai.yaml": "schema_version: 4", "databases/invokeai.db": ""},
    "whisper_cpp": {"include/whisper.h": "", "models/download-ggml-model.sh": ""},
    "text_generation_webui": {
        "server.py": "", "one_click.py": "", "user_data/models/x.txt": "", "user_data/loras/x": "",
    },
}  # fmt: skip


def install_apps(home: Path) -> Home:
    """Every app that leaves a trace on a disk, as fresh from its installer."""
    for app, files in _FILES.items():
        for name, content in files.items():
            path = home / _ROOTS[app] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content.replace("HOME", str(home)))
    (home / ".ollama/models/blobs/x").unlink()
    (home / ".ollama/models/manifests/x").unlink()
    json.loads((home / "Fooocus/config.txt").read_text())
    return Home(home)
