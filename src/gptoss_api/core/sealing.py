"""Authenticated encryption under a key of this installation.

The cipher is XChaCha20-Poly1305: its nonces are long enough to be drawn at random, in any number of
processes that share a key.
"""

import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from Cryptodome.Cipher.ChaCha20_Poly1305 import ChaCha20Poly1305Cipher

KEY_BYTES: Final = 32

_NONCE_BYTES: Final = 24
_TAG_BYTES: Final = 16
# Bytes by which what is sealed is longer.
OVERHEAD: Final = _NONCE_BYTES + _TAG_BYTES


def load_cipher() -> None:
    """Loads the cipher, which takes longer than a thousand seals."""
    import Cryptodome.Cipher.ChaCha20_Poly1305  # noqa: F401  # by its first use otherwise


def derive_key(secret: bytes, purpose: bytes) -> bytes:
    """A key made of ``secret``, which serves other purposes too; ``purpose`` has at most 16 bytes."""
    return blake2b(secret, digest_size=KEY_BYTES, person=purpose).digest()


class Seal:
    """Seals and opens bytes. Raises :class:`ValueError` for a ``key`` of other than 32 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes; it must have {KEY_BYTES}")
        self._key = key

    def seal(self, data: bytes, bound_to: bytes) -> bytes:
        """``data`` in a form that only :meth:`open` with the same ``bound_to`` can read."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = _cipher(key=self._key, nonce=nonce)
        cipher.update(bound_to)
        sealed, tag = cipher.encrypt_and_digest(data)
        return nonce + sealed + tag

    def open(self, sealed: bytes, bound_to: bytes) -> bytes | None:
        """The data, or ``None`` for anything that was not sealed with this key and ``bound_to``."""
        if len(sealed) < OVERHEAD:
            return None
        cipher = _cipher(key=self._key, nonce=sealed[:_NONCE_BYTES])
        cipher.update(bound_to)
        try:
            return cipher.decrypt_and_verify(sealed[_NONCE_BYTES:-_TAG_BYTES], sealed[-_TAG_BYTES:])
        except ValueError:
            return None


def _cipher(key: bytes, nonce: bytes) -> "ChaCha20Poly1305Cipher":
    from Cryptodome.Cipher import ChaCha20_Poly1305

    return ChaCha20_Poly1305.new(key=key, nonce=nonce)
