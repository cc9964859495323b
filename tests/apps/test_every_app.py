"""From a fresh hub: detect, plan, apply, every app sees its models, and undo leaves each folder as it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelhub.core import config
from modelhub.core.deployment import Note, Plan, Skip
from modelhub.core.errors import InvalidInput
from modelhub.core.events import Problem
from modelhub.services.applying import Deployed
from modelhub.services.detect import Detection
from modelhub.services.hub import Hub, open_hub
from tests.apps import listers
from tests.apps.invokeai_double import InvokeAIDouble
from tests.apps.machine import Home, install_apps, tree, write_models
from tests.apps.ollama_double import OllamaDouble
from tests.conftest import finish, scan


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with fifteen models, scanned once; tests deploy to homes of their own and take it back."""
    folder = tmp_path_factory.mktemp("machine")
    write_models(folder / "downloads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "nobody"))
        patch.setenv("MODELHUB_CONFIG", str(folder / "nobody/config.yaml"))
        with open_hub(config.load({}, hub=str(folder / "hub"))) as hub:
            scan(hub, folder / "downloads")
            for target in hub.targets.all():
                hub.targets.remove(target.name)
            yield hub


@pytest.fixture
def hub(library: Hub) -> Iterator[Hub]:
    yield library
    finish(library.deployment.apply(library.deployment.plan_removal()))
    assert not [link for link in library.places.deployed.rglob("*") if link.is_symlink()]
    for target in library.targets.all():
        library.targets.remove(target.name)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return install_apps(tmp_path / "machine")


def add(hub: Hub, app: str, path: Path, **more: str) -> None:
    hub.targets.add(app, str(path), app=app, **more)  # type: ignore[arg-type]


def deploy(hub: Hub) -> Plan:
    plan = hub.deployment.plan()
    done = finish(hub.deployment.apply(plan))
    assert isinstance(done, Deployed)
    assert done.problems == 0
    assert [note for note in plan.notes if note.code == "config"] == []
    again = hub.deployment.plan()
    assert [step for step in again.steps if not isinstance(step, Skip | Note)] == []
    return plan


def undo(hub: Hub) -> None:
    assert finish(hub.undo.run(hub.undo.plan())).problems == 0


def test_from_detection_to_undo(hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home.root))
    before = home.tree()
    detection = Detection(hub.targets, hub.deployment, {})
    found = detection.installed([str(home.root)], servers=False)
    kinds = {one.app: one for one in found}
    assert set(kinds) == {
        "comfyui", "forge", "reforge", "forge_neo", "a1111", "fooocus", "swarmui", "stability_matrix", "wan",
        "invokeai", "whisper_cpp", "text_generation_webui", "lm_studio", "jan", "ollama",
    }  # fmt: skip
    assert kinds["comfyui"].base_path == str(home["comfyui"] / "models")
    assert kinds["comfyui"].types["lora"] == 2
    assert home.tree() == before
    for one in found:
        if one.app != "invokeai":
            detection.add(one)
    deploy(hub)
    assert listers.comfyui(home["comfyui"] / "models")["loras"] == [
        "add_detail.safetensors", "mine.safetensors", "pixel-art-xl.safetensors"
    ]  # fmt: skip
    assert hub.deployment.status()[0].broken == 0
    undo(hub)
    assert home.tree() == before


def test_hidden_places_are_found_by_their_usual_names(hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home.root))
    found = {one.app: one.base_path for one in Detection(hub.targets, hub.deployment, {}).installed(servers=False)}
    assert found["lm_studio"] == str(home["lm_studio"] / "models")
    assert found["jan"] == str(home["jan"])
    assert found["ollama"] == str(home["ollama"])
    assert found["wan"] == str(home["wan"])
    assert found["comfyui"] == str(home["comfyui"] / "models")


def test_settings_that_move_a_folder_are_believed(hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home.root))
    (home["lm_studio"] / "settings.json").write_text(f'{{"downloadsFolder": "{home.root}/big/lm"}}')
    (home.root / ".pinokio").mkdir()
    (home.root / ".pinokio/config.json").write_text(f'{{"home": "{home.root}/other"}}')
    (home.root / "pinokio").rename(home.root / "other")
    found = {one.app: one.base_path for one in Detection(hub.targets, hub.deployment, {}).installed(servers=False)}
    assert found["lm_studio"] == str(home.root / "big/lm")
    assert found["wan"] == str(home.root / "other/api/wan.git/app")


def test_comfyui_lists_links_by_category(hub: Hub, home: Home) -> None:
    add(hub, "comfyui", home["comfyui"] / "models")
    deploy(hub)
    shown = listers.comfyui(home["comfyui"] / "models")
    assert shown["checkpoints"] == ["dreamshaper_8.vae.safetensors"]
    assert shown["vae"] == ["ae.safetensors"]
    assert shown["embeddings"] == ["EasyNegative.safetensors"]
    assert shown["controlnet"] == ["control_v11p_sd15_canny.safetensors"]
    assert shown["text_encoders"] == ["clip_l.safetensors"]
    assert shown["upscale_models"] == ["RealESRGAN_x2.pth"]


def test_comfyui_by_its_own_configuration_starts_and_keeps_the_users_blocks(hub: Hub, home: Home) -> None:
    path = home["comfyui"] / "extra_model_paths.yaml"
    users, before = path.read_text(), home.tree()
    add(hub, "comfyui", home["comfyui"] / "models", method="config")
    deploy(hub)
    assert path.read_text().startswith(users)
    shown = listers.comfyui(home["comfyui"] / "models", path)
    assert shown["loras"] == ["add_detail.safetensors", "mine.safetensors", "pixel-art-xl.safetensors"]
    assert shown["checkpoints"] == ["dreamshaper_8.vae.safetensors"]
    assert [key for key, names in shown.items() if "clip_l.safetensors" in names] == ["text_encoders"]
    assert not [one for one in (home["comfyui"] / "models").rglob("*") if one.is_symlink()]
    undo(hub)
    assert home.tree() == before


def test_a_running_comfyui_survives_undeployment(hub: Hub, home: Home) -> None:
    add(hub, "comfyui", home["comfyui"] / "models", method="config")
    deploy(hub)
    app = listers.ComfyUI(home["comfyui"] / "models", home["comfyui"] / "extra_model_paths.yaml")
    assert app.models("vae") == ["ae.safetensors"]
    finish(hub.deployment.apply(hub.deployment.plan_removal(["comfyui"])))
    assert app.models("vae") == []
    assert "big_disk" in (home["comfyui"] / "extra_model_paths.yaml").read_text()
    assert "modelhub" not in (home["comfyui"] / "extra_model_paths.yaml").read_text()


@pytest.mark.parametrize(
    "text", ["- a list\n", "mine:\n  loras: [a, b]\n", "mine: {base_path: '/x'\n", "{mine: {loras: a}}\n", "\xff"]
)
def test_a_configuration_that_cannot_be_read_is_left_alone_with_one_sentence(hub: Hub, home: Home, text: str) -> None:
    path = home["comfyui"] / "extra_model_paths.yaml"
    path.write_text(text, encoding="latin-1")
    add(hub, "comfyui", home["comfyui"] / "models", method="config")
    (note,) = hub.deployment.plan().notes
    assert note.code == "config"
    assert str(path) in note.message
    finish(hub.deployment.apply(hub.deployment.plan()))
    assert path.read_bytes() == text.encode("latin-1")


def test_a_configuration_that_changes_after_the_plan_is_left_alone(hub: Hub, home: Home) -> None:
    add(hub, "comfyui", home["comfyui"] / "models", method="config")
    plan = hub.deployment.plan()
    path = home["comfyui"] / "extra_model_paths.yaml"
    path.write_text("changed: {loras: x}\n")
    done = [event for event in hub.deployment.apply(plan) if isinstance(event, Problem)]
    assert [problem.code for problem in done] == ["changed"]
    assert path.read_text() == "changed: {loras: x}\n"


@pytest.mark.parametrize("app", ["forge", "reforge", "forge_neo"])
def test_forge_lists_every_type(hub: Hub, home: Home, app: str) -> None:
    before = home.tree()
    models = home[app] / "models"
    add(hub, app, models)
    deploy(hub)
    assert listers.webui_checkpoints(models / "Stable-diffusion", gguf=True) == ["dreamshaper_8-vae.safetensors"]
    assert set(listers.webui_loras(models / "Lora")[0]) == {"add_detail", "pixel-art-xl"}
    assert set(listers.forge_vae_and_text_encoders(models / "VAE", models / "text_encoder")) >= {
        "ae.safetensors", "clip_l.safetensors"
    }  # fmt: skip
    assert listers.forge_controlnet(models / "ControlNet") == ["control_v11p_sd15_canny"]
    assert listers.webui_upscalers(models)["ESRGAN"] == ["RealESRGAN_x2.pth"]
    embeddings = models / "embeddings" if app == "forge_neo" else home[app] / "embeddings"
    assert os.listdir(embeddings) == ["EasyNegative.safetensors"]
    undo(hub)
    assert home.tree() == before


def test_a1111_lists_what_it_reads(hub: Hub, home: Home) -> None:
    models = home["a1111"] / "models"
    add(hub, "a1111", models)
    plan = deploy(hub)
    assert listers.webui_checkpoints(models / "Stable-diffusion") == ["dreamshaper_8-vae.safetensors"]
    assert (models / "Stable-diffusion/dreamshaper_8-vae.yaml").is_symlink()
    assert set(listers.a1111_vae(models / "VAE")) == {"ae.safetensors"}
    assert "clip_l.safetensors" in {skip.name for skip in plan.skips if skip.code == "no_folder"}


def test_two_loras_that_forge_could_not_tell_apart_get_names_that_differ(hub: Hub, home: Home) -> None:
    lora = home["forge"] / "models/Lora/mine/add_detail.pt"
    lora.parent.mkdir(parents=True)
    lora.write_bytes(b"mine")
    add(hub, "forge", home["forge"] / "models")
    deploy(hub)
    found, collisions = listers.webui_loras(home["forge"] / "models/Lora")
    assert not collisions
    assert len(found) == 3


@pytest.mark.parametrize("method", ["", "config"])
def test_fooocus_lists_its_own_folder_and_ours(hub: Hub, home: Home, method: str) -> None:
    own = home["fooocus"] / "models"
    (own / "checkpoints/users.safetensors").write_bytes(b"mine")
    before = home.tree()
    add(hub, "fooocus", own, method=method)
    deploy(hub)
    shown = listers.fooocus(home["fooocus"] / "config.txt", own)
    assert set(shown["path_checkpoints"]) == {"users.safetensors", "dreamshaper_8.vae.safetensors"}
    assert set(shown["path_loras"]) >= {"add_detail.safetensors", "pixel-art-xl.safetensors"}
    assert shown["path_vae"] == ["ae.safetensors"]
    undo(hub)
    assert home.tree() == before


@pytest.mark.parametrize("method", ["", "config"])
def test_swarmui_lists_every_type(hub: Hub, home: Home, method: str) -> None:
    before = home.tree()
    add(hub, "swarmui", home["swarmui"] / "Models", method=method)
    deploy(hub)
    roots = [home["swarmui"] / root for root in listers.swarmui_model_roots(home["swarmui"] / "Data/Settings.fds")]
    shown = listers.swarmui(roots)
    assert shown["Stable-Diffusion"] == ["dreamshaper_8.vae.safetensors"]
    assert set(shown["LoRA"]) == {"add_detail.safetensors", "pixel-art-xl.safetensors"}
    assert shown["Clip"] == ["clip_l.safetensors"]
    undo(hub)
    assert home.tree() == before


def test_stability_matrix_and_wan_list_files_under_their_exact_names(hub: Hub, home: Home) -> None:
    before = home.tree()
    add(hub, "stability_matrix", home["stability_matrix"] / "Models")
    add(hub, "wan", home["wan"], method="config")
    deploy(hub)
    shown = listers.stability_matrix(home["stability_matrix"] / "Models")
    assert shown["StableDiffusion"] == ["dreamshaper_8.vae.safetensors"]
    assert shown["TextEncoders"] == ["clip_l.safetensors"]
    found = listers.wan2gp(home["wan"] / "wgp_config.json", home["wan"], "ae.safetensors")
    assert found is not None
    assert found.resolve().is_relative_to(hub.places.models)
    assert (home["wan"] / "loras/pixel-art-xl.safetensors").is_symlink()
    undo(hub)
    assert home.tree() == before


def test_lm_studio_lists_publisher_model_and_file(hub: Hub, home: Home) -> None:
    add(hub, "lm_studio", home["lm_studio"] / "models")
    deploy(hub)
    names = ["Qwen2.5-0.5B-Instruct-Q4_K_M.gguf", "Qwen2.5-0.5B-Instruct-Q8_0.gguf"]
    assert ("local", "Qwen2.5-0.5B-Instruct", names) in listers.lm_studio(home["lm_studio"] / "models")
    assert (home["lm_studio"] / "models/local/SmolLM2-135M-Instruct-mlx/config.json").is_symlink()


def test_jan_reads_a_note_that_names_the_stored_file(hub: Hub, home: Home) -> None:
    before = home.tree()
    add(hub, "jan", home["jan"])
    deploy(hub)
    shown = listers.jan(home["jan"])
    assert set(shown) == {"Qwen2.5-0.5B-Instruct-Q8_0", "Qwen2.5-0.5B-Instruct-Q4_K_M"}
    assert all(Path(model["model_path"]).is_relative_to(hub.places.models) for model in shown.values())
    undo(hub)
    assert home.tree() == before


def test_llama_cpp_lists_a_folder_and_presets(hub: Hub, tmp_path: Path) -> None:
    add(hub, "llama_cpp", tmp_path / "models")
    ini = tmp_path / "llama/models.ini"
    ini.parent.mkdir()
    ini.write_text("version = 1\n; mine\n[*]\nctx-size = 4096\n")
    add(hub, "llama_presets", ini.parent)
    deploy(hub)
    wanted = {"Qwen2.5-0.5B-Instruct-Q8_0", "Qwen2.5-0.5B-Instruct-Q4_K_M"}
    assert set(listers.llama_router_dir(tmp_path / "models")) == wanted
    presets = listers.llama_presets(ini)
    assert set(presets) == wanted
    assert all(os.path.isfile(preset["model"]) and preset["ctx-size"] == "4096" for preset in presets.values())
    undo(hub)
    assert ini.read_text() == "version = 1\n; mine\n[*]\nctx-size = 4096\n"
    assert not (tmp_path / "models").exists()


def test_a_preset_of_the_users_of_the_same_name_is_theirs(hub: Hub, tmp_path: Path) -> None:
    ini = tmp_path / "models.ini"
    users = "version = 1\n\n[Qwen2.5-0.5B-Instruct-Q8_0]\nhf-repo = foo/bar\nctx-size = 4096\n"
    ini.write_text(users)
    add(hub, "llama_presets", tmp_path)
    plan = hub.deployment.plan()
    assert len(plan.conflicts) == 1
    finish(hub.deployment.apply(plan))
    assert users in ini.read_text()
    finish(hub.deployment.apply(hub.deployment.plan_removal()))
    assert ini.read_text() == users


def test_what_a_user_adds_to_our_entry_stays_at_the_next_deployment(hub: Hub, tmp_path: Path) -> None:
    add(hub, "llama_swap", tmp_path)
    deploy(hub)
    path = tmp_path / "config.yaml"
    edited = path.read_text().replace('Q8_0.gguf"', 'Q8_0.gguf" -ngl 99')
    assert edited != path.read_text()
    path.write_text(edited)
    deploy(hub)
    assert path.read_text() == edited


def test_llama_swap_and_koboldcpp_name_the_stored_files(hub: Hub, tmp_path: Path) -> None:
    swap = tmp_path / "swap/config.yaml"
    swap.parent.mkdir()
    users = "startPort: 9000\nmodels:\n  # mine\n  own:\n    cmd: llama-server --port ${PORT} -m /x.gguf\n"
    swap.write_text(users)
    (tmp_path / "kobold").mkdir()
    add(hub, "llama_swap", swap.parent)
    add(hub, "koboldcpp", tmp_path / "kobold")
    deploy(hub)
    shown = listers.llama_swap(swap)
    assert set(shown) == {"own", "Qwen2.5-0.5B-Instruct-Q8_0", "Qwen2.5-0.5B-Instruct-Q4_K_M"}
    settings = listers.koboldcpp(tmp_path / "kobold/Qwen2.5-0.5B-Instruct-Q8_0.kcpps")
    assert Path(settings["model_param"]).is_relative_to(hub.places.models)
    assert set(listers.koboldcpp(tmp_path / "kobold/ggml-tiny.kcpps")) == {"whispermodel"}
    undo(hub)
    assert swap.read_text() == users
    assert not os.listdir(tmp_path / "kobold")


def test_the_small_ones_list_what_they_read(hub: Hub, home: Home, tmp_path: Path) -> None:
    add(hub, "text_generation_webui", home["text_generation_webui"] / "user_data")
    add(hub, "whisper_cpp", home["whisper_cpp"] / "models")
    add(hub, "piper", tmp_path / "voices")
    add(hub, "mlx", tmp_path / "mlx")
    plan = deploy(hub)
    shown = listers.text_generation_webui(home["text_generation_webui"] / "user_data/models")
    assert {"Qwen2.5-0.5B-Instruct-Q8_0.gguf", "SmolLM2-135M-Instruct-mlx"} <= set(shown)
    assert listers.whisper_cpp(home["whisper_cpp"] / "models") == ["ggml-tiny.bin"]
    assert listers.piper(tmp_path / "voices") == ["de_DE-thorsten-high"]
    assert listers.piper_load(tmp_path / "voices", "de_DE-thorsten-high").exists()
    assert listers.mlx(tmp_path / "mlx/SmolLM2-135M-Instruct-mlx") == ["model.safetensors"]
    told = {skip.because for skip in plan.skips if skip.target == "mlx" and skip.code == "not_listed"}
    assert told == {"MLX reads folders with config.json and model*.safetensors only"}


def test_ollama_lists_shows_and_loads_without_a_copy(hub: Hub, home: Home) -> None:
    before = home.tree()
    add(hub, "ollama", home["ollama"])
    deploy(hub)
    app = OllamaDouble(home["ollama"])
    assert app.names() == ("qwen2.5-0.5b-instruct:q4_k_m", "qwen2.5-0.5b-instruct:q8_0")
    assert app.corrupt() == ()
    (listed,) = [one for one in app.list()["models"] if one["name"].endswith("q8_0")]
    assert listed["details"]["format"] == "gguf"
    assert listed["details"]["family"] == "qwen2"
    assert listed["details"]["quantization_level"] == "Q8_0"
    assert app.load("qwen2.5-0.5b-instruct:q8_0").resolve().is_relative_to(hub.places.models)
    shown = app.show("qwen2.5-0.5b-instruct:q8_0")
    assert "<|im_start|>" in shown["template"]
    assert "0.7" in str(shown["parameters"])
    assert app.start_prune(now=4e9) == ()
    undo(hub)
    assert home.tree() == before


def test_a_blob_that_two_models_share_stays_while_one_needs_it(hub: Hub, home: Home) -> None:
    add(hub, "ollama", home["ollama"])
    deploy(hub)
    app = OllamaDouble(home["ollama"])
    one = [hub.models.resolve("Qwen2.5-0.5B-Instruct-Q8_0")]
    finish(hub.deployment.apply(hub.deployment.plan_removal(["ollama"], one)))
    assert app.names() == ("qwen2.5-0.5b-instruct:q4_k_m",)
    assert app.show("qwen2.5-0.5b-instruct:q4_k_m")["template"]
    assert app.start_prune(now=4e9) == ()
    finish(hub.deployment.apply(hub.deployment.plan_removal(["ollama"])))
    assert os.listdir(home["ollama"] / "blobs") == []


def test_undo_leaves_what_an_earlier_run_or_the_user_needs(hub: Hub, home: Home) -> None:
    add(hub, "ollama", home["ollama"])
    app = OllamaDouble(home["ollama"])
    for name in ("Qwen2.5-0.5B-Instruct-Q8_0", "Qwen2.5-0.5B-Instruct-Q4_K_M"):
        plan = hub.deployment.plan(["ollama"], [hub.models.resolve(name)])
        finish(hub.deployment.apply(plan))
    undo(hub)
    assert app.names() == ("qwen2.5-0.5b-instruct:q8_0",)
    assert app.show("qwen2.5-0.5b-instruct:q8_0")["template"]
    manifests = home["ollama"] / "manifests/registry.ollama.ai/library"
    (manifests / "mine").mkdir()
    (manifests / "mine/latest").write_bytes((manifests / "qwen2.5-0.5b-instruct/q8_0").read_bytes())
    undo(hub)
    assert app.names() == ("mine:latest",)
    assert app.load("mine:latest").exists()


def test_what_ollama_has_already_is_used_and_stays(hub: Hub, home: Home) -> None:
    digest = hub.models.resolve("Qwen2.5-0.5B-Instruct-Q8_0").sha256
    pulled = home["ollama"] / f"blobs/sha256-{digest}"
    pulled.write_bytes(b"GGUF pulled by the user")
    add(hub, "ollama", home["ollama"])
    deploy(hub)
    assert "qwen2.5-0.5b-instruct:q8_0" in OllamaDouble(home["ollama"]).names()
    finish(hub.deployment.apply(hub.deployment.plan_removal(["ollama"])))
    assert pulled.read_bytes() == b"GGUF pulled by the user"


def test_a_model_removed_in_ollama_is_made_anew_and_no_file_is_lost(hub: Hub, home: Home) -> None:
    add(hub, "ollama", home["ollama"])
    deploy(hub)
    app = OllamaDouble(home["ollama"])
    app.rm("qwen2.5-0.5b-instruct:q8_0")
    deploy(hub)
    assert "qwen2.5-0.5b-instruct:q8_0" in app.names()


def test_invokeai_knows_every_model_in_place_and_forgets_it_again(hub: Hub, tmp_path: Path) -> None:
    stored = tree(hub.places.models)
    app = InvokeAIDouble(tmp_path / "invoke/models")
    with app.serve() as url:
        hub.targets.add("invokeai", "", app="invokeai", url=url)
        deploy(hub)
        assert {path.name for path in app.paths()} >= {"dreamshaper_8.vae.safetensors", "add_detail.safetensors"}
        assert all(path.suffix and path.exists() for path in app.paths())
        assert all(query.get("inplace") == "true" for query in _installs(app))
        assert tree(hub.places.models).keys() == stored.keys()
        undo(hub)
        assert app.paths() == set()
    assert tree(hub.places.models).keys() == stored.keys()


def _installs(app: InvokeAIDouble) -> list[dict[str, str]]:
    from urllib.parse import parse_qsl, urlsplit

    asked = [urlsplit(path) for method, path, _ in app.asked if method == "POST"]
    return [dict(parse_qsl(one.query)) for one in asked]


def test_an_invokeai_that_is_not_running_costs_one_sentence_a_model_and_nothing_else(hub: Hub) -> None:
    hub.targets.add("invokeai", "", app="invokeai", url="http://127.0.0.1:9")
    problems = [event for event in hub.deployment.apply(hub.deployment.plan()) if isinstance(event, Problem)]
    assert problems
    assert {problem.code for problem in problems} == {"offline"}
    assert all(link.deployed is False for link in hub.targets._targets.links())
    with pytest.raises(InvalidInput, match="still has"):
        hub.targets.remove("invokeai")
    finish(hub.deployment.apply(hub.deployment.plan_removal()))
    assert not [path for path in hub.places.deployed.rglob("*") if path.is_file()]


def test_a_registration_that_failed_is_made_by_the_next_deployment(hub: Hub, tmp_path: Path) -> None:
    hub.targets.add("invokeai", "", app="invokeai", url="http://127.0.0.1:9")
    finish(hub.deployment.apply(hub.deployment.plan()))
    app = InvokeAIDouble(tmp_path / "invoke/models")
    with app.serve() as url:
        hub.targets.change("invokeai", url=url)
        app.faults = ["500"]
        finish(hub.deployment.apply(hub.deployment.plan()))
        finish(hub.deployment.apply(hub.deployment.plan()))
        links = [link for link in hub.targets._targets.links() if link.deployed]
        assert len(app.paths()) == len(links) > 5
        app.models.pop(next(iter(app.models)))  # removed in the app itself
        assert [finding.code for finding in hub.checkup.all(hub.targets.get("invokeai"))] == ["gone"]
        finish(hub.deployment.apply(hub.deployment.plan()))
        assert len(app.paths()) == len(links)
        finish(hub.deployment.apply(hub.deployment.plan_removal()))
        assert app.paths() == set()


def test_a_tree_by_family_holds_each_model_with_what_belongs_to_it(hub: Hub, tmp_path: Path) -> None:
    add(hub, "view_family", tmp_path / "AI_Models")
    deploy(hub)
    shown = tree(tmp_path / "AI_Models")
    assert "llm/qwen/qwen2/metadata.json" in shown
    assert "diffusion/checkpoints/dreamshaper-8-vae/dreamshaper_8.vae.safetensors" in shown
    assert "diffusion/checkpoints/dreamshaper-8-vae/dreamshaper_8.vae.yaml" in shown
    assert "llm/smollm/smollm2-135m-instruct-mlx/tokenizer.json" in shown
    undo(hub)
    assert not (tmp_path / "AI_Models").exists()


def test_a_tree_by_app_writes_how_each_app_is_pointed_at_it(hub: Hub, tmp_path: Path) -> None:
    root = tmp_path / "ai_local"
    add(hub, "view_local", root)
    deploy(hub)
    assert (root / "llm/general/Qwen2.5-0.5B-Instruct-Q8_0.gguf").is_symlink()
    assert "Qwen2.5-0.5B-Instruct-Q8_0" in (root / "_config/manifest.yml").read_text()
    assert "--models-dir" in (root / "_config/llm_servers/general.sh").read_text()
    shown = listers.comfyui(tmp_path / "none", root / "_config/comfyui_extra_paths.yaml")
    assert shown["loras"] == ["add_detail.safetensors", "pixel-art-xl.safetensors"]
    assert shown["checkpoints"] == ["dreamshaper_8.vae.safetensors"]
    undo(hub)
    assert not root.exists()


def test_a_tree_by_purpose(hub: Hub, tmp_path: Path) -> None:
    add(hub, "view_purpose", tmp_path / "models")
    deploy(hub)
    assert any(path.startswith("language/chat/") for path in tree(tmp_path / "models"))
