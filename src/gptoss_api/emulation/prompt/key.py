"""The nonce in every transport tag of one conversation.

It makes quoted or invented call blocks harmless: a client text cannot know the key in advance, and where
one holds it by chance or by leak the next key is taken. Source: docs/design/emulation.md, "The key".
"""

import hashlib
import hmac
from base64 import b32encode
from collections.abc import Callable, Iterable
from typing import Final

from ...core.errors import InternalError
from ...text.digest import digest

_VERSION: Final = b"gptoss-api prompt 1"
# Each attempt searches all client text once.
_SHORT_ATTEMPTS: Final = 32
_ATTEMPTS: Final = 64


def opening_hash(
    *, model: str, effort: str | None, style: str, instructions: Iterable[str], tools: bytes, caller: str
) -> bytes:
    """What a conversation is before its first message; ``tools`` is their digest."""
    head = (_VERSION, model.encode(), (effort or "").encode(), style.encode(), caller.encode(), tools)
    return digest((*head, *(text.strip().encode() for text in instructions)))


def conversation_key(
    secret: bytes, opening: bytes, first_message: str, counter: int, occurs: Callable[[str], bool]
) -> str:
    """Four characters of ``a-z2-7``, the same on every turn of a conversation.

    Starts at ``counter`` and raises it while the key ``occurs`` in client text. Against a text that was
    filled with keys, longer ones are taken in the end.
    """
    seed = digest((opening, first_message.strip().encode()))
    for number in range(_ATTEMPTS):
        mac = hmac.digest(secret, seed + (counter + number).to_bytes(8, "big"), hashlib.sha256)
        length = 4 if number < _SHORT_ATTEMPTS else 16
        key = b32encode(mac).decode()[:length].lower()
        if not occurs(key):
            return key
    raise InternalError("No key for this conversation could be found.")
