"""Text that clients keep for us and cannot read or change, sealed under the server's key.

A client without stored responses sends the chain of thought back as ``encrypted_content``.
"""

import binascii
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from ..core.sealing import KEY_BYTES, Seal, derive_key

# Says whose blob it is and in which form; not a secret.
_PREFIX: Final = "gptoss1."


class Sealer:
    """Seals and opens texts. ``key`` has 32 bytes; processes that share clients share it."""

    def __init__(self, key: bytes) -> None:
        self._seal = Seal(key)

    @classmethod
    def from_secret(cls, secret: bytes) -> "Sealer":
        """One whose key is made of ``secret``, which serves other purposes too."""
        return cls(derive_key(secret, b"gptoss-reasoning"))

    @classmethod
    def ephemeral(cls) -> "Sealer":
        """One whose texts can be opened only as long as this process lives."""
        return cls(secrets.token_bytes(KEY_BYTES))

    def seal(self, text: str, owner: str) -> str:
        """``text`` in a form that only :meth:`open` with the same ``owner`` can read."""
        sealed = self._seal.seal(text.encode("utf-8", "surrogatepass"), _bound_to(owner))
        return _PREFIX + urlsafe_b64encode(sealed).decode()

    def open(self, sealed: str, owner: str) -> str | None:
        """The text, or ``None`` for anything that was not sealed with this key for this owner."""
        if not sealed.startswith(_PREFIX):
            return None
        try:
            data = urlsafe_b64decode(sealed[len(_PREFIX) :].encode("ascii"))
        except (binascii.Error, UnicodeEncodeError):
            return None
        text = self._seal.open(data, _bound_to(owner))
        return None if text is None else text.decode("utf-8", "surrogatepass")


def _bound_to(owner: str) -> bytes:
    return b"reasoning\0" + owner.encode("utf-8", "surrogatepass")
