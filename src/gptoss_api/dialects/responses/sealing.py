"""Text that clients keep for us and cannot read or change: authenticated encryption under the server's key.

A client without stored responses sends the chain of thought back as ``encrypted_content``. The cipher is
XChaCha20-Poly1305: its nonces are long enough to be drawn at random, in any number of processes that
share a key.
"""

import binascii
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Final

KEY_BYTES: Final = 32

# Says whose blob it is and in which form; not a secret.
_PREFIX: Final = "gptoss1."
_NONCE_BYTES: Final = 24
_TAG_BYTES: Final = 16


class Sealer:
    """Seals and opens texts. ``key`` has 32 bytes; processes that share clients share it."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes; it must have {KEY_BYTES}")
        self._key = key

    @classmethod
    def from_secret(cls, secret: bytes) -> "Sealer":
        """One whose key is made of ``secret``, which serves other purposes too."""
        return cls(blake2b(secret, digest_size=KEY_BYTES, person=b"gptoss-reasoning").digest())

    @classmethod
    def ephemeral(cls) -> "Sealer":
        """One whose texts can be opened only as long as this process lives."""
        return cls(secrets.token_bytes(KEY_BYTES))

    def seal(self, text: str, owner: str) -> str:
        """``text`` in a form that only :meth:`open` with the same ``owner`` can read."""
        # Imported here: most gateways never seal, and the import takes longer than a thousand seals.
        from Cryptodome.Cipher import ChaCha20_Poly1305

        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = ChaCha20_Poly1305.new(key=self._key, nonce=nonce)
        cipher.update(_bound_to(owner))
        sealed, tag = cipher.encrypt_and_digest(text.encode("utf-8", "surrogatepass"))
        return _PREFIX + urlsafe_b64encode(nonce + sealed + tag).decode()

    def open(self, sealed: str, owner: str) -> str | None:
        """The text, or ``None`` for anything that was not sealed with this key for this owner."""
        from Cryptodome.Cipher import ChaCha20_Poly1305

        if not sealed.startswith(_PREFIX):
            return None
        try:
            data = urlsafe_b64decode(sealed[len(_PREFIX) :].encode("ascii"))
        except (binascii.Error, UnicodeEncodeError):
            return None
        if len(data) < _NONCE_BYTES + _TAG_BYTES:
            return None
        cipher = ChaCha20_Poly1305.new(key=self._key, nonce=data[:_NONCE_BYTES])
        cipher.update(_bound_to(owner))
        try:
            text = cipher.decrypt_and_verify(data[_NONCE_BYTES:-_TAG_BYTES], data[-_TAG_BYTES:])
        except ValueError:
            return None
        return text.decode("utf-8", "surrogatepass")


def _bound_to(owner: str) -> bytes:
    return b"reasoning\0" + owner.encode("utf-8", "surrogatepass")
