"""Exact o200k token counts without a network: of texts, of prompts in parts, of streams.

Counts are those of o200k_harmony for ordinary text: ``<|end|>`` and the like in a client's text
are text (docs/design/emulation.md, "Token counts"). Pure Python, because tiktoken builds tables of its own
in every process, 45 MB in 170 ms, is twice as fast at most on text that was seen before, and panics on a
million spaces.
"""

import sys
from collections.abc import Callable, Iterable
from itertools import islice, pairwise
from threading import Lock
from typing import Final

import regex

from .bpe import NO_LIMIT, last_joint, merge, piece_lists, pieces, token_starts
from .memo import Memo
from .ranks import NO_RANK, Ranks, build_table
from .word_counts import PIECE, PieceCounts, WordCounts

# Texts from this length on are remembered with their count: an agent sends them again and again. How many
# bytes of them, and what one takes beside itself.
_SEGMENT: Final = 32
_SEGMENT_BYTES: Final = 8 << 20
_BESIDE: Final = 150

# Texts up to here are counted at one go, whatever the limit; longer ones in stretches of this length.
_STRETCH: Final = 1 << 14

_PIECE_OF_HALVES: Final = 1 << 14
_CODE_POINTS: Final = regex.compile(r"(?s)[\ud800-\udbff][\udc00-\udfff]|.")


def utf8_length(text: str) -> int:
    """Bytes of the text in UTF-8; it has at most as many tokens. Lone surrogates count as three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Tokens:
    """Counts tokens by the ranks that ``load`` gives when they are first needed.

    If nobody gives them they are built, which takes 100 ms and 5 MB. All methods may be called from any
    thread. Let a server call :meth:`warm` in a thread when it starts, so that no request waits for the
    loading.
    """

    def __init__(self, load: Callable[[], Ranks] = lambda: Ranks(build_table())) -> None:
        self._load = load
        self._words: WordCounts | None = None
        self._segments: Memo[str, int] = Memo(_SEGMENT_BYTES)
        self._loading = Lock()

    @property
    def loaded(self) -> bool:
        return self._words is not None

    def warm(self) -> None:
        """Load the ranks if they are not loaded yet. Blocks its thread, not the others.

        Raises:
            RanksDamaged: if the shipped data is missing or altered.
        """
        self._known()

    def count(self, text: str, most: int = NO_LIMIT) -> int:
        """How many tokens the text has; where that is more than ``most``, some number that is more, too.

        Long texts are remembered for the next time.
        """
        if len(text) < _SEGMENT:
            return self.count_once(text, most)
        count = self._segments.get(text)
        return self._count_new(text, most) if count is None else count

    def _count_new(self, text: str, most: int) -> int:
        count = self.count_once(text, most)
        if count <= most and len(text) >= _SEGMENT:
            self._segments.put(text, count, sys.getsizeof(text) + _BESIDE)
        return count

    def remembered(self, parts: Iterable[str]) -> tuple[int, list[str]]:
        """The sum of the counts of those parts that are remembered, and the others."""
        count, others = 0, []
        parts = list(parts)
        for part, known in zip(parts, self._segments.get_each(parts), strict=True):
            if known is None:
                others.append(part)
            else:
                count += known
        return count, others

    def count_once(self, text: str, most: int = NO_LIMIT) -> int:
        """The same for a text that is not expected again."""
        words = self._known() if self._words is None else self._words
        count = at = 0
        try:
            while len(text) - at > _STRETCH:
                stretch = last_joint(text[at : at + _STRETCH])
                if not stretch:
                    return count + self._count_pieces(text[at:], most - count)
                count += words.of(text[at : at + stretch])
                if count > most:
                    return count
                at += stretch
            return count + words.of(text[at:])
        except UnicodeEncodeError:
            return self.count_once(_without_surrogates(text), most)

    def count_parts(self, parts: Iterable[str], most: int = NO_LIMIT) -> int:
        """The sum of the counts of the parts, each for itself; see :meth:`count`."""
        count = 0
        parts = list(parts)
        for part, known in zip(parts, self._segments.get_each(parts), strict=True):
            count += self._count_new(part, most - count) if known is None else known
            if count > most:
                break
        return count

    def encode(self, text: str) -> list[int]:
        """The tokens of the text, as ranks."""
        ranks = self._known().pieces.ranks
        tokens = []
        try:
            for piece in pieces(text):
                data = piece.encode()
                if (rank := ranks.of(data)) < NO_RANK:
                    tokens.append(rank)
                else:
                    tokens += [ranks.of(data[start:end]) for start, end in pairwise(merge(data, ranks))]
        except UnicodeEncodeError:
            return self.encode(_without_surrogates(text))
        return tokens

    def cut(self, text: str, max_tokens: int) -> str:
        """The first ``max_tokens`` tokens of the text, without a character that is not complete."""
        return text[: self.fit(text, max_tokens)]

    def fit(self, text: str, max_tokens: int) -> int:
        """How many characters (code points) :meth:`cut` keeps."""
        if utf8_length(text) <= max_tokens:
            return len(text)
        known = self._known().pieces
        left = max_tokens
        kept = 0
        try:
            for piece in pieces(text):
                count = known[piece] if len(piece) <= PIECE else 0
                if not count or count > left:
                    data = piece.encode()
                    starts = token_starts(data, known.merged, left)
                    if (count := len(starts)) > left:
                        return kept + len(data[: starts[max(left, 0)]].decode(errors="ignore"))
                left -= count
                kept += len(piece)
        except UnicodeEncodeError:
            # Two surrogates that belong together are one character there, but two in the text.
            fits = self.fit(_without_surrogates(text), max_tokens)
            return sum(len(match[0]) for match in islice(_CODE_POINTS.finditer(text), fits))
        return kept

    def _count_pieces(self, text: str, most: int) -> int:
        """:meth:`count_once` of a long text that has no joint near its beginning."""
        known = self._known().pieces
        count = 0
        for found in piece_lists(text):
            if len(found) == 1 and len(found[0]) > PIECE:
                count += len(token_starts(found[0].encode(), known.merged, most - count))
            else:
                count += sum(map(known.__getitem__, found))
            if count > most:
                break
        return count

    def _known(self) -> WordCounts:
        if self._words is None:
            with self._loading:
                if self._words is None:
                    self._words = WordCounts(PieceCounts(self._load()))
        return self._words


class StreamCounter:
    """Counts a text that arrives in pieces: exactly what the joined text has.

    Adding costs nothing; each look at :attr:`total` counts what is new, as a rule from the last
    space before it.
    """

    __slots__ = ("_new", "_settled", "_tail", "_tail_count", "_tokens")

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._new: list[str] = []
        self._settled = 0
        self._tail = ""
        self._tail_count = 0

    def add(self, delta: str) -> None:
        self._new.append(delta)

    @property
    def total(self) -> int:
        if self._new:
            text = self._tail + "".join(self._new)
            self._new.clear()
            count = self._tokens.count(text)
            joint = last_joint(text)
            self._tail = text[joint:]
            self._tail_count = self._tokens.count_once(self._tail) if joint else count
            self._settled += count - self._tail_count
        return self._settled + self._tail_count


def _without_surrogates(text: str) -> str:
    """Pairs of surrogates become their character, lone ones U+FFFD, as in tiktoken."""
    # The codec calls back for each that is replaced, which in one go would stop every other thread.
    pieces: list[str] = []
    at = 0
    while at < len(text):
        end = at + _PIECE_OF_HALVES
        if "\ud800" <= text[end - 1 : end] <= "\udbff" and end < len(text):
            end -= 1
        pieces.append(text[at:end].encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        at = end
    return "".join(pieces)
