"""Encryption in the age format, by pyrage: for recipients (age1... or SSH public keys) or with a passphrase.

Source: https://age-encryption.org/v1. Content is encrypted and authenticated in pieces of 64 KiB, as a stream.
"""

import os
from collections.abc import Sequence
from typing import Any, BinaryIO

from modelhub.core.errors import HashMismatch, InvalidInput
from modelhub.core.names import printable


class Sealing:
    """Encrypts for all of `recipients`; decrypts with any of `identities`."""

    def __init__(self, recipients: Sequence[str] = (), identities: Sequence[str] = ()) -> None:
        self._age = _library()
        self._recipients = [self._recipient(text) for text in recipients]
        self._identities = [self._identity(text) for text in identities]

    def encrypt(self, plain: BinaryIO, sealed: BinaryIO) -> None:
        if not self._recipients:
            raise InvalidInput("It is not said for whom to encrypt.", hint="Give --recipient or --passphrase-file.")
        self._age.encrypt_io(plain, sealed, self._recipients)

    def decrypt(self, sealed: BinaryIO, plain: BinaryIO) -> None:
        try:
            self._age.decrypt_io(sealed, plain, self._identities)
        except self._age.DecryptError as error:
            raise _undecryptable(str(getattr(sealed, "name", "It")), error) from error

    def _recipient(self, text: str) -> Any:
        try:
            return (self._age.ssh if text.startswith("ssh-") else self._age.x25519).Recipient.from_str(text)
        except self._age.RecipientError as error:
            raise InvalidInput(
                f"{printable(text)[:40]!r} is no recipient.", hint="Give age1... or a public SSH key."
            ) from error

    def _identity(self, text: str) -> Any:
        try:
            if text.startswith("AGE-SECRET-KEY-"):
                return self._age.x25519.Identity.from_str(text)
            return self._age.ssh.Identity.from_buffer(text.encode())
        except self._age.IdentityError as error:
            raise InvalidInput(
                "That file holds no identity.", hint="Name a file of age-keygen, or a private SSH key."
            ) from error


def identities_in(text: str) -> list[str]:
    """The secret keys in a file of `age-keygen`, or the SSH key that the file is."""
    keys = [line.strip() for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-")]
    return keys or [text]


def with_passphrase(key_file: str, passphrase: str) -> Sealing:
    """A key of its own in `key_file`, which the passphrase opens: made if it is not there yet.

    Any age program opens it as well: `age -d key_file` gives the identity for the other files.
    """
    age = _library()
    try:
        with open(key_file, "rb") as stream:
            sealed = stream.read(1 << 20)
    except FileNotFoundError:
        made = age.x25519.Identity.generate()
        sealed = age.passphrase.encrypt(str(made).encode(), passphrase)
        with open(key_file, "xb") as stream:
            stream.write(sealed)
            stream.flush()
            os.fsync(stream.fileno())
    try:
        secret = age.passphrase.decrypt(sealed, passphrase).decode("ascii").strip()
    except (age.DecryptError, UnicodeDecodeError) as error:
        raise _undecryptable(key_file, error) from error
    return Sealing([str(age.x25519.Identity.from_str(secret).to_public())], [secret])


def _undecryptable(name: str, error: Exception) -> HashMismatch:
    told = f"{printable(name)} cannot be decrypted: {printable(str(error)).rstrip('.')}."
    return HashMismatch(told, hint="Check the key or passphrase; the file may be damaged.")


def _library() -> Any:
    try:
        import pyrage  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise InvalidInput(
            "Encryption needs the library pyrage.", hint="Install it: pip install 'modelhub-tui[encryption]'"
        ) from error
    return pyrage
