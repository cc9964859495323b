"""The judges of deployments judged: each trap that an app is known for is in its lister or double."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.apps import listers
from tests.apps.invokeai_double import InvokeAIDouble
from tests.apps.ollama_double import MODEL, OllamaDouble


def put(root: Path, *names: str, content: bytes = b"GGUF...") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root / names[0]


def link(path: Path, target: str | Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    """A file of a content-addressed store: its name says nothing."""
    return put(tmp_path, "store/9f86d081884c7d65")


# ComfyUI


def test_comfyui_takes_the_extension_from_the_name_of_the_link(tmp_path: Path, blob: Path) -> None:
    link(tmp_path / "m/loras/a.safetensors", blob)
    link(tmp_path / "m/loras/b", blob)
    assert listers.comfyui(tmp_path / "m")["loras"] == ["a.safetensors"]


def test_comfyui_lists_any_depth_hidden_files_broken_links_and_folder_links_but_no_git(tmp_path: Path) -> None:
    put(tmp_path, "m/vae/x/y/A.SAFETENSORS", "m/vae/.hid/.b.pt", "m/vae/.git/c.pt", "elsewhere/d.sft", "m/vae/e.gguf")
    link(tmp_path / "m/vae/gone.ckpt", "nowhere")
    link(tmp_path / "m/vae/far", tmp_path / "elsewhere")
    expected = [".hid/.b.pt", "far/d.sft", "gone.ckpt", "x/y/A.SAFETENSORS"]
    assert listers.comfyui(tmp_path / "m")["vae"] == expected


def test_comfyui_has_two_folders_for_some_categories_and_its_own_rules_for_others(tmp_path: Path) -> None:
    put(tmp_path, "unet/a.safetensors", "diffusion_models/b.safetensors", "t2i_adapter/c.pth", "clip/d.bin")
    put(tmp_path, "configs/e.yaml", "configs/f.pt", "classifiers/g", "classifiers/h.pt", "diffusers/i/model_index.json")
    shown = {category: names for category, names in listers.comfyui(tmp_path).items() if names}
    assert shown == {
        "diffusion_models": ["a.safetensors", "b.safetensors"],
        "controlnet": ["c.pth"],
        "text_encoders": ["d.bin"],
        "configs": ["e.yaml"],
        "classifiers": ["g"],
        "diffusers": ["i"],
    }


def test_comfyui_lists_gguf_only_with_its_custom_node(tmp_path: Path) -> None:
    put(tmp_path, "unet/flux.gguf", "clip/t5.gguf")
    assert not any(listers.comfyui(tmp_path).values())
    shown = listers.comfyui(tmp_path, gguf_node=True)
    assert (shown["unet_gguf"], shown["clip_gguf"]) == (["flux.gguf"], ["t5.gguf"])


def test_comfyui_follows_a_loop_forty_times(tmp_path: Path) -> None:
    put(tmp_path, "loras/a.pt")
    link(tmp_path / "loras/loop", ".")
    assert len(listers.comfyui(tmp_path)["loras"]) > 30


def extra(tmp_path: Path, text: str) -> Path:
    (tmp_path / "extra_model_paths.yaml").write_text(text)
    return tmp_path / "extra_model_paths.yaml"


def test_extra_paths_are_relative_to_the_yaml_and_expand_home_and_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "hub/l/a.pt", "l/b.pt", "home/l/c.pt", "var/l/d.pt")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WHERE", str(tmp_path / "var"))
    blocks = (
        "a: {base_path: hub, loras: l}\nb: {loras: l}\nc: {base_path: '~', loras: l}\nd: {base_path: $WHERE, loras: l}"
    )
    assert listers.comfyui(tmp_path / "m", extra(tmp_path, blocks))["loras"] == ["a.pt", "b.pt", "c.pt", "d.pt"]


def test_extra_paths_take_several_lines_and_keep_the_spaces_at_their_ends(tmp_path: Path) -> None:
    put(tmp_path, "one/a.pt", "two /b.pt", "two/c.pt")
    path = extra(tmp_path, "hub:\n  loras: |\n    one\n    two \n")
    assert listers.comfyui(tmp_path / "m", path)["loras"] == ["a.pt", "b.pt"]


def test_extra_paths_by_default_go_first_and_in_reverse(tmp_path: Path) -> None:
    path = extra(tmp_path, "hub:\n  is_default: true\n  vae: |\n    one\n    two\n    one\n")
    folders = listers.ComfyUI(tmp_path / "m", path).folders["vae"]
    assert [os.path.basename(folder) for folder in folders] == ["two", "one", "vae"]


def test_extra_paths_know_old_keys_skip_null_blocks_and_list_everything_of_unknown_keys(tmp_path: Path) -> None:
    put(tmp_path, "x/a.sft", "y/read.me")
    shown = listers.comfyui(tmp_path / "m", extra(tmp_path, "none:\nhub: {unet: x, clip: x, ipadapter: y}"))
    assert (shown["diffusion_models"], shown["text_encoders"], shown["ipadapter"]) == (
        ["a.sft"],
        ["a.sft"],
        ["read.me"],
    )
    assert "unet" not in shown


@pytest.mark.parametrize("text", ["", "- a", "hub: [a]", "hub: 3", "hub: {loras: [a, b]}", "hub: {loras: 3}"])
def test_a_wrong_file_of_extra_paths_stops_comfyui(tmp_path: Path, text: str) -> None:
    with pytest.raises((AttributeError, TypeError)):
        listers.comfyui(tmp_path, extra(tmp_path, text))


def test_a_running_comfyui_sees_new_links_and_fails_where_a_whole_folder_is_gone(tmp_path: Path, blob: Path) -> None:
    put(tmp_path, "hub/a.pt")
    os.utime(tmp_path / "hub", (1, 1))
    app = listers.ComfyUI(tmp_path / "m", extra(tmp_path, "hub: {loras: hub}"))
    assert app.models("loras") == ["a.pt"]
    link(tmp_path / "hub/b.pt", blob)
    assert app.models("loras") == ["a.pt", "b.pt"]
    (tmp_path / "hub").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        app.models("loras")


# A1111, Forge


def test_webui_checkpoints_hide_vaes_hidden_folders_and_broken_links(tmp_path: Path, blob: Path) -> None:
    put(tmp_path, "sd/x/A.SafeTensors", "sd/b.ckpt", "sd/b.vae.safetensors", "sd/.c/c.ckpt", "sd/d.sft", "sd/e.pt")
    link(tmp_path / "sd/gone.safetensors", "nowhere")
    link(tmp_path / "sd/f.gguf", blob)
    assert listers.webui_checkpoints(tmp_path / "sd") == ["b.ckpt", "x/A.SafeTensors"]
    assert listers.webui_checkpoints(tmp_path / "sd", gguf=True) == ["b.ckpt", "f.gguf", "x/A.SafeTensors"]


def test_webui_checkpoints_of_ckpt_dir_come_beside_the_others_but_pretrained_models_instead(tmp_path: Path) -> None:
    put(tmp_path, "sd/a.ckpt", "more/b.ckpt")
    assert listers.webui_checkpoints(tmp_path / "sd", ckpt_dir=tmp_path / "more") == ["b.ckpt", "a.ckpt"]
    put(tmp_path, "more/experiments/pretrained_models/c.ckpt")
    assert listers.webui_checkpoints(tmp_path / "sd", ckpt_dir=tmp_path / "more") == ["c.ckpt", "a.ckpt"]


def test_webui_loras_of_one_stem_collide(tmp_path: Path) -> None:
    put(tmp_path, "a/x.pt", "b/x.safetensors", "b/y.ckpt", "b/z.bin")
    found, collisions = listers.webui_loras(tmp_path)
    assert found == {"x": tmp_path / "b/x.safetensors", "y": tmp_path / "b/y.ckpt"}
    assert collisions == [(tmp_path / "a/x.pt", tmp_path / "b/x.safetensors")]


def test_forge_takes_vaes_by_file_name_from_real_folders_and_minds_the_case(tmp_path: Path) -> None:
    put(tmp_path, "VAE/.h/a.safetensors", "te/a.safetensors", "VAE/b.SAFETENSORS", "far/c.gguf", "VAE/script")
    link(tmp_path / "VAE/far", tmp_path / "far")
    found = listers.forge_vae_and_text_encoders(tmp_path / "VAE", tmp_path / "te")
    assert found == {"a.safetensors": tmp_path / "te/a.safetensors", "script": tmp_path / "VAE/script"}


def test_a1111_takes_vaes_by_file_name(tmp_path: Path) -> None:
    put(tmp_path, "VAE/a.pt", "VAE/x/b.safetensors", "VAE/c.gguf", "more/a.pt")
    found = listers.a1111_vae(tmp_path / "VAE", tmp_path / "more")
    assert found == {"a.pt": tmp_path / "more/a.pt", "b.safetensors": tmp_path / "VAE/x/b.safetensors"}


def test_forge_controlnet_dies_of_one_broken_link(tmp_path: Path, blob: Path) -> None:
    put(tmp_path, "cn/a.pth", "cn/B.PTH", "far/c.patch")
    link(tmp_path / "cn/d.safetensors", blob)
    link(tmp_path / "cn/far", tmp_path / "far")
    assert listers.forge_controlnet(tmp_path / "cn") == ["a", "d", "c"]
    link(tmp_path / "cn/far/note.txt", "nowhere")
    with pytest.raises(FileNotFoundError):
        listers.forge_controlnet(tmp_path / "cn")


def test_webui_upscalers_take_different_extensions(tmp_path: Path) -> None:
    put(tmp_path, "ESRGAN/a.safetensors", "SwinIR/a.safetensors", "SwinIR/b.pt", "RealESRGAN/b.pt", "ScuNET/c.pth")
    shown = {name: files for name, files in listers.webui_upscalers(tmp_path).items() if files}
    assert shown == {"ESRGAN": ["a.safetensors"], "SwinIR": ["b.pt"], "ScuNET": ["c.pth"]}


# Fooocus


def fooocus(tmp_path: Path, **config: object) -> dict[str, list[str]]:
    (tmp_path / "config.txt").write_text(json.dumps(config))
    return listers.fooocus(tmp_path / "config.txt", tmp_path / "models")


def test_fooocus_lists_broken_links_but_not_through_folder_links(tmp_path: Path) -> None:
    put(tmp_path, "models/loras/x/A.BIN", "models/loras/b.sft", "models/loras/c.fooocus.patch", "far/d.pth")
    link(tmp_path / "models/loras/gone.safetensors", "nowhere")
    link(tmp_path / "models/loras/far", tmp_path / "far")
    assert fooocus(tmp_path)["path_loras"] == ["gone.safetensors", "x/A.BIN"]


def test_fooocus_gives_up_a_whole_list_for_one_missing_folder(tmp_path: Path) -> None:
    put(tmp_path, "models/checkpoints/a.ckpt", "hub/b.ckpt")
    mine = [str(tmp_path / "models/checkpoints"), str(tmp_path / "hub")]
    assert fooocus(tmp_path, path_checkpoints=mine)["path_checkpoints"] == ["a.ckpt", "b.ckpt"]
    assert fooocus(tmp_path, path_checkpoints=mine[1])["path_checkpoints"] == ["b.ckpt"]
    assert fooocus(tmp_path, path_checkpoints=[*mine, "/nowhere"])["path_checkpoints"] == ["a.ckpt"]


def test_fooocus_breaks_on_a_list_where_it_wants_a_string(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        fooocus(tmp_path, path_vae=[str(tmp_path)])


def test_fooocus_prefers_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "env/a.pth")
    monkeypatch.setenv("path_vae", str(tmp_path / "env"))
    assert fooocus(tmp_path, path_vae="/nowhere")["path_vae"] == ["a.pth"]


# InvokeAI


def test_invokeai_scan_stops_at_model_folders_and_minds_the_case(tmp_path: Path) -> None:
    put(tmp_path, "a.gguf", "B.GGUF", ".c.pt", "d/model_index.json", "d/unet/e.bin", "far/f.pth")
    link(tmp_path / "gone.pt", "nowhere")
    link(tmp_path / "g", tmp_path / "far")
    assert listers.invokeai_scan(tmp_path) == [tmp_path / name for name in ("a.gguf", "d", "far/f.pth", "g/f.pth")]


def test_invokeai_scan_goes_twenty_folders_deep(tmp_path: Path) -> None:
    put(tmp_path, "d/" * 20 + "a.pt", "d/" * 21 + "b.pt")
    assert listers.invokeai_scan(tmp_path) == [tmp_path / ("d/" * 20 + "a.pt")]


def test_invokeai_sees_the_blob_behind_a_symlink_but_the_name_of_a_hard_link(tmp_path: Path, blob: Path) -> None:
    with pytest.raises(ValueError, match="unknown suffix ''"):
        listers.invokeai_probe_path(link(tmp_path / "a.safetensors", blob))
    os.link(blob, tmp_path / "b.safetensors")
    assert listers.invokeai_probe_path(tmp_path / "b.safetensors") == tmp_path / "b.safetensors"


# SwarmUI, Stability Matrix, Wan2GP


def test_swarmui_lists_every_root_and_counts_one_name_once(tmp_path: Path) -> None:
    put(
        tmp_path, "A/Lora/x/a.safetensors", "B/Lora/x/a.safetensors", "B/Lora/B.SFT", "B/Lora/.c/d.sft", "B/unet/e.gguf"
    )
    link(tmp_path / "B/clip/gone.sft", "nowhere")
    shown = {key: names for key, names in listers.swarmui([tmp_path / "A", tmp_path / "B"]).items() if names}
    assert shown == {"LoRA": ["x/a.safetensors"], "Stable-Diffusion": ["e.gguf"], "Clip": ["gone.sft"]}


def test_swarmui_reads_several_roots_from_its_settings(tmp_path: Path) -> None:
    path = put(tmp_path, "Data/Settings.fds", content=b"Paths:\n\t#ModelRoot: no\n\tModelRoot: Models;/hub/my models\n")
    assert listers.swarmui_model_roots(path) == [tmp_path / "Models", Path("/hub/my models")]
    path.write_text("Paths:\n\tSDLoraFolder: Lora\n")
    assert listers.swarmui_model_roots(path) == [tmp_path / "Models"]


def test_stability_matrix_lists_its_shared_folders(tmp_path: Path) -> None:
    put(tmp_path, "StableDiffusion/x/a.safetensors", "StableDiffusion/x/a.cm-info.json", "Other/b.pt")
    shown = {folder: names for folder, names in listers.stability_matrix(tmp_path).items() if names}
    assert shown == {"StableDiffusion": ["x/a.safetensors"]}


def test_wan2gp_finds_exact_names_only(tmp_path: Path) -> None:
    put(tmp_path, "app/ckpts/a.safetensors", "hub/sub/b.safetensors", "hub/c.safetensors")
    config, app = tmp_path / "wgp_config.json", tmp_path / "app"
    assert listers.wan2gp(config, app, "a.safetensors") == app / "ckpts/a.safetensors"
    config.write_text(json.dumps({"checkpoints_paths": ["ckpts", str(tmp_path / "hub")]}))
    assert listers.wan2gp(config, app, "c.safetensors") == tmp_path / "hub/c.safetensors"
    assert listers.wan2gp(config, app, "b.safetensors") is None
    assert listers.wan2gp(config, app, "C.safetensors") is None


# Language and speech


def test_lm_studio_wants_exactly_two_levels_and_dies_of_a_dangling_link(tmp_path: Path, blob: Path) -> None:
    put(tmp_path, "m/a.gguf", "m/pub/b.gguf", "m/pub/model/deep/d.gguf", "m/pub/model/mmproj-c.gguf")
    link(tmp_path / "m/pub/model/c.gguf", blob)
    assert listers.lm_studio(tmp_path / "m") == [("pub", "model", ["c.gguf", "mmproj-c.gguf"])]
    link(tmp_path / "m/pub/gone", "nowhere")
    with pytest.raises(FileNotFoundError):
        listers.lm_studio(tmp_path / "m")


def test_llama_server_lists_the_top_and_one_model_of_each_folder(tmp_path: Path, blob: Path) -> None:
    put(tmp_path, "m/.h.gguf", "m/B.GGUF", "m/mmproj-x.gguf", "m/two/a.gguf", "m/two/b.gguf", "m/deep/er/c.gguf")
    put(tmp_path, "m/big/x-00001-of-00002.gguf", "m/big/x-00002-of-00002.gguf", "m/big/mmproj-x.gguf")
    link(tmp_path / "m/gone.gguf", "nowhere")
    link(tmp_path / "m/linked.gguf", blob)
    root = tmp_path / "m"
    assert listers.llama_router_dir(root) == {
        ".h": (root / ".h.gguf", None),
        "big": (root / "big/x-00001-of-00002.gguf", root / "big/mmproj-x.gguf"),
        "linked": (root / "linked.gguf", None),
        "two": (root / "two/b.gguf", None),
    }


def test_llama_server_takes_shards_at_the_top_for_models_of_their_own(tmp_path: Path) -> None:
    put(tmp_path, "x-00001-of-00002.gguf", "x-00002-of-00002.gguf")
    assert list(listers.llama_router_dir(tmp_path)) == ["x-00001-of-00002", "x-00002-of-00002"]


def test_llama_presets_have_a_version_and_globals(tmp_path: Path) -> None:
    path = put(
        tmp_path, "p.ini", content=b"version = 1\n; note\n[*]\nctx-size = 4096\n[a b]\nmodel = /s/9f86\nctx-size=8\n"
    )
    assert listers.llama_presets(path) == {"a b": {"ctx-size": "8", "model": "/s/9f86"}}
    path.write_text("[a]\nmodel = /x\n")
    with pytest.raises(ValueError, match="version"):
        listers.llama_presets(path)


def test_jan_stops_at_the_first_model_yml_and_wants_the_file_to_be_there(tmp_path: Path, blob: Path) -> None:
    put(tmp_path, "llamacpp/models/pub/a/model.yml", content=f"model_path: {blob}\nname: A\n".encode())
    put(tmp_path, "llamacpp/models/pub/a/deeper/model.yml", "llamacpp/models/bad name/model.yml", content=b"{}")
    put(tmp_path, "llamacpp/models/b/model.yml", content=b"model_path: store/9f86d081884c7d65")
    assert {name: model.get("name") for name, model in listers.jan(tmp_path).items()} == {"b": None, "pub/a": "A"}
    blob.unlink()
    with pytest.raises(FileNotFoundError):
        listers.jan(tmp_path)


def test_llama_swap_wants_a_command_for_each_model(tmp_path: Path) -> None:
    path = put(tmp_path, "s.yaml", content=b"models: {a: {cmd: llama-server}}")
    assert listers.llama_swap(path) == {"a": {"cmd": "llama-server"}}
    path.write_text("models: {a: {cmd: [llama-server]}}")
    with pytest.raises(ValueError, match="a: cmd"):
        listers.llama_swap(path)


def test_koboldcpp_wants_its_model_to_be_there(tmp_path: Path, blob: Path) -> None:
    path = put(tmp_path, "a.kcpps", content=json.dumps({"model_param": str(blob), "mmproj": ""}).encode())
    assert listers.koboldcpp(path)["model_param"] == str(blob)
    blob.unlink()
    with pytest.raises(FileNotFoundError):
        listers.koboldcpp(path)


def test_text_generation_webui_shows_first_parts_and_folders_of_others(tmp_path: Path) -> None:
    put(tmp_path, "m/x/a-00001-of-00002.gguf", "m/x/a-00002-of-00002.gguf", "m/hf/model.safetensors", "far/b.GGUF")
    put(tmp_path, "m/both/c.gguf", "m/both/c.safetensors")
    link(tmp_path / "m/far", tmp_path / "far")
    shown = listers.text_generation_webui(tmp_path / "m")
    assert shown == ["both/c.gguf", "far/b.GGUF", "x/a-00001-of-00002.gguf", "both", "hf"]


def test_mlx_reads_weights_of_one_name_only(tmp_path: Path) -> None:
    put(tmp_path, "config.json", content=b"{}")
    put(tmp_path, "weights.safetensors")
    with pytest.raises(FileNotFoundError):
        listers.mlx(tmp_path)
    put(tmp_path, "model-00001-of-00001.safetensors")
    assert listers.mlx(tmp_path) == ["model-00001-of-00001.safetensors"]


def test_piper_wants_both_files_of_one_stem(tmp_path: Path, blob: Path) -> None:
    put(tmp_path, "v/en_US-johnson.onnx.json", "v/sub/en.onnx.json", content=b"{}")
    put(tmp_path, "v/alone.onnx", "v/sub/en.onnx")
    link(tmp_path / "v/en_US-johnson.onnx", blob)
    assert listers.piper(tmp_path / "v") == ["en_US-johnson"]
    assert listers.piper_http_ids(tmp_path / "v") == ["en_US-joh"]
    assert listers.piper_load(tmp_path / "v", "en_US-johnson").samefile(blob)
    with pytest.raises(FileNotFoundError):
        listers.piper_load(tmp_path / "v", "alone")


def test_whisper_cpp_looks_at_the_magic(tmp_path: Path) -> None:
    put(tmp_path, "ggml-base.bin", "base.bin", content=b"lmgg....")
    put(tmp_path, "ggml-fake.bin")
    assert listers.whisper_cpp(tmp_path) == ["ggml-base.bin"]


# Ollama


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def ollama_model(root: Path, name: str, target: Path) -> str:
    """A model whose weights are a link to `target`, as one writes it by hand; the digest of the weights."""
    config = json.dumps({"model_format": "gguf", "model_family": "llama", "file_type": "Q4_K_M"}).encode()
    weights = digest_of(target.read_bytes())
    put(root, f"blobs/{digest_of(config).replace(':', '-')}", content=config)
    if not os.path.lexists(root / f"blobs/{weights.replace(':', '-')}"):
        link(root / f"blobs/{weights.replace(':', '-')}", target)
    layers = [{"mediaType": MODEL, "digest": weights, "size": 7}]
    manifest = {"schemaVersion": 2, "config": {"digest": digest_of(config), "size": 3}, "layers": layers}
    put(root, f"manifests/{name}", content=json.dumps(manifest).encode())
    return weights


TINY = "registry.ollama.ai/library/tiny/latest"


@pytest.fixture
def ollama(tmp_path: Path, blob: Path) -> OllamaDouble:
    ollama_model(tmp_path / "ollama", TINY, blob)
    return OllamaDouble(tmp_path / "ollama")


def test_ollama_lists_what_is_four_levels_deep_with_names_it_takes(ollama: OllamaDouble, blob: Path) -> None:
    root = ollama.manifests.parent
    for name in ("h.io/n/m/t", "registry.ollama.ai/me/m/1b", "a/b/c/d/e", "h/n.s/m/t", "h/n/.m/t"):
        ollama_model(root, name, blob)
    put(ollama.manifests, "x/y/z")
    assert ollama.names() == ("h.io/n/m:t", "me/m:1b", "tiny:latest")
    assert ollama.corrupt() == ("h/n/.m/t", "h/n.s/m/t")
    entry = next(entry for entry in ollama.list()["models"] if entry["name"] == "tiny:latest")
    assert (entry["size"], entry["details"]["quantization_level"], len(entry["digest"])) == (10, "Q4_K_M", 64)


def test_ollama_leaves_out_a_model_whose_config_it_cannot_read(ollama: OllamaDouble) -> None:
    for path in ollama.blobs.iterdir():
        if not path.is_symlink():
            path.unlink()
    assert ollama.names() == ()
    assert ollama.corrupt() == ()


def test_ollama_compares_names_without_case(ollama: OllamaDouble, blob: Path) -> None:
    assert ollama.load("TINY") == ollama.load("library/tiny:latest") == ollama.load(TINY.replace("/latest", ":latest"))
    assert ollama.doubles() == ()
    ollama_model(ollama.manifests.parent, TINY.replace("tiny", "Tiny"), blob)
    assert ollama.doubles() == ((TINY.replace("tiny", "Tiny"), TINY),)


def test_ollama_loads_through_a_link_and_only_gguf(ollama: OllamaDouble, blob: Path) -> None:
    assert ollama.load("tiny").samefile(blob)
    assert ollama.show("tiny")["model_info"] == {"general.architecture": "llama"}
    blob.write_bytes(b"something else")
    with pytest.raises(ValueError, match="not a GGUF"):
        ollama.load("tiny")
    blob.unlink()
    with pytest.raises(FileNotFoundError):
        ollama.show("tiny")


def test_ollama_touches_what_a_link_points_to(ollama: OllamaDouble, blob: Path) -> None:
    os.utime(blob, (1, 1))
    ollama.touch(digest_of(blob.read_bytes()))
    assert blob.stat().st_mtime > 1


def test_ollama_prunes_at_its_start_by_the_links_own_age(ollama: OllamaDouble, blob: Path) -> None:
    os.utime(blob, (1, 1))
    link(ollama.blobs / f"sha256-{'0' * 64}", blob)
    put(ollama.blobs, "notes.txt")
    assert ollama.start_prune(time.time()) == ()
    later = time.time() + 3601
    bad = put(ollama.manifests, "a/b/c/d", content=b"{")
    assert ollama.start_prune(later) == ()
    bad.unlink()
    assert ollama.start_prune(later) == ("notes.txt", f"sha256-{'0' * 64}")
    assert ollama.load("tiny").samefile(blob)


def test_ollama_rm_keeps_what_another_manifest_names_and_every_target(ollama: OllamaDouble, blob: Path) -> None:
    ollama_model(ollama.manifests.parent, TINY.replace("latest", "again"), blob)
    ollama.rm("tiny:again")
    assert ollama.load("tiny").samefile(blob)
    ollama.rm("tiny")
    assert not list(ollama.blobs.iterdir())
    assert blob.exists()


def test_ollama_answers_over_http(ollama: OllamaDouble, blob: Path) -> None:
    with ollama.serve() as url, httpx.Client(base_url=url) as client:
        assert client.get("/").text == "Ollama is running"
        assert client.get("/api/version").json() == {"version": ollama.version}
        assert [model["name"] for model in client.get("/api/tags").json()["models"]] == ["tiny:latest"]
        assert client.head(f"/api/blobs/{digest_of(blob.read_bytes())}").status_code == 200
        assert client.post("/api/show", json={"model": "tiny"}).status_code == 200
        assert client.post("/api/show", json={"model": "huge"}).status_code == 404
        assert client.request("DELETE", "/api/delete", json={"model": "tiny"}).status_code == 200
        assert client.get("/api/tags").json() == {"models": []}
    assert ollama.asked[-1] == ("GET", "/api/tags", None)


# InvokeAI over HTTP


@pytest.fixture
def invokeai(tmp_path: Path) -> InvokeAIDouble:
    return InvokeAIDouble(tmp_path / "invokeai/models")


@pytest.fixture
def asking(invokeai: InvokeAIDouble) -> Iterator[httpx.Client]:
    with invokeai.serve() as url, httpx.Client(base_url=url) as client:
        yield client


def install(asking: httpx.Client, source: Path | str, *, inplace: bool = True) -> httpx.Response:
    query = {"source": str(source)} | ({"inplace": "true"} if inplace else {})
    return asking.post("/api/v2/models/install", params=query, json={"name": "mine"})


def states(asking: httpx.Client, response: httpx.Response) -> list[str]:
    job = f"/api/v2/models/install/{response.json()['id']}"
    return [response.json()["status"], *(asking.get(job).json()["status"] for _ in range(2))]


def test_invokeai_installs_in_place_after_a_while_and_leaves_the_file_when_it_forgets(
    asking: httpx.Client, tmp_path: Path
) -> None:
    path = put(tmp_path, "a.safetensors")
    job = install(asking, path)
    assert job.status_code == 201
    assert asking.get("/api/v2/models/").json() == {"models": []}
    assert states(asking, job) == ["waiting", "running", "completed"]
    (model,) = asking.get("/api/v2/models/").json()["models"]
    assert (model["name"], model["path"]) == ("mine", str(path))
    scanned = asking.get("/api/v2/models/scan_folder", params={"scan_path": str(tmp_path)}).json()
    assert scanned == [{"path": str(path), "is_installed": True}]
    assert asking.get("/api/v2/models/get_by_hash", params={"hash": model["hash"]}).json() == model
    assert asking.delete(f"/api/v2/models/i/{model['key']}").status_code == 204
    assert asking.get(f"/api/v2/models/i/{model['key']}").status_code == 404
    assert path.exists()


def test_invokeai_moves_the_file_unless_told_otherwise_and_deletes_what_it_moved(
    asking: httpx.Client, invokeai: InvokeAIDouble, tmp_path: Path
) -> None:
    path = put(tmp_path, "a.safetensors")
    assert states(asking, install(asking, path, inplace=False))[-1] == "completed"
    (model,) = invokeai.models.values()
    assert not path.exists()
    assert invokeai.file(model) == invokeai.models_dir / model["key"] / "a.safetensors"
    assert invokeai.file(model).exists()
    asking.delete(f"/api/v2/models/i/{model['key']}")
    assert not invokeai.file(model).exists()


def test_invokeai_takes_two_links_to_one_file_for_one_model(asking: httpx.Client, tmp_path: Path) -> None:
    path = put(tmp_path, "a.safetensors")
    states(asking, install(asking, link(tmp_path / "b.safetensors", path)))
    assert install(asking, link(tmp_path / "c.safetensors", path)).status_code == 409


def test_invokeai_refuses_a_link_to_a_blob(asking: httpx.Client, tmp_path: Path, blob: Path) -> None:
    assert install(asking, link(tmp_path / "a.safetensors", blob)).status_code == 415
    assert install(asking, "/nowhere/a.safetensors").status_code == 409


def test_invokeai_of_today_refuses_in_the_job(
    asking: httpx.Client, invokeai: InvokeAIDouble, tmp_path: Path, blob: Path
) -> None:
    invokeai.refuses_late = True
    job = install(asking, link(tmp_path / "a.safetensors", blob))
    assert job.status_code == 201
    assert states(asking, job)[-1] == "error"
    assert "unknown suffix" in asking.get("/api/v2/models/install").json()[0]["error"]


def test_invokeai_takes_a_missing_relative_path_for_a_repository(
    asking: httpx.Client, invokeai: InvokeAIDouble
) -> None:
    assert install(asking, "models/a.safetensors").json()["status"] == "downloading"
    assert invokeai.downloads == ["models/a.safetensors"]


def test_the_doubles_fail_on_request(asking: httpx.Client, invokeai: InvokeAIDouble) -> None:
    version = "/api/v1/app/version"
    invokeai.faults = ["500", "html", "half", "hang up"]
    assert asking.get(version).status_code == 500
    assert asking.get(version).headers["Content-Type"] == "text/html"
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            asking.get(version)
    assert asking.get(version).json() == {"version": "6.0.0"}
