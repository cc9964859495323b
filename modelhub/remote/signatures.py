"""OpenSSF Model Signing bundles: who signed a model, whether its files are those that were signed, and do we trust it.

Source: https://github.com/sigstore/model-transparency. The library comes with the extra `signing`; Sigstore's keyless
signatures need its roots of trust, for which its own library may go to the net.
"""

import base64
import binascii
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from modelhub.core.errors import InvalidInput, NotFound
from modelhub.core.names import printable
from modelhub.core.places import expand

Status = Literal["unsigned", "untrusted", "trusted", "invalid"]
_NAMES = ("model.sig", "model.sigstore.json", "model.sig.json")
_MOST_BYTES = 64 << 20


class Signed(NamedTuple):
    """What a signature says. It tells who, never that a model is harmless.

    ``unsigned``: there is none. ``untrusted``: `signer` is who it names, and nobody you trust. ``trusted``: files and
    names are exactly those that `signer` signed. ``invalid``: they are not, or the signature is broken.
    """

    status: Status
    signer: str
    message: str


def verify(path: str, signature: str, signers: Sequence[str]) -> Signed:
    """Verify the bundle at `signature` (or the one beside `path`) for the file or folder at `path`.

    `signers`: files of PEM public keys or certificates, or ``identity@issuer``. Raises NotFound for a signature that
    was named and is not there, InvalidInput for a signer that is neither, and without the library.
    """
    place = _bundle(path, signature)
    if not place:
        return Signed("unsigned", "", "There is no signature beside it.")
    bundle = _read(place)
    if bundle is None:
        return Signed("invalid", "", f"{printable(place)} is no signature bundle.")
    signer = _claimed(bundle)
    because = ""
    for name, config in _configs(bundle, signers):
        try:
            config.verify(Path(path), Path(place))
        except Exception as error:  # noqa: BLE001  (the library raises whatever its own libraries do: a plugin to us)
            because = _other_files(error) or because
        else:
            return Signed("trusted", name, f"Signed by {printable(name)}, whom you trust.")
    if because:
        return Signed("invalid", signer, because)
    return Signed(
        "untrusted", signer, f"It says that {printable(signer) or 'somebody'} signed it; nobody whom you trust did."
    )


def _bundle(path: str, signature: str) -> str:
    if signature:
        place = expand(signature)
        if not os.path.isfile(place):
            raise NotFound(f"{printable(place)} does not exist.", hint="Name the signature's file.")
        return place
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    names = _NAMES if os.path.isdir(path) else (f"{os.path.basename(path)}.sig", *_NAMES)
    places = (os.path.join(folder, name) for name in names)
    return next((place for place in places if os.path.isfile(place)), "")


def _read(place: str) -> dict[str, Any] | None:
    try:
        with open(place, "rb") as stream:
            bundle = json.loads(stream.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(bundle, dict) or not isinstance(bundle.get("verificationMaterial"), dict):
        return None
    return bundle


def _claimed(bundle: dict[str, Any]) -> str:
    """Who the bundle says signed it: the subject of its certificate, or the hint of a key."""
    material = bundle["verificationMaterial"]
    chain = material.get("x509CertificateChain")
    certificate = material.get("certificate")
    if isinstance(chain, dict) and isinstance(chain.get("certificates"), list) and chain["certificates"]:
        certificate = chain["certificates"][0]
    if isinstance(certificate, dict) and isinstance(certificate.get("rawBytes"), str):
        return _subject(certificate["rawBytes"])
    key = material.get("publicKey")
    hint = key.get("hint") if isinstance(key, dict) else ""
    return f"the key {str(hint)[:64]}" if hint else ""


def _subject(encoded: str) -> str:
    try:
        from cryptography import x509  # noqa: PLC0415  (comes with the extra)

        certificate = x509.load_der_x509_certificate(base64.b64decode(encoded))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        told = [str(name.value) for name in names]
        return ", ".join(told) or certificate.subject.rfc4514_string()
    except (ImportError, ValueError, binascii.Error):
        return "a certificate that cannot be read"
    except x509.ExtensionNotFound:
        return certificate.subject.rfc4514_string()


def _configs(bundle: dict[str, Any], signers: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """For each trusted signer of the bundle's kind, a verifier of the library."""
    if not signers:
        return
    try:
        from model_signing import verifying  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise InvalidInput(
            "Signatures need the library model-signing.", hint="Install it: pip install 'modelhub-tui[signing]'"
        ) from error
    new: Any = verifying.Config  # it has no types
    material = bundle["verificationMaterial"]
    keyless = "tlogEntries" in material and bool(material["tlogEntries"])
    for signer in signers:
        identity, at, issuer = signer.rpartition("@")
        place = expand(signer)
        if os.path.isfile(place):
            pem = Path(place).read_bytes()
            if b"CERTIFICATE" in pem and "publicKey" not in material and not keyless:
                yield signer, new().use_certificate_verifier(certificate_chain=[place])
            elif b"PUBLIC KEY" in pem and "publicKey" in material:
                yield signer, new().use_elliptic_key_verifier(public_key=place)
        elif at and "://" in issuer:
            if keyless:
                yield signer, new().use_sigstore_verifier(identity=identity, oidc_issuer=issuer)
        else:
            told = f"{printable(signer)!r} is no signer: neither a file nor identity@issuer."
            raise InvalidInput(told, hint="Correct security.trusted_signers or --signer.")


def _other_files(error: Exception) -> str:
    """In words, which files are not those that were signed; empty if a trusted key did not make this signature."""
    text = str(error)
    if "Signature mismatch" not in text:
        return ""
    changed = re.findall(r"Hash mismatch for '([^']*)'", text)
    for kind in ("Extra", "Missing"):
        listed = re.search(rf"{kind} files (?:found )?in model '[^']*': ([^\"\]]*)", text)
        changed += [f"{name} ({kind.lower()})" for name in listed[1].split(", ")] if listed else []
    names = ", ".join(printable(name) for name in changed[:5]) or "another name or content"
    return f"Its files are not those that were signed: {names}."
