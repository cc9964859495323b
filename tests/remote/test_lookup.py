"""What sites are asked, what is kept of their answers, and that their troubles cost nothing else."""

import gzip
import hashlib
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from modelhub.core.errors import ConfigInvalid, InvalidInput, Offline, RemoteRefused
from modelhub.core.events import Problem, Result
from modelhub.core.types import ModelFilter
from modelhub.remote.client import Client
from modelhub.services.hub import Hub, open_hub
from modelhub.services.lookup import LookedUp
from tests import build
from tests.conftest import finish, scan
from tests.remote.double import Double, site

MYSTERY = {"x.weight": (4, 4), "y.weight": (4, 4)}


@pytest.fixture
def double() -> Iterator[Double]:
    with site() as made:
        yield made


@pytest.fixture
def asking(hub: Hub, double: Double, tmp_path: Path) -> Iterator[Hub]:
    """A hub with two unknown models that asks the double, and does not wait between questions."""
    folder = tmp_path / "models"
    build.safetensors(folder / "0001.safetensors", MYSTERY, mark="1")
    build.safetensors(folder / "0002.safetensors", MYSTERY, mark="2")
    scan(hub, folder)
    with sqlite3.connect(hub.places.rules) as rules:
        rules.execute("INSERT INTO external_apis (name, rate_limit_delay, timeout_seconds) VALUES ('civitai', 0, 5)")
        rules.execute(
            "INSERT INTO external_apis (name, rate_limit_delay, timeout_seconds) VALUES ('huggingface', 0, 5)"
        )
    settings = replace(hub.settings, civitai_url=double.url, huggingface_url=double.url)
    with open_hub(settings) as opened:
        yield opened


def looked(hub: Hub, **how: object) -> tuple[LookedUp, list[Problem]]:
    events = list(hub.lookup.run(**how))  # type: ignore[arg-type]
    value = next(event.value for event in events if isinstance(event, Result))
    return value, [event for event in events if isinstance(event, Problem)]


def sha256_of(hub: Hub, name: str) -> str:
    return hub.models.resolve(name).sha256


def test_a_model_is_what_civitai_says_of_its_hash(asking: Hub, double: Double) -> None:
    double.knows(sha256_of(asking, "0001"), kind="LORA", base="Pony", words=("ink wash",))
    value, problems = looked(asking)
    assert (value.models, value.found, value.changed, problems) == (2, 1, 1, [])
    model = asking.models.resolve("0001")
    assert (model.type, model.base, model.sub_type, model.triggers) == ("lora", "sdxl", "pony", "ink wash")
    assert asking.models.resolve("0002").type == "unknown"
    evidence = asking.models.details("0001").evidence
    assert any(one.method == "external" and "Pony LORA" in one.because for one in evidence)


def test_nothing_but_hashes_is_sent(asking: Hub, double: Double) -> None:
    looked(asking)
    hashes = {sha256_of(asking, name).upper() for name in ("0001", "0002")}
    sent = [body for method, _, body in double.asked if method == "POST"]
    assert {one for body in sent for one in body} == hashes
    asked_by_tensors = [path for method, path, _ in double.asked if method == "GET"]
    assert all(len(path.rsplit("/", 1)[1]) == 12 for path in asked_by_tensors)


def test_a_site_without_the_quick_question_is_asked_the_long_one(asking: Hub, double: Double) -> None:
    double.has_ids = False
    double.knows(sha256_of(asking, "0001"), kind="LORA", base="SD 1.5")
    assert looked(asking)[0].found == 1


def test_a_file_whose_header_was_edited_is_found_by_its_tensors(asking: Hub, double: Double) -> None:
    content = Path(asking.models.details("0002").path).read_bytes()
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    double.knows(hashlib.sha256(tensors).hexdigest()[:12], kind="LORA", base="Illustrious")
    assert looked(asking)[0].found == 1
    assert asking.models.resolve("0002").sub_type == "illustrious"


def test_models_are_asked_about_once_unless_told_otherwise(asking: Hub, double: Double) -> None:
    looked(asking)
    assert looked(asking)[0].models == 0
    assert looked(asking, again=True)[0].models == 2
    before = len(double.asked)
    assert looked(asking, again=True, dry_run=True)[0].models == 2
    assert len(double.asked) == before


def test_an_answer_that_is_gone_or_emptied_erases_nothing(asking: Hub, double: Double) -> None:
    sha256 = sha256_of(asking, "0001")
    double.knows(sha256, kind="LORA", base="Pony", words=("ink wash",))
    looked(asking)
    double.versions[sha256.upper()] |= {"trainedWords": [], "name": "v2"}
    looked(asking, again=True)
    assert asking.models.resolve("0001").triggers == "ink wash"
    assert asking.models.details("0001").external[0].data["name"] == "v2"
    double.versions.clear()
    looked(asking, again=True)
    assert asking.models.resolve("0001").sub_type == "pony"
    assert asking.models.details("0001").external[0].gone
    with sqlite3.connect(asking.places.library) as database:
        rows = database.execute("SELECT found FROM external_records WHERE model_id = 1 ORDER BY id").fetchall()
    assert [found for (found,) in rows] == [1, 1, 0]


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ((200, b"<!DOCTYPE html><title>Just a moment...</title>", {}), "no JSON"),
        ((200, b'{"id": 1,', {}), "no JSON"),
        ((200, b"", {}), "no JSON"),
        ((200, b'{"id": 1}', {}), "form that is not known"),
        ((200, b"no gzip", {"Content-Encoding": "gzip"}), "cannot be read"),
        ((200, gzip.compress(gzip.compress(b"[]")), {"Content-Encoding": "gzip, gzip"}), "cannot be read"),
        ((200, gzip.compress(bytes(30 << 20)), {"Content-Encoding": "gzip"}), "over 24 MiB"),
        ((403, b"{}", {}), "answered 403"),
        ((429, b"{}", {"Retry-After": "86400"}), "86400 seconds"),
    ],
)
def test_a_site_in_trouble_is_a_sentence_and_changes_nothing(
    asking: Hub, double: Double, failure: tuple[int, bytes, dict[str, str]], told: str
) -> None:
    double.failures = [failure]
    value, problems = looked(asking)
    assert value.found == 0
    assert [told in problem.message for problem in problems] == [True]
    assert looked(asking)[0].models == 2, "what was not answered is asked again"


def test_a_question_is_asked_again_where_that_may_help(double: Double) -> None:
    waits: list[float] = []
    double.repositories["a/b"] = {"id": "a/b"}
    double.failures = [(503, b"", {}), (429, b"", {"Retry-After": "2"}), (500, b"", {})]
    with Client(double.url, delay=0, timeout=5, agent="test", sleep=waits.append) as client:
        assert client.get("/api/models/a/b") == {"id": "a/b"}
    assert len(waits) == 3
    assert waits[1] >= 2
    assert all(wait <= 30 for wait in waits)


def test_patience_ends(double: Double) -> None:
    double.failures = [(503, b"", {})] * 9
    client = Client(double.url, delay=0, timeout=5, agent="test", sleep=lambda _: None)
    with client, pytest.raises(RemoteRefused, match="503"):
        client.get("/x")
    assert len(double.asked) == 4


def test_a_circle_of_redirects_is_left(double: Double) -> None:
    double.failures = [(302, b"", {"Location": "/x"})] * 99
    client = Client(double.url, delay=0, timeout=5, agent="test", sleep=lambda _: None)
    with client, pytest.raises(RemoteRefused, match="TooManyRedirects"):
        client.get("/x")


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["body", "header"])
def test_a_server_that_drips_is_left_in_time(start: bytes) -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            line, _ = server.accept()
            with line:
                line.sendall(start)
                while not stop.wait(0.05):
                    with suppress(OSError):
                        line.sendall(b" ")

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        client = Client(f"http://127.0.0.1:{server.getsockname()[1]}", delay=0, timeout=5, agent="test", longest=0.5)
        with client, pytest.raises(Offline, match="did not finish"):
            client.get("/x")
        stop.set()
        dripping.join()


@pytest.mark.parametrize("files", [3, True, "x", {"a": 1}, [[]], [{"hashes": []}], [{"hashes": {"SHA256": 1}}]])
def test_a_version_without_the_hash_that_was_asked_for_proves_nothing(
    asking: Hub, double: Double, files: object
) -> None:
    sha256 = sha256_of(asking, "0001")
    double.knows(sha256, kind="LORA", base="SDXL 1.0")
    double.versions[sha256.upper()]["files"] = files
    double.repositories["a/b"] = {"id": "a/b", "siblings": files}
    value, problems = looked(asking)
    assert (value.found, problems) == (0, [])


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="is no address"):
        Client("http://[::1", delay=0, timeout=1, agent="test")


def test_a_site_that_is_not_there_is_offline() -> None:
    client = Client("http://127.0.0.1:9", delay=0, timeout=1, agent="test", sleep=lambda _: None)
    with client, pytest.raises(Offline, match="cannot be reached"):
        client.get("/x")


def test_questions_keep_their_distance(double: Double) -> None:
    waits: list[float] = []
    with Client(double.url, delay=5, timeout=5, agent="test", sleep=waits.append) as client:
        client.get("/x")
        client.get("/x")
    assert len(waits) == 1
    assert 4 < waits[0] <= 5


def test_one_switch_ends_all_asking(asking: Hub) -> None:
    with open_hub(replace(asking.settings, external_apis=False)) as off, pytest.raises(Offline, match="switched off"):
        off.lookup.run()
    with pytest.raises(InvalidInput, match="no site"):
        asking.lookup.run(sources=["elsewhere"])


def test_a_repository_proves_a_file_by_its_hash(asking: Hub, double: Double, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "models--star--light-7b" / "snapshots" / "abc"
    path = build.gguf(cache / "model.gguf", {"general.architecture": "starlight-9"}, {"a.weight": ((32, 32), "F16")})
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    scan(asking, tmp_path / "cache", adopt="reference")
    told = {"id": "star/light-7b", "pipeline_tag": "text-generation", "siblings": [{"lfs": {"sha256": sha256}}]}
    double.repositories["star/light-7b"] = told
    looked(asking, sources=["huggingface"])
    assert asking.models.resolve("model").type == "llm"
    double.repositories["star/light-7b"] = told | {"siblings": [{"lfs": {"sha256": "0" * 64}}]}
    model = [one for one in asking.models.find(ModelFilter()) if one.filename == "model.gguf"]
    value, _ = looked(asking, models=model, sources=["huggingface"], again=True)
    assert value.found == 0, "a repository of that name that holds another file is no proof"


def test_what_was_answered_is_shown_without_asking(asking: Hub, double: Double) -> None:
    double.knows(sha256_of(asking, "0001"), kind="LORA", base="Pony")
    looked(asking)
    double.asked.clear()
    assert [(one.filename, one.says) for one in asking.lookup.known()] == [
        ("0001.safetensors", "model 1, v1, Pony"), ("0002.safetensors", ""),
    ]  # fmt: skip
    assert double.asked == []


def test_reclassifying_keeps_what_sites_said(asking: Hub, double: Double) -> None:
    double.knows(sha256_of(asking, "0001"), kind="LORA", base="Pony")
    looked(asking)
    finish(asking.models.reclassify(asking.models.find(ModelFilter())))
    assert asking.models.resolve("0001").sub_type == "pony"
    assert json.loads(json.dumps(asking.models.details("0001").external[0].data))["baseModel"] == "Pony"
