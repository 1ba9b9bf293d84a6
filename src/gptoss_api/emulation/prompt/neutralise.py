"""Client text made safe to stand inside a prompt, and answers made into client text again.

Two kinds of markup must not be forged: the model's own control tokens (``<|start|>`` …, which some
backends would read as real ones) and the gateway's transport tags inside the transcript. Both escapes
add exactly one level and :class:`Restorer` takes exactly one off, so text that a model copies comes back
as it was, also where it was escaped to begin with. Source: docs/design/emulation.md, "Client text".
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

import regex
from msgspec import Struct

from ...text.memo import Memo

_CONTROL: Final = (
    r"(?:start|end|message|channel|constrain|return|call"
    r"|endoftext|endofprompt|startoftext|reserved_[0-9]{1,7})"
)
# "message" only as the gateway writes it: <Message> is a common component in code.
_NAME: Final = r"/?(?:message|(?i:tool[_\-\u2011 ]?(?:calls?|results?)))"
_TAG: Final = rf"{_NAME}(?![A-Za-z0-9_\-])"

# Backslashes already there are matched so that every level of escaping stays distinct; inside JSON
# each of them is written twice.
_TOKEN: Final = re.compile(rf"<(\\{{0,15}})\|({_CONTROL})(\\{{0,15}})\|>")
_JSON_TOKEN: Final = re.compile(rf"<((?:\\\\){{0,15}})\|({_CONTROL})((?:\\\\){{0,15}})\|>")
_OPENER: Final = re.compile(rf"<(?={_TAG})")
_ENTITY: Final = re.compile(rf"&((?:amp;){{0,15}})lt;(?={_TAG})")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")

# Longer texts are gone through in steps: one replacement over megabytes would stop every other thread.
_STEP: Final = 1 << 16
# Characters a name is made from.
_NAME_PART: Final = 1_024
# Bytes of texts that are remembered with what became of them, and what one takes beside itself.
_REMEMBERED: Final = 2 * 1024 * 1024
# Shorter ones are cleaned as fast as they are found.
_LONG: Final = 512
_BESIDE: Final = 300


def tidy(text: str) -> str:
    """``text`` with LF line ends, without NUL, and with U+FFFD for lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "")
    if "\r\n" in text:
        text = text.replace("\r\n", "\n")
    if not text.isascii() and _SURROGATE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def neutralise(text: str, *, json: bool = False) -> str:
    r"""``<|start|>`` → ``<\|start\|>``: as readable, but no control token for any backend.

    ``json`` doubles the backslashes, so that JSON text stays JSON.
    """
    if "|>" not in text:
        return text
    if json:
        return _replaced(_JSON_TOKEN, r"<\1\\\\|\2\3\\\\|>", text, "<")
    return _replaced(_TOKEN, r"<\1\\|\2\3\\|>", text, "<")


def escape_tags(text: str) -> str:
    """``<tool_result`` → ``&lt;tool_result``, likewise every transport tag and its closer; no other ``<``."""
    if "lt;" in text:
        text = _replaced(_ENTITY, r"&\1amp;lt;", text, "&")
    if "<" in text:
        text = _replaced(_OPENER, "&lt;", text, "<")
    return text


def _replaced(pattern: re.Pattern[str], replacement: str, text: str, first: str) -> str:
    """``text`` with every match replaced. Matches begin with ``first`` and do not have it anywhere else."""
    if len(text) <= _STEP:
        return pattern.sub(replacement, text)
    pieces: list[str] = []
    at = 0
    while at < len(text):
        end = at + _STEP
        if end < len(text) and (begin := text.rfind(first, at + 1, end)) > 0:
            end = begin
        pieces.append(pattern.sub(replacement, text[at:end]))
        at = end
    return "".join(pieces)


def _is_clean(text: str) -> bool:
    """Whether there is surely nothing in ``text`` to make safe or tidy."""
    return "<" not in text and "lt;" not in text and text.isascii() and "\0" not in text and "\r" not in text


class _Cleaned(Struct, frozen=True, gc=False):
    """A text without control tokens, the same with tags ``escaped``, and whether it had control tokens."""

    clean: str
    escaped: str
    control_tokens: bool


# By text, and whether it is JSON: a conversation that grows is cleaned to its end with every request.
_cleaned: Final[Memo[tuple[str, bool], _Cleaned]] = Memo(_REMEMBERED)


class ClientText(Struct):
    """Cleans every piece of client text of one prompt and remembers what it saw.

    ``control_tokens`` and ``tags`` say that something was escaped, hence that answers must be restored.
    """

    control_tokens: bool = False
    tags: bool = False
    _seen: list[str] = []

    def plain(self, text: str, *, json: bool = False) -> str:
        """Text for outside the transcript: only control tokens are neutralised."""
        if "|>" not in text and text.isascii() and "\0" not in text and "\r" not in text:
            self._seen.append(text)
            return text
        tidied = tidy(text)
        clean = neutralise(tidied, json=json)
        self.control_tokens |= clean is not tidied and clean != tidied
        self._seen.append(clean)
        return clean

    def inside(self, text: str, *, json: bool = False) -> str:
        """Text for inside the transcript or the tool list: transport tags are escaped as well."""
        if _is_clean(text):
            self._seen.append(text)
            return text
        found = _cleaned.get((text, json)) if len(text) >= _LONG else None
        if found is None:
            tidied = tidy(text)
            clean = neutralise(tidied, json=json)
            found = _Cleaned(clean, escape_tags(clean), clean != tidied)
            if len(text) >= _LONG:
                _cleaned.put((text, json), found, 2 * len(text) + _BESIDE)
        self.include(found.clean, control_tokens=found.control_tokens, tags=found.escaped != found.clean)
        return found.escaped

    def include_clean(self, texts: Iterable[str]) -> bool:
        """Counts ``texts`` as part of this prompt if :meth:`inside` would leave all as they are."""
        text = "\n".join(texts)
        if clean := _is_clean(text):
            self._seen.append(text)
        return clean

    def attribute(self, text: str) -> str:
        """Text for a quoted attribute: one line of at most 64 characters, no quotes, no brackets."""
        line = " ".join(tidy(text[:_NAME_PART]).split())[:64]
        return self.plain(line.replace('"', "'").replace("<", "(").replace(">", ")"))

    def include(self, text: str, *, control_tokens: bool, tags: bool) -> None:
        """Counts ``text``, cleaned earlier, as part of this prompt."""
        self.control_tokens |= control_tokens
        self.tags |= tags
        self._seen.append(text)

    def contains(self, needle: str) -> bool:
        # What is sought has no line break.
        return needle in "\n".join(self._seen)


_ENTITY_TAG: Final = regex.compile(rf"&(?:amp;){{0,16}}lt;{_NAME}")


@cache
def _escaped(json: bool, control_tokens: bool, tags: bool) -> "regex.Pattern[str]":
    """The escaped forms that are taken back."""
    bar = r"\\\\" if json else r"\\"
    # Models copy the escape without doubling its backslash, which JSON does not know.
    mark = r"\\{1,2}" if json else bar
    token = rf"<{mark}(?P<a>(?:{bar}){{0,15}})\|(?P<name>{_CONTROL}){mark}(?P<b>(?:{bar}){{0,15}})\|>"
    entity = rf"&(?P<amp>(?:amp;){{0,16}})lt;(?={_TAG})"
    if control_tokens and tags:
        return regex.compile(f"{token}|{entity}")
    return regex.compile(entity if tags else token)


def _token_restored(match: "regex.Match[str]") -> str:
    return f"<{match['a']}|{match['name']}{match['b']}|>"


def _entity_restored(match: "regex.Match[str]") -> str:
    return f"&{match['amp'][4:]}lt;" if match["amp"] else "<"


def _either_restored(match: "regex.Match[str]") -> str:
    return _token_restored(match) if match["name"] is not None else _entity_restored(match)


# The longest escaped form, with what is looked at behind it; no more than this is ever held back.
_LONGEST: Final = 128


class Restorer:
    """Takes the escapes of :class:`ClientText` off an answer, in pieces of any size.

    ``json`` is for the JSON text of a call's arguments; ``control_tokens`` and ``tags`` say which escapes
    were made. What could still become an escaped form is held back: a few characters after ``<`` or ``&``.
    """

    def __init__(self, *, json: bool = False, control_tokens: bool = True, tags: bool = True) -> None:
        self._pattern = _escaped(json, control_tokens, tags)
        self._restored = (
            _either_restored if control_tokens and tags else _entity_restored if tags else _token_restored
        )
        self._control_tokens = control_tokens
        self._tags = tags
        self._held = ""

    def feed(self, text: str) -> str:
        if self._held:
            text = self._held + text
            self._held = ""
        elif "<" not in text and "&" not in text:
            return text
        start = self._undecided(text)
        if start < len(text):
            self._held = text[start:]
            text = text[:start]
        return str(self._pattern.sub(self._restored, text))

    def finish(self) -> str:
        text, self._held = self._held, ""
        return str(self._pattern.sub(self._restored, text))

    def _undecided(self, text: str) -> int:
        """Where the tail begins whose meaning depends on what follows."""
        position = text.rfind("<", -_LONGEST) if self._control_tokens else -1
        if (
            position >= 0
            and (match := self._pattern.fullmatch(text, position, partial=True))
            and match.partial
        ):
            return position
        position = text.rfind("&", -_LONGEST) if self._tags else -1
        # A tag is decided only by the character after it: a letter makes it another word.
        if position >= 0 and _ENTITY_TAG.fullmatch(text, position, partial=True):
            return position
        return len(text)


def restore(text: str, *, json: bool = False, control_tokens: bool = True, tags: bool = True) -> str:
    """The whole of ``text`` through a :class:`Restorer`."""
    restorer = Restorer(json=json, control_tokens=control_tokens, tags=tags)
    return restorer.feed(text) + restorer.finish()
