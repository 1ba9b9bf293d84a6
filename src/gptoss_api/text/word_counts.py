"""How many tokens pieces and words have, remembered: texts of all kinds are made of the same ones.

A word is what begins at a space and ends before the next one: `` cache``, `` (self,``. No piece has a space
behind its first character unless that space has white space on either side, so a space that something else
follows always begins a piece, and what stands before it falls into the same pieces without it.
"""

import re
from typing import Final

from .bpe import ascii_pieces, merge, pieces, window_merger
from .ranks import NO_RANK, Ranks

# Counts of pieces that are remembered (a few MB at most), and up to which length in characters.
_PIECES: Final = 50_000
PIECE: Final = 64
# The same of words.
_WORDS: Final = 20_000
_WORD: Final = 64

# Where more than every second word of a text is new, learning them costs more than counting by pieces. Texts
# of fewer words say nothing about the next; after one that is unlike, so many more are counted by pieces at
# most.
_ONE_NEW_IN: Final = 2
_SAYING: Final = 32
_LONGEST_REST: Final = 63

# What re takes for white space includes what the pattern for pieces does.
_split_at_words: Final = re.compile(r" (?=\S)").split


class PieceCounts(dict[str, int]):
    """Tokens of each piece seen, found out at the first look."""

    __slots__ = ("merged", "ranks")

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.merged = window_merger(ranks)

    def __missing__(self, piece: str) -> int:
        data = piece.encode()
        count = 1 if self.ranks.of(data) < NO_RANK else len(merge(data, self.ranks)) - 1
        if len(piece) <= PIECE:
            if len(self) >= _PIECES:
                self.clear()
            self[piece] = count
        return count

    def of(self, text: str) -> int:
        """The tokens of a text.

        Raises:
            UnicodeEncodeError: for a text with half of a surrogate pair.
        """
        return sum(map(self.__getitem__, ascii_pieces(text) if text.isascii() else pieces(text)))


class WordCounts(dict[str, int]):
    """Tokens of each word seen, found out at the first look.

    They stand under the word without its space; the beginning of a text, which has none, under a space more.
    """

    __slots__ = ("_pause", "_rest", "pieces")

    def __init__(self, pieces: PieceCounts) -> None:
        self.pieces = pieces
        self._pause = self._rest = 0

    def __missing__(self, word: str) -> int:
        first = word[:1]
        if first == " ":
            text = word[1:]
        elif not first or first.isspace():
            raise _NotOne
        else:
            text = f" {word}"
        count = self.pieces.of(text)
        if len(word) <= _WORD:
            if len(self) >= _WORDS:
                self.clear()
            self[word] = count
        return count

    def of(self, text: str) -> int:
        """The tokens of a text, which is short enough to be looked at in one go.

        Raises:
            UnicodeEncodeError: for a text with half of a surrogate pair.
        """
        if self._pause > 0:
            self._pause -= 1
            return self.pieces.of(text)
        known = len(self)
        words = text.split(" ") if "  " not in text else _split_at_words(text)
        try:
            words[0] = f" {words[0]}"
            count = sum(map(self.__getitem__, words))
        except _NotOne:
            words = _split_at_words(text)
            words[0] = f" {words[0]}"
            count = sum(map(self.__getitem__, words))
        if len(words) >= _SAYING:
            is_unlike = (len(self) - known) * _ONE_NEW_IN > len(words)
            self._pause = self._rest = min(2 * self._rest + 1, _LONGEST_REST) if is_unlike else 0
        return count


class _NotOne(Exception):
    """White space stands where a word was to begin."""
