"""The signature of a thinking block: says that a text is ours and that it is whole."""

import hashlib
import secrets
from base64 import b64encode
from hmac import compare_digest
from typing import Final

# Says whose signature it is; not a secret.
_PREFIX: Final = "gptoss1."
_DIGEST: Final = 24


class Signer:
    """Signs texts. ``secret`` is shared by the processes that share clients; without one, what is signed is
    known only as long as the process lives.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.blake2b(secret or secrets.token_bytes(32), person=b"gptoss-thinking").digest()

    def sign(self, text: str) -> str:
        digest = hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=_DIGEST
        ).digest()
        return _PREFIX + b64encode(digest).decode()

    def is_altered(self, text: str, signature: str) -> bool:
        """Whether ``signature`` is one of ours, and for another text than this."""
        if not signature.startswith(_PREFIX):
            return False
        return not compare_digest(signature.encode("utf-8", "replace"), self.sign(text).encode())
