"""Pack OpenAI's ``o200k_base.tiktoken`` into the small file the gateway ships.

    python scripts/build_ranks.py path/to/o200k_base.tiktoken

The original is published by OpenAI and also lies inside the PyPI wheels of ``litellm`` and
``bpe-openai``; its SHA-256 is checked. Writes ``src/gptoss_api/text/data/o200k_base.ranks.xz`` and
prints its SHA-256 and that of the table it becomes. Both belong into ``gptoss_api/text/ranks.py``, the first
also into the NOTICE beside the data.
"""

import base64
import hashlib
import lzma
import sys
from pathlib import Path
from typing import Final

from gptoss_api.text.bpe import merge_short
from gptoss_api.text.ranks import SOURCE_SHA256, TOKENS, Ranks, lay_out

_TARGET: Final = Path(__file__).parent.parent / "src/gptoss_api/text/data/o200k_base.ranks.xz"
_FILTERS: Final = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "lc": 4,
        "lp": 0,
        "pb": 0,
        "dict_size": 1 << 21,
    }
]


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


def pack(data: bytes) -> bytes:
    """Compressed with xz."""
    return lzma.compress(data, check=lzma.CHECK_CRC32, filters=_FILTERS)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    tokens = read_tokens(Path(sys.argv[1]).read_bytes())
    data = bytes(map(len, tokens)) + b"".join(tokens)
    table = lay_out(data)
    check_merge_order(Ranks(table))
    packed = pack(data)
    _TARGET.write_bytes(packed)
    print(f"{_TARGET.name}: {len(packed)} bytes, sha256 {hashlib.sha256(packed).hexdigest()}")
    print(f"table: {len(table)} bytes, sha256 {hashlib.sha256(table).hexdigest()}")


if __name__ == "__main__":
    main()
