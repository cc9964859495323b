"""Trust: overrides that are recorded and hold for one finding only, scanners, signatures, sources."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import signing

from modelhub.core.config import Settings
from modelhub.core.errors import InvalidInput, NotFound
from modelhub.core.types import External
from modelhub.remote import signatures
from modelhub.services.hub import Hub
from modelhub.services.security import Trusting
from tests import build
from tests.conftest import finish, scan


@pytest.fixture
def unsafe(hub: Hub, tmp_path: Path) -> Path:
    path = build.torch_zip(tmp_path / "in/styled.ckpt", build.malicious_pickle("true"))
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy"))
    scan(hub, path.parent)
    hub.models.correct("styled", fields={"type": "checkpoint"})
    return path


def links(hub: Hub) -> list[str]:
    return [Path(step.path).name for step in hub.deployment.plan().links]


# Allowed all the same


def test_an_unsafe_model_is_deployed_only_when_somebody_allowed_it_for_a_reason(hub: Hub, unsafe: Path) -> None:
    assert links(hub) == []
    with pytest.raises(InvalidInput, match="reason is needed"):
        hub.trust.allow("styled", " ")
    made = hub.trust.allow("styled", "I wrote it")
    assert "posix.system" in made.message
    assert links(hub) == ["styled.ckpt"]
    assert list(hub.audit.entries())[-1]["detail"]["reason"] == "I wrote it"
    finish(hub.deployment.apply(hub.deployment.plan()))
    hub.trust.withdraw("styled")
    assert [step.because[:12] for step in hub.deployment.plan().removals] == ["it is unsafe"]


def test_what_was_allowed_holds_for_that_finding_only(hub: Hub, unsafe: Path) -> None:
    made = hub.trust.allow("styled", "I wrote it")
    hub.trust._security.allow(made._replace(message="The pickle calls for nt.system."))
    assert links(hub) == []


def test_a_sound_model_needs_no_permission(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    with pytest.raises(InvalidInput, match="nothing to allow"):
        hub.trust.allow("detail", "why not")


# Virus scanner


def with_scanner(hub: Hub, script: str, tmp_path: Path) -> Trusting:
    program = tmp_path / "scanner.py"
    program.write_text(script)
    settings: Settings = replace(hub.settings, virus_scan=f"{sys.executable} {program} {{path}}")
    return Trusting(settings, hub.models, hub.trust._security, hub.audit)


FINDS = "import sys\nprint(sys.argv[1] + ': Eicar FOUND')\nsys.exit('detail' in sys.argv[1])\n"


def test_what_a_virus_scanner_finds_is_unsafe_until_it_finds_nothing(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    models = [hub.models.resolve(name) for name in ("detail", "ae")]
    done = finish(with_scanner(hub, FINDS, tmp_path).scan(models))
    assert (done.clean, done.infected, done.failed) == (1, 1, 0)
    model = hub.models.resolve("detail")
    assert (model.state, model.code) == ("unsafe", "malware")
    finish(hub.models.reclassify([model]))
    assert hub.models.resolve("detail").state == "unsafe"
    finish(with_scanner(hub, "print('OK')", tmp_path).scan(models))
    assert hub.models.resolve("detail").state == "ok"


def test_a_scanner_that_fails_says_nothing_about_the_model(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    done = finish(with_scanner(hub, "import sys\nsys.exit(2)", tmp_path).scan([hub.models.resolve("ae")]))
    assert done.failed == 1
    assert hub.models.resolve("ae").state == "ok"


def test_without_a_scanner_it_says_how_to_set_one(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    with pytest.raises(InvalidInput, match="No virus scanner"):
        finish(hub.trust.scan([]))
    missing = Trusting(replace(hub.settings, virus_scan="no-such-scanner"), hub.models, hub.trust._security, hub.audit)
    with pytest.raises(NotFound, match="was not found"):
        finish(missing.scan([hub.models.resolve("ae")]))


# Sources


def test_the_sites_own_findings_and_trusted_publishers_are_shown(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    data = {"creator": {"username": "Lykon"}, "files": [{"pickleScanResult": "Success", "virusScanResult": "Danger"}]}
    details = replace(
        hub.models.details("ae"),
        external=(
            External("civitai", "x", "", data),
            External("huggingface", "stabilityai/x", "", {"id": "x"}),
        ),
    )
    trusting = Trusting(
        replace(hub.settings, trusted_sources=("huggingface:StabilityAI",)), hub.models, hub.trust._security, hub.audit
    )
    found = {one.site: (one.publisher, one.trusted, dict(one.scans)) for one in trusting.of(details).sources}
    assert found == {
        "civitai": ("Lykon", False, {"pickleScan": "Success", "virusScan": "Danger"}),
        "huggingface": ("stabilityai", True, {}),
    }


# Signatures

Key = Callable[[str], tuple[Path, Path]]


@pytest.fixture
def key(tmp_path: Path) -> Key:
    def make(name: str) -> tuple[Path, Path]:
        private = ec.generate_private_key(ec.SECP256R1())
        secret, public = tmp_path / f"{name}.key", tmp_path / f"{name}.pub"
        form = serialization.Encoding.PEM
        secret.write_bytes(private.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        public.write_bytes(private.public_key().public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo))
        return secret, public

    return make


@pytest.fixture
def signed(tmp_path: Path, key: Key) -> tuple[Path, Path, Path]:
    """A folder of a model, its signature, and the public key of who signed it."""
    secret, public = key("publisher")
    folder = tmp_path / "model"
    build.safetensors(folder / "model.safetensors", build.SD15_LORA)
    (folder / "config.json").write_text("{}")
    signature = tmp_path / "model.sig"
    signing.Config().use_elliptic_key_signer(private_key=secret).sign(folder, signature)  # type: ignore[no-untyped-call]
    return folder, signature, public


def test_a_signature_of_a_key_that_is_trusted_is_trusted(signed: tuple[Path, Path, Path], key: Key) -> None:
    folder, signature, public = signed
    _, other = key("other")
    assert signatures.verify(str(folder), str(signature), [str(other), str(public)]).status == "trusted"


def test_a_signature_of_a_stranger_is_not(signed: tuple[Path, Path, Path], key: Key) -> None:
    folder, signature, _ = signed
    _, other = key("other")
    found = signatures.verify(str(folder), str(signature), [str(other)])
    assert (found.status, found.signer[:8]) == ("untrusted", "the key ")
    assert signatures.verify(str(folder), str(signature), []).status == "untrusted"


def test_other_files_than_those_that_were_signed_are_named(signed: tuple[Path, Path, Path]) -> None:
    folder, signature, public = signed
    (folder / "config.json").write_text('{"auto_map": 1}')
    (folder / "more.py").write_text("x")
    found = signatures.verify(str(folder), str(signature), [str(public)])
    assert found.status == "invalid"
    assert "config.json" in found.message
    assert "more.py (extra)" in found.message


def test_what_is_no_signature_is_invalid_and_none_is_unsigned(signed: tuple[Path, Path, Path]) -> None:
    folder, signature, public = signed
    assert signatures.verify(str(folder), "", [str(public)]).status == "unsigned"
    signature.write_text("{")
    assert signatures.verify(str(folder), str(signature), [str(public)]).status == "invalid"
    with pytest.raises(NotFound):
        signatures.verify(str(folder), str(signature) + "x", [])


def test_a_signer_that_is_none_is_refused(signed: tuple[Path, Path, Path]) -> None:
    folder, signature, _ = signed
    with pytest.raises(InvalidInput, match="is no signer"):
        signatures.verify(str(folder), str(signature), ["somebody"])


def test_a_model_of_the_library_is_verified_where_it_was_found(hub: Hub, signed: tuple[Path, Path, Path]) -> None:
    folder, signature, public = signed
    scan(hub, folder, adopt="copy")
    found = hub.trust.signature("model", str(signature), [str(public)])
    assert found.status == "trusted"
    kinds = [(one.kind, one.status) for one in hub.trust.of(hub.models.details("model")).examinations]
    assert kinds == [("signature", "trusted")]
