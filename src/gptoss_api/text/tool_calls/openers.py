"""What stands at a ``<`` or a line's beginning and may open a call: tags, and Harmony's headers."""

from .blocks import Opening
from .bodies import BodyReading
from .contract import ParserConfig
from .harmony import (
    LONGEST_THOUGHT_END,
    THOUGHT_END,
    THOUGHT_END_PREFIXES,
    LeakedHeader,
    read_bare_header,
    read_header,
)
from .headers import TagHeader, read_tag, tag_end
from .judging import Judge
from .markers import MAX_HEADER, TAG, TAG_PREFIXES, TOKEN, TOKEN_PREFIXES, may_become
from .reading import SPACE


class OpenerReading(BodyReading):
    """Reads headers; ``keyed_only`` leaves those without the key as text."""

    def __init__(self, config: ParserConfig, judge: Judge, keyed_only: bool) -> None:
        super().__init__(config, judge)
        self._keyed_only = keyed_only
        self._thought = False  # Reasoning without tokens: it ends at a glued "assistantfinal".

    def _angle(self, text: str, at: int, final: bool) -> int:
        """What stands at a ``<``."""
        if self._tags and (found := TAG.match(text, at)):
            end, inside = tag_end(text, at, found.end())
            if end >= 0:
                return self._tag(text, at, end, read_tag(found[1].lower(), inside))
            if inside and not final:
                return at
        elif self._leaks and (token := TOKEN.match(text, at)):
            return self._token(text, at, token.end(), final)
        elif not final:
            if self._tags and may_become(text, at, TAG_PREFIXES):
                return at
            if self._leaks and may_become(text, at, TOKEN_PREFIXES):
                return at
        self._plain("<")
        return at + 1

    def _tag(self, text: str, at: int, end: int, header: TagHeader) -> int:
        raw = text[at:end]
        out = self._out
        keyed = header.key is not None and header.key == self.config.key and bool(self.config.key)
        may_start = keyed or (header.key is None and not self._keyed_only and out.line_start)
        if not may_start or (header.closed and not (keyed and header.name)):
            self._plain(raw)
            return end
        if header.kind == "wrapper" and not header.name:
            if self._wrapper:
                self._unwrap_text()
            self._wrapper = raw
            self._state = self._wrapped
            return end
        name = self._judge.names.find(header.name) if header.name else None
        if header.name and name is None:
            if keyed:
                out.problem("E_UNKNOWN_TOOL", f"no tool is called {header.name[:80]}")
            self._plain(raw)
            return end
        if header.closed and name is not None:
            return self._no_arguments(name, end)
        if not header.name and header.kind == "function":
            self._plain(raw)
            return end
        self._opening = Opening(self._wrapper + raw, name, keyed=keyed)
        self._wrapper = ""
        self._state = self._body
        return end

    def _wrapped(self, text: str, at: int, _final: bool) -> int:
        """After ``<tool_calls>``: calls follow, or a list of them, or it was only text."""
        most = at + MAX_HEADER + 1 - len(self._wrapper)
        begin = SPACE.match(text, at, most).end()  # type: ignore[union-attr]  # it also matches nothing
        self._wrapper += text[at:begin]
        far = begin == most
        if far or begin < len(text):
            self._state = self._after if self._out.calls else self._text
            if far or text[begin] not in "{[<":
                self._unwrap_text()
            elif text[begin] != "<":
                self._opening = Opening(self._wrapper, None, keyed=False)
                self._wrapper = ""
                self._state = self._body
        return begin

    def _token(self, text: str, at: int, end: int, final: bool) -> int:
        """A leaked Harmony token: a header, or one that is simply dropped."""
        if not text.startswith(("<|start|>", "<|channel|>"), at):
            return end
        header = read_header(text, at, final)
        if header is None:
            return at
        if not isinstance(header, LeakedHeader):
            return end
        if header.role and not header.role.startswith("assistant"):
            self._out.problem("E_HALLU", f"the model went on as {header.role.split()[0][:40]}")
            self._stop("the model went on alone")
            return header.end
        if header.recipient and (name := self._judge.names.find(header.recipient)):
            return self._open_json(text[at : header.end], name, header.end, native=True)
        if header.recipient:
            self._out.problem("E_UNKNOWN_TOOL", f"no tool is called {header.recipient[:80]}")
        elif header.channel == "analysis":
            self._thought = False
            self._state = self._thinking
        elif header.channel:
            self._out.answer()
        return header.end

    def _bare_line(self, text: str, at: int, final: bool) -> int:
        # A thought may draft a call; only one with its tokens was meant.
        called = self._leaks and self._judge.names and not self._out.thought
        header = read_bare_header(text, at, final) if called else False
        if header is None:
            return at
        if isinstance(header, LeakedHeader):
            name = self._judge.names.find(header.recipient or "")
            if name:
                return self._open_json(text[at : header.end], name, header.end, native=True)
        self._plain(text[at])
        return at + 1

    def _thinking(self, text: str, at: int, final: bool) -> int:
        """Leaked reasoning, up to the next token or glued role."""
        search = at
        while found := THOUGHT_END.search(text, search):
            begin = found.start()
            if text[begin] == "<":
                if TOKEN.match(text, begin):
                    break
                if not final and may_become(text, begin, TOKEN_PREFIXES):
                    self._out.reasoning(text[at:begin])
                    return begin
            elif self._thought:
                break
            search = begin + 1
        if found:
            begin = found.start()
            self._out.reasoning(text[at:begin])
            self._out.line_start = True
            self._state = self._after if self._out.calls else self._text
            if text[begin] == "a" and text.startswith("assistantfinal", begin):
                self._out.answer()
                return begin + len("assistantfinal")
            return begin
        keep = len(text)
        if not final:
            tail = max(at, keep - LONGEST_THOUGHT_END)
            keep = next(
                (
                    i
                    for i in range(tail, keep)
                    if text[i:] in THOUGHT_END_PREFIXES
                    or (text[i] == "<" and may_become(text, i, TOKEN_PREFIXES))
                ),
                keep,
            )
        self._out.reasoning(text[at:keep])
        return keep
