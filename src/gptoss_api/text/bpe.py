"""The byte pair encoding o200k_base: how text falls into pieces, and how pieces merge.

gpt-oss uses o200k_harmony, which is o200k_base plus special tokens; for ordinary text, in which
look-alikes of special tokens are text too, both give the same tokens (docs/design/emulation.md,
"Token counts"). The ranks are those of :mod:`gptoss_api.text.ranks`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import Any, Final

import regex

from .ranks import NO_RANK, Ranks

# More tokens than any text has.
NO_LIMIT: Final = 1 << 62


def _holding(method: Any) -> Any:
    """A method of a pattern that keeps the interpreter's lock, as those of ``re`` do.

    The regex module lets go of it for every search and takes it back before anybody has woken up. A thread
    that searches all the time never seems to have it for a whole switch interval, so nobody asks it to give
    way, and all others stand still until it is done.
    """
    return partial(method, concurrent=False)


# OpenAI's pattern for o200k_base (tiktoken, "openai_public.py").
PATTERN: Final = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
_unicode_pieces = _holding(regex.compile(PATTERN).findall)

# The same for ASCII text, where it is three times as fast.
ascii_pieces = re.compile(
    r"[^\r\nA-Za-z0-9]?(?:[a-z]++|[A-Z]++[a-z]*+)(?:'(?:[sStTmMdD]|[rRvV][eE]|[lL][lL]))?+"
    r"|[0-9]{1,3}+| ?[^\sA-Za-z0-9]++[\r\n/]*+|\s*[\r\n]+|\s+(?!\S)|\s+",
    re.ASCII,
).findall

# No piece goes on after a line break with anything but white space or a slash, so here a text
# can be taken apart: mostly ASCII texts get the fast pattern.
_lines = re.compile(r"(?<=\n)(?=[^\s/])").split

# A longer text is taken apart stretch by stretch, and a longer piece merged window by window: one call of
# a C library over megabytes would stop every other thread.
_STRETCH: Final = 1 << 16
_WINDOW: Final = 1 << 12
# How far a pattern looks past the end of a piece: for the longest contraction.
_AHEAD: Final = 3
# Windows remembered; a run of one character has only one.
_WINDOWS: Final = 16
# Borders that are tried before a window is made larger.
_BORDERS: Final = 8

Merge = Callable[[bytes], list[int]]

# What a piece consists of, for those that are longer than a stretch.
_CASELESS: Final = r"\p{Lm}\p{Lo}\p{M}"
_uppers = _holding(regex.compile(rf"[\p{{Lu}}\p{{Lt}}{_CASELESS}]*+").match)
_lowers = _holding(regex.compile(rf"[\p{{Ll}}{_CASELESS}]*+").match)
_last_lower = _holding(regex.compile(rf"(?r)[\p{{Ll}}{_CASELESS}]").search)
_contraction = _holding(regex.compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?").match)
_digits = _holding(regex.compile(r"\p{N}{0,3}").match)
_marks = _holding(regex.compile(r"[^\s\p{L}\p{N}]*+").match)
_line_ends = _holding(regex.compile(r"[\r\n/]*+").match)
_spaces = _holding(regex.compile(r"\s*+").match)
_may_precede_letters = _holding(regex.compile(r"[^\r\n\p{L}\p{N}]").match)
_upper_tail = _holding(regex.compile(rf"(?r)[\p{{Lu}}\p{{Lt}}{_CASELESS}]*+").match)

# The last place in a text where it always falls apart, whatever comes before or after:
# no piece contains a space after something else, a line break before something else, or
# punctuation after a letter (but for an apostrophe).
_last_joint = _holding(
    regex.compile(r"(?r)(?<=\S)(?= )|(?<=[\r\n])(?=[^\s/])|(?<=\p{L})(?=[\p{P}\p{S}])(?!')").search
)

# Up to here merging by looking for the smallest rank again and again is the faster way.
_SHORT: Final = 64


def pieces(text: str) -> Iterable[str]:
    """The pieces within which bytes are merged; joined they are the text."""
    return chain.from_iterable(piece_lists(text))


def piece_lists(text: str) -> Iterator[list[str]]:
    """The pieces of the text, a list for each stretch of it; a longer one is a list of its own."""
    return _pieces_at_once(text) if len(text) <= _STRETCH else _pieces_by_stretch(text)


def _pieces_by_stretch(text: str) -> Iterator[list[str]]:
    at = 0
    while len(text) - at > _STRETCH:
        found, end = _settled_pieces(text[at : at + _STRETCH])
        if found:
            yield found
            at += end
        else:
            end = _piece_end(text, at)
            yield [text[at:end]]
            at = end
    yield from _pieces_at_once(text[at:])


def _pieces_at_once(text: str) -> Iterator[list[str]]:
    if text.isascii():
        yield ascii_pieces(text)
    elif len(text) <= _SHORT:
        yield _unicode_pieces(text)
    else:
        for line in _lines(text):
            yield ascii_pieces(line) if line.isascii() else _unicode_pieces(line)


def _settled_pieces(stretch: str) -> tuple[list[str], int]:
    """The first pieces of a text that begins with ``stretch``, whatever follows it, and where they end."""
    found = [*chain.from_iterable(_pieces_at_once(stretch))]
    end = len(stretch)
    # White space is divided by where it ends, and capitals by the small letter that may follow them.
    settled = min(len(stretch.rstrip()), _upper_tail(stretch).start() - 1)
    while found and (end > len(stretch) - _AHEAD or end - len(found[-1]) >= settled):
        end -= len(found.pop())
    return found, end


def _piece_end(text: str, start: int) -> int:
    """Where the piece ends that begins at ``start``: what the pattern finds, in bounded steps."""
    space = _run(_spaces, text, start)
    if space - start > 1:
        line_end = max(text.rfind("\n", start, space), text.rfind("\r", start, space)) + 1
        return line_end or (space if space == len(text) else space - 1)
    begins = (start + 1, start) if _may_precede_letters(text, start) else (start,)
    for begin in begins:
        if end := _with_lower(text, begin):
            return int(_contraction(text, end).end())
    for begin in begins:
        if (end := _run(_uppers, text, begin)) > begin:
            return int(_contraction(text, end).end())
    if (end := _digits(text, start).end()) > start:
        return int(end)
    begin = start + (text[start] == " ")
    if (end := _run(_marks, text, begin)) > begin:
        return _run(_line_ends, text, end)
    return space


def _with_lower(text: str, begin: int) -> int:
    """Where capitals and then at least one small letter end that begin at ``begin``; 0 for none."""
    upper = _run(_uppers, text, begin)
    if (lower := _run(_lowers, text, upper)) > upper:
        return lower
    while upper > begin:
        # Letters without case are both.
        step = max(begin, upper - _STRETCH)
        if found := _last_lower(text, step, upper):
            return int(found.end())
        upper = step
    return 0


def _run(match: Callable[..., Any], text: str, at: int) -> int:
    """Where the characters end that ``match`` takes from ``at`` on."""
    while True:
        step = at + _STRETCH
        at = match(text, at, step).end()
        if at < step:
            return at


def last_joint(text: str) -> int:
    """Where the text can be cut in two without changing its tokens: the last such place, or 0.

    Holds whatever stands before the text or will come after it.
    """
    found = _last_joint(text)
    return found.start() if found else 0


def merge(piece: bytes, ranks: Ranks) -> list[int]:
    """Where the tokens of a piece begin, and its length at the end."""
    if len(piece) <= _SHORT:
        return merge_short(piece, ranks)
    return [*token_starts(piece, window_merger(ranks)), len(piece)]


def window_merger(ranks: Ranks) -> Merge:
    """:func:`merge_long`, which remembers: what is the same all along is merged only once."""
    return lru_cache(_WINDOWS)(partial(merge_long, ranks=ranks))


def token_starts(piece: bytes, merged: Merge, most: int = NO_LIMIT) -> list[int]:
    """Where the tokens of a piece begin, of all or of more than ``most``; linear in the length.

    ``merged`` is a :func:`window_merger`.
    """
    width = _WINDOW
    while True:
        starts: list[int] = []
        try:
            for found in _windows(piece, merged, width):
                starts += found
                if len(starts) > most:
                    break
        except _TooNarrow:
            width *= 2
        else:
            return starts


class _TooNarrow(Exception):
    """Windows of this width cannot be joined."""


def _windows(piece: bytes, merged: Merge, width: int) -> Iterator[list[int]]:
    """Where the tokens of a piece begin, a list for each window of it.

    A sequence of tokens is the merged text exactly if each two neighbours are what their own bytes merge to.
    So windows are merged by themselves, and joined where that holds across their border.
    """
    begin, starts = 0, merged(piece[:width])
    while len(piece) - begin > width:
        # The last tokens of a window may be others once it is known what follows.
        keep = len(starts) - 1 - max(1, len(starts) // 8)
        for index in range(keep, max(keep - _BORDERS, 0), -1):
            before, border = begin + starts[index - 1], begin + starts[index]
            following = merged(piece[border : border + width])
            after = border + following[1]
            if merged(piece[before:after]) == [0, border - before, after - before]:
                yield [begin + start for start in starts[:index]]
                begin, starts = border, following
                break
        else:
            raise _TooNarrow
    yield [begin + start for start in starts[:-1]]


def merge_short(piece: bytes, ranks: Ranks, merged: list[int] | None = None) -> list[int]:
    """Merge the leftmost pair of the smallest rank until there is none; quadratic in the length.

    ``merged``, if given, receives the rank of every merge in turn.
    """
    rank_of = ranks.of
    starts = list(range(len(piece) + 1))
    pairs = ranks.of_pairs(piece)
    while pairs:
        rank = min(pairs)
        if rank == NO_RANK:
            break
        if merged is not None:
            merged.append(rank)
        i = pairs.index(rank)
        del starts[i + 1]
        del pairs[i]
        if i < len(pairs):
            pairs[i] = rank_of(piece[starts[i] : starts[i + 2]])
        if i:
            pairs[i - 1] = rank_of(piece[starts[i - 1] : starts[i + 1]])
    return starts


def merge_long(piece: bytes, ranks: Ranks) -> list[int]:
    """The same in n log n: all pairs of one rank at once, rank by rank.

    That is exact because in o200k a merged token never merges again at a lower rank, which
    ``scripts/build_ranks.py`` checks.
    """
    rank_of = ranks.of
    length = len(piece)
    following = list(range(1, length + 2))
    before = list(range(-1, length))
    pairs = ranks.of_pairs(piece)
    pairs.append(NO_RANK)
    places: dict[int, list[int]] = {}
    for i, rank in enumerate(pairs):
        if rank in places:
            places[rank].append(i)
        else:
            places[rank] = [i]
    places.pop(NO_RANK)
    order = list(places)
    heapify(order)
    dead = NO_RANK + 1
    while order:
        rank = heappop(order)
        for i in sorted(places.pop(rank)):
            if pairs[i] != rank:
                continue
            middle = following[i]
            end = following[middle]
            following[i] = end
            pairs[middle] = dead
            changed = [i]
            if end < length:
                before[end] = i
                pairs[i] = rank_of(piece[i : following[end]])
            else:
                pairs[i] = NO_RANK
            left = before[i]
            if left >= 0:
                pairs[left] = rank_of(piece[left:end])
                changed.append(left)
            for place in changed:
                new = pairs[place]
                if new == NO_RANK:
                    continue
                if new in places:
                    places[new].append(place)
                else:
                    places[new] = [place]
                    heappush(order, new)
    starts = [i for i in range(length) if pairs[i] != dead]
    starts.append(length)
    return starts
