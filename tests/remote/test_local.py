"""Apps on this machine, known by their answers."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from modelhub.apps import catalogue
from modelhub.core.apps import Target
from modelhub.core.errors import Offline, RemoteRefused
from modelhub.remote.invokeai import InvokeAI
from modelhub.remote.local import LocalServer, is_it, model_names
from modelhub.services import running
from tests.apps.invokeai_double import InvokeAIDouble
from tests.apps.ollama_double import OllamaDouble
from tests.apps.serving import Answer, Fault, serving


class Answers:
    """A server that answers each path as told."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []
        self.faults: list[Fault] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        found = self.answers.get(f"{method} {path}", self.answers.get(path))
        return (404, {}) if found is None else (200, found)


@contextmanager
def served(**answers: Any) -> Iterator[str]:
    with serving(Answers({path.replace("__", "/"): value for path, value in answers.items()})) as url:
        yield url


KNOWN: dict[str, dict[str, Any]] = {
    "comfyui": {"/system_stats": {"system": {"comfyui_version": "0.8", "argv": ["main.py"]}, "devices": []}},
    "forge": {"/sdapi/v1/cmd-flags": dict.fromkeys(("ckpt_dir", "text_encoder_dir", "forge_ref_a1111_home"))},
    "reforge": {"/sdapi/v1/cmd-flags": dict.fromkeys(("ckpt_dir", "models_dir", "forge_ref_a1111_home"))},
    "forge_neo": {"/sdapi/v1/cmd-flags": {"ckpt_dir": None, "model_ref": None, "text_encoder_dir": None}},
    "a1111": {"/sdapi/v1/cmd-flags": {"ckpt_dir": None}},
    "fooocus": {"/config": {"title": "Fooocus 2.5.5", "components": []}},
    "wan": {"/config": {"title": "WanGP", "components": []}},
    "swarmui": {"POST /API/GetNewSession": {"session_id": "x", "user_id": "y", "server_id": "z"}},
    "koboldcpp": {"/api/extra/version": {"result": "KoboldCpp", "version": "1.9"}},
    "lm_studio": {"/lmstudio-greeting": {"lmstudio": True}},
    "llama_cpp": {"/v1/models": {"data": [{"id": "a", "owned_by": "llamacpp"}]}},
    "llama_swap": {"/running": {"running": []}},
    "ollama": {"/": "Ollama is running"},
    "whisper_cpp": {"/": "<html>Whisper.cpp Server</html>"},
    "text_generation_webui": {"/v1/internal/model/list": {"model_names": ["a"]}},
}  # fmt: skip


@pytest.mark.parametrize("app", KNOWN)
def test_each_app_is_known_by_its_answer_and_by_no_others(app: str) -> None:
    with serving(Answers(KNOWN[app])) as url, LocalServer(url) as server:
        records = {name: record.server for name, record in catalogue.apps().items() if record.server}
        known = {name for name, record in records.items() if is_it(server, record)}
    same = {name for name, record in records.items() if record == records[app]}
    assert known == same


def test_an_imitator_is_not_taken_for_what_it_imitates() -> None:
    answers = KNOWN["koboldcpp"] | KNOWN["comfyui"] | KNOWN["ollama"] | KNOWN["a1111"]
    with serving(Answers(answers)) as url:
        port = int(url.rsplit(":", 1)[1])
        closed = {usual: 9 for record in catalogue.apps().values() if record.server for usual in record.server.ports}
        found = running.running(catalogue.apps(), closed | {5001: port})
    assert [one.app for one in found] == ["koboldcpp"]


def test_running_apps_are_found_on_their_ports() -> None:
    with serving(Answers(KNOWN["comfyui"])) as first, serving(Answers(KNOWN["lm_studio"])) as second:
        ports = {8188: int(first.rsplit(":", 1)[1]), 1234: int(second.rsplit(":", 1)[1])}
        closed = {usual: 9 for record in catalogue.apps().values() if record.server for usual in record.server.ports}
        found = {one.app: one.url for one in running.running(catalogue.apps(), closed | ports)}
    assert found == {"comfyui": first, "lm_studio": second}


@pytest.mark.parametrize(
    ("app", "answers", "listed"),
    [
        ("ollama", {"/api/tags": {"models": [{"name": "b:1"}, {"name": "a:1"}]}}, ["a:1", "b:1"]),
        ("jan", {"/v1/models": {"object": "list", "data": [{"id": "x"}, {"no": 1}, 3]}}, ["x"]),
        ("comfyui", {"/models/checkpoints": ["x.safetensors"]}, ["x.safetensors"]),
        ("koboldcpp", {"/api/v1/model": {"result": "koboldcpp/x"}}, ["koboldcpp/x"]),
        ("text_generation_webui", {"/v1/internal/model/list": {"model_names": ["None", "x"]}}, ["None", "x"]),
        ("llama_cpp", {"/v1/models": {"models": [{}], "data": "what"}}, []),
        ("forge", {"/sdapi/v1/sd-models": [{"title": "x\x1b[31m"}]}, ["x\\x1b[31m"]),
    ],
)
def test_a_running_app_lists_its_models(app: str, answers: dict[str, Any], listed: list[str]) -> None:
    with serving(Answers(answers)) as url:
        assert running.models_of(catalogue.apps()[app], url) == listed


def test_an_app_that_is_not_there_or_wants_a_key_is_told_in_one_sentence() -> None:
    with pytest.raises(Offline, match="cannot be reached"):
        running.models_of(catalogue.apps()["ollama"], "http://127.0.0.1:9")


@pytest.mark.parametrize("fault", ["500", "html", "half", "hang up"])
def test_a_server_that_fails_is_told_and_never_waited_for_without_end(fault: Fault) -> None:
    service = Answers({"/api/tags": {"models": []}})
    service.faults = [fault] * 9
    with serving(service) as url, LocalServer(url) as server:
        record = catalogue.apps()["ollama"].server
        assert record is not None
        assert not is_it(server, record)
        with suppress(Offline, RemoteRefused):
            assert model_names(server, record) == []


def test_an_app_is_asked_to_look_again_only_where_it_can() -> None:
    service = Answers({f"POST /sdapi/v1/refresh-{kind}": {} for kind in ("checkpoints", "loras", "vae")})
    target = Target(1, "forge", "Forge", "/x", True, "forge")
    with serving(service) as url:
        apps = catalogue.apps()
        from dataclasses import replace

        options = replace(target.options, url=url)
        assert running.refresh(apps["forge"], replace(target, options=options))
        assert [path for _, path, _ in service.asked] == [
            "/sdapi/v1/refresh-checkpoints", "/sdapi/v1/refresh-loras", "/sdapi/v1/refresh-vae",
        ]  # fmt: skip
        assert not running.refresh(apps["fooocus"], target)


def test_a_running_ollama_is_listed(tmp_path: Any) -> None:
    with OllamaDouble(tmp_path).serve() as url:
        assert running.models_of(catalogue.apps()["ollama"], url) == []


@pytest.fixture
def invokeai(tmp_path: Any) -> Iterator[tuple[InvokeAIDouble, InvokeAI, str]]:
    app = InvokeAIDouble(tmp_path / "models")
    model = tmp_path / "hub/a.safetensors"
    model.parent.mkdir()
    model.write_bytes(b"model")
    with app.serve() as url, LocalServer(url) as server:
        yield app, InvokeAI(server, sleep=lambda _: None), str(model)


def test_invokeai_registers_in_place_once_and_forgets(invokeai: tuple[InvokeAIDouble, InvokeAI, str]) -> None:
    _, registry, path = invokeai
    for _ in range(2):
        list(registry.register(path, "a.safetensors"))
    assert registry.known() == {path}
    assert registry.forget(path)
    assert not registry.forget(path)
    assert Path(path).read_bytes() == b"model"


@pytest.mark.parametrize("late", [True, False])
def test_invokeai_says_why_it_does_not_take_a_model(
    invokeai: tuple[InvokeAIDouble, InvokeAI, str], late: bool, tmp_path: Any
) -> None:
    app, registry, _ = invokeai
    app.refuses_late = late
    other = tmp_path / "hub/x.txt"
    other.write_text("no model")
    with pytest.raises(RemoteRefused):
        list(registry.register(str(other), "x"))
    assert other.read_text() == "no model"


@pytest.mark.parametrize("fault", ["500", "html", "half", "hang up"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_faulty_invokeai_moves_nothing_and_a_second_try_ends_well(
    invokeai: tuple[InvokeAIDouble, InvokeAI, str], fault: Fault, number: int
) -> None:
    app, registry, path = invokeai
    healthy: Any = "none"
    app.faults = [*[healthy] * number, fault] if number else [fault]
    with suppress(Offline, RemoteRefused):
        list(registry.register(path, "a.safetensors"))
    app.faults = []
    list(registry.register(path, "a.safetensors"))
    assert registry.known() == {path}
    assert Path(path).read_bytes() == b"model"


def test_an_invokeai_on_another_machine_is_refused(tmp_path: Any) -> None:
    with LocalServer("http://192.0.2.1:9090") as server, pytest.raises(RemoteRefused, match="another machine"):
        list(InvokeAI(server).register(str(tmp_path / "a.safetensors"), "a"))
