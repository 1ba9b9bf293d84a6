"""Whether what was read is a call: names, schemas, and the rules for blocks without the key."""

import json
import re
from typing import Any

from msgspec import Struct

from .contract import DeclaredTool, ParserConfig
from .headers import ToolNames
from .markers import MAX_HEADER
from .shapes import WRAPPER_KEYS, Calls, decode, expression_calls, message_calls, read_strict, unwrap


class Verdict(Struct, frozen=True):
    """Calls as (shown name, arguments' JSON text), and what a strict tool's schema says against them."""

    calls: tuple[tuple[str, str], ...]
    complaint: str = ""


class Judge:
    """Judges blocks by one request's tools; the client's text is normalised once, when first needed."""

    def __init__(self, config: ParserConfig) -> None:
        self.config = config
        shown = () if config.mode == "none" else config.tools
        self.names = ToolNames(
            (name for name in shown if not config.names or name in config.names), config.clients
        )
        self.required = config.mode in ("required", "named")
        self._client: str | None = None
        key = re.escape(config.key) if config.key else r"\Z.\Z"
        other = rf"[^<>]{{0,{MAX_HEADER}}}"
        self._keyed_opener = re.compile(rf"<tool[_-]call\s{other}{key}{other}>", re.IGNORECASE)

    def tool(self, name: str) -> DeclaredTool:
        return self.config.tools[name]

    def bare_tool(self) -> str | None:
        """The tool whose bare arguments may be the whole answer (form J2)."""
        return self.names.only() if self.required else None

    def streams(self, name: str, first_key: str) -> bool:
        """Whether an object with this first key can only be the tool's arguments."""
        if first_key not in WRAPPER_KEYS:
            return True
        return first_key not in ("name", "function") and first_key in self._properties(name)

    def keyed(self, name: str | None, value: Any, written: str) -> Verdict | None:
        """The calls of a block that need not validate; ``written`` is its strict JSON text."""
        if name is not None:
            return self.named(name, value, written)
        calls = unwrap(_loosened(value), self.names)
        return self._delivered(calls, "") if calls else None

    def named(self, name: str, value: Any, written: str) -> Verdict:
        """The same of a block whose header names the tool."""
        if isinstance(value, str | list):
            value, written = _loosened(value), ""
        if value is None:
            value, written = {}, "{}"
        wrapped = unwrap(value, self.names, name)
        first = next(iter(value), "") if isinstance(value, dict) else ""
        as_is: Calls = [(name, value)]
        order = (
            [as_is, wrapped]
            if self.streams(name, first) or first in self._properties(name)
            else [wrapped, as_is]
        )
        complaint = ""
        for calls in order:
            if not calls or not all(isinstance(arguments, dict) for _, arguments in calls):
                continue
            try:
                return self._mended(calls, written if calls is as_is else "", value)
            except ValueError as error:
                complaint = complaint or str(error) or "the arguments do not fit the schema"
        if not isinstance(value, dict) and wrapped is None:
            complaint = complaint or "the arguments are not an object"
        chosen = wrapped if wrapped and order[0] is wrapped else as_is
        told = any(self.tool(called).strict or not isinstance(given, dict) for called, given in chosen)
        return self._delivered(chosen, complaint if told else "", written if chosen is as_is else "")

    def unkeyed(self, calls: Calls | None, raw: str) -> Verdict | None:
        """The calls of a block without the key: every one must validate, and it must be no echo."""
        if not calls or self._is_echo(raw) or self.swallowed_call(raw) >= 0:
            return None
        try:
            return self._mended(calls, "", None)
        except ValueError:
            return None

    def swallowed_call(self, raw: str) -> int:
        """Where in an unkeyed block a real call begins: broken quotes made it part of a string; else -1."""
        found = self._keyed_opener.search(raw, 1)
        return found.start() if found else -1

    def message(self, text: str) -> Verdict | None:
        """The calls that a whole message (or a fence's content) is: J1, J2 and J3."""
        if verdict := self.unkeyed(message_calls(text, self.names), text):
            return verdict
        if not self.required:
            return None
        if verdict := self.unkeyed(expression_calls(text, self.names), text):
            return verdict
        name = self.bare_tool()
        if name is None:
            return None
        try:
            value = decode(text)
        except ValueError:
            return None
        return self.unkeyed([(name, value)], text) if isinstance(value, dict) else None

    def valid(self, name: str, json_text: str) -> bool:
        """Whether arguments that were completed by closing brackets may be delivered."""
        try:
            value = read_strict(json_text)
            self._mend(name, value)
        except ValueError:
            return False
        return isinstance(value, dict)

    def _mended(self, calls: Calls, written: str, value: Any) -> Verdict:
        texts = []
        for name, arguments in calls:
            mended = self._mend(name, arguments)
            same = bool(written) and mended == value
            texts.append((name, written if same else json.dumps(mended, ensure_ascii=False)))
        return Verdict(tuple(texts))

    def _mend(self, name: str, arguments: Any) -> Any:
        try:
            return self.config.mend(name, arguments)
        except RecursionError:
            raise ValueError("the arguments are nested too deeply") from None

    def _delivered(self, calls: Calls, complaint: str, written: str = "") -> Verdict:
        return Verdict(
            tuple((name, written or json.dumps(value, ensure_ascii=False)) for name, value in calls),
            complaint,
        )

    def _properties(self, name: str) -> Any:
        schema = self.tool(name).schema
        properties = schema.get("properties") if schema else None
        return properties if isinstance(properties, dict) else {}

    def _is_echo(self, raw: str) -> bool:
        if self._client is None:
            text = self.config.client_text
            self._client = "".join((text if isinstance(text, str) else text()).split())
        return "".join(raw.split()) in self._client


def _loosened(value: Any) -> Any:
    """The object inside a one-item list or inside JSON text, else the value itself."""
    inner = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(inner, str):
        try:
            inner = decode(inner)
        except ValueError:
            return value
    return inner if isinstance(inner, dict | list) else value
