"""What varies between the samples of a case: the same everywhere, for ever, for the same seed."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, TypeVar

T = TypeVar("T")

_NOUNS: Final = tuple(
    str.split(
        "river house garden teacher window table letter bridge market forest village winter summer "
        "ship horse train doctor farmer kitchen island mountain story picture song road field stone school "
        "church tower"
    )
)
_ADJECTIVES: Final = tuple(
    str.split("old small quiet green long heavy early wooden cold bright narrow empty busy deep")
)
_VERBS: Final = tuple(
    str.split("found left passed reached followed watched crossed described remembered painted")
)


class Draw:
    """Numbers that ``seed`` decides, one after the other (Python's own generator promises less)."""

    def __init__(self, seed: str) -> None:
        self._state = blake2b(seed.encode(), digest_size=16).digest()

    def below(self, bound: int) -> int:
        """One of 0 to ``bound`` - 1."""
        self._state = blake2b(self._state, digest_size=16).digest()
        return int.from_bytes(self._state[:8]) % bound

    def between(self, low: int, high: int) -> int:
        """One of ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def prose(self, tokens: int) -> list[str]:
        """Sentences without meaning of about so many tokens together."""
        sentences = []
        # A token for each word, one for the full stop.
        while tokens > 0:
            words = [
                *("The", self.pick(_ADJECTIVES), self.pick(_NOUNS), self.pick(_VERBS)),
                *("the", self.pick(_ADJECTIVES), self.pick(_NOUNS), "near", "the", self.pick(_NOUNS)),
            ]
            sentences.append(" ".join(words) + ".")
            tokens -= len(words) + 1
        return sentences


def seed_number(text: str) -> int:
    """What servers are given as ``seed`` where they take one."""
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest()) >> 1
