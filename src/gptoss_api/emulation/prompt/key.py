"""The nonce in every transport tag of one conversation.

It makes quoted or invented call blocks harmless: a client text cannot know the key in advance, and where
one holds it by chance or by leak the next key is taken. Source: docs/design/emulation.md, "The key".
"""

import hashlib
import hmac
import sys
from base64 import b32encode
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Final

from ...core.errors import InternalError
from ...core.turn import Turn, leading_instructions
from ...text.digest import digest
from ...text.memo import Memo
from .tool_section import Style, tools_digest

_VERSION: Final = "gptoss-api prompt 1"
# Each attempt searches all client text once.
_SHORT_ATTEMPTS: Final = 32
_ATTEMPTS: Final = 64
# Keys that are remembered: a conversation that is sent whole has the same with every step.
_KEYS: Final = 1_024


# Every turn of an application begins with the same. In bytes.
_REMEMBERED: Final = 1024 * 1024
_digests: Final[Memo[tuple[str | bytes, ...], bytes]] = Memo(_REMEMBERED)
_NO_TOOLS: Final = tools_digest(())
_text_of: Final = attrgetter("text")


class Preamble:
    """What the conversation of ``turn`` is before its first message, hashed at most once for each turn.

    ``tools`` is the digest of its tools, ``style`` how they are described, and ``front`` how many
    instructions come before everything else.
    """

    __slots__ = ("_digest", "_turn", "front", "style", "tools")

    def __init__(self, turn: Turn, style: Style) -> None:
        self.style: Final = style
        self.tools: Final = tools_digest(turn.tools) if turn.tools else _NO_TOOLS
        self.front: Final = leading_instructions(turn.messages)
        self._turn = turn
        self._digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        if self._digest is None:
            turn = self._turn
            names = (_VERSION, turn.model, turn.effort or "", self.style, turn.caller)
            instructions = tuple(map(_text_of, turn.messages[: self.front]))
            said: tuple[str | bytes, ...] = (*names, self.tools, *instructions)
            self._digest = _digests.get(said)
            if self._digest is None:
                head = (*map(_encoded, names), self.tools)
                texts = [text.replace("\r\n", "\n").strip() for text in instructions]
                self._digest = digest((*head, *(_encoded(text) for text in texts if text)))
                _digests.put(said, self._digest, sum(map(sys.getsizeof, said)))
        return self._digest


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def transport_key(
    secret: bytes, preamble: bytes, first_message: str, counter: int, occurs: Callable[[str], bool]
) -> str:
    """Four characters of ``a-z2-7``, the same on every turn of a conversation.

    Starts at ``counter`` and raises it while the key ``occurs`` in client text. Against a text that was
    filled with keys, longer ones are taken in the end.
    """
    seed = digest((preamble, first_message.strip().encode()))
    for number in range(_ATTEMPTS):
        key = _key(secret, seed, counter + number, 4 if number < _SHORT_ATTEMPTS else 16)
        if not occurs(key):
            return key
    raise InternalError("No key for this conversation could be found.")


@lru_cache(_KEYS)
def _key(secret: bytes, seed: bytes, number: int, length: int) -> str:
    mac = hmac.digest(secret, seed + number.to_bytes(8, "big"), hashlib.sha256)
    return b32encode(mac).decode()[:length].lower()
