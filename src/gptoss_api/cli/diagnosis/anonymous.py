"""A turn as it went over the wire, made fit to be shown to strangers.

Only what is known to tell nothing about anybody stays: names of fields, words of the protocols, sizes and
times. Letters of texts become x, digits 0; identifiers become numbered, alike where they were alike.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from ...access.origins import is_loopback
from ...core.servers import is_public
from ...upstreams.http.recording import RecordedExchange
from ...upstreams.openai.models import canonical_id


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Headers whose values are of the protocol, and what they look like; of all others only the names stay.
_HTTP_DATE: Final = r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT"
_MEDIA: Final = r"[a-z*]{1,20}/[a-z0-9.+*-]{1,40}(?:; ?[a-z]{1,20}=[A-Za-z0-9-]{1,20})?"
_PLAIN_HEADERS: Final = {
    **dict.fromkeys(("accept", "content-type"), re.compile(_MEDIA)),
    **dict.fromkeys(("date", "expires"), re.compile(_HTTP_DATE)),
    **dict.fromkeys(("content-length", "retry-after"), re.compile(r"\d{1,12}")),
    "x-selected-model": re.compile(r"gpt-oss-(?:safeguard-)?\d{2,3}b"),
}
_WORDED_HEADERS: Final = _set(
    "accept-encoding cache-control connection content-encoding pragma transfer-encoding vary "
    "x-accel-buffering x-reasoning-effort x-show-reasoning"
)
# Fields that say what kind of thing something is: new kinds are what a report is about.
_KINDS: Final = frozenset({"type", "op", "object", "role", "event", "channel"})
_KIND: Final = re.compile(r"[a-z]{1,24}(?:[._][a-z]{1,24}){0,5}")
# Fields with words that are read as such; of these only known words stay.
_WORDED: Final = _set(
    "code detail done_reason effort error finish_reason format level message msg native_finish_reason "
    "reason refusal service_tier status stop_reason title value label"
)
# Objects whose fields have names that somebody chose.
_FREE: Final = _set("metadata properties arguments headers labels user account extra logit_bias")
_FIELD: Final = re.compile(r"[A-Za-z_$][A-Za-z_]{0,40}")
_IDENTIFIER: Final = re.compile(r"[a-z]{2,12}[_-][0-9A-Za-z_-]{4,}|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}")
# What identifiers of the protocols begin with, beside those of accounts.
_PREFIXES: Final = _set("thr msg rs resp chatcmpl cmpl call fc gen req wf tsk ctc item rea run atc")
_SEGMENTS: Final = _set(
    "v1 v1beta v2 v3 v4 api openai ai chat completions responses models chatkit client deployments "
    "inference run messages generate tags show accounts"
)
# Public services with a host for each customer.
_CUSTOMERS: Final = (".openai.azure.com", ".services.ai.azure.com", ".ml.cloud.ibm.com")
_LARGEST_NUMBER: Final = 1_000_000
# Characters of a body that is neither JSON nor a stream.
_LONGEST_PAGE: Final = 4_000

_VOCABULARY: Final = _set(
    """
    a about accept access account active added again all allowed already an and api are as assistant at
    auth authentication authorization authorized available bad be been before billing body br browser
    but by call calls cannot captcha card challenge change chat check chunked close closed cloudflare
    code complete completed completion connection content context continue cookie cot could create
    created credential credentials credit credits current custom daily day days deflate delta denied
    detail details did disabled div doctype does done down due empty enable encoding end ended entry
    error exceed exceeded exhausted exist expected expired face failed failure false field file filter
    first for forbidden found free from function gateway generate generating given go good gpt gpt-oss
    gzip had has have head header high hit hour hours html hugging id identity if in incomplete
    incorrect input insufficient internal invalid is it item items json just keep-alive key known length
    level limit limited limits list load loaded locked log login long low many max-age maximum medium
    message messages meta minute minutes missing model models moment more must name needed new nginx no
    no-cache no-store none not null number object occurred of off on one only open or origin oss other
    out output overloaded page parameter parse part passed pending per permission please policy private
    processing progress prompt properties protocol provider quota rate reach reached read reason
    reasoning recap received refused remaining request requests required reset resource response
    responses retry role schema script second seconds see send server service session show sign signed
    start status step stop stream string structured style successful supported system take task
    temporarily text than that the then there thinking this thought thread time timeout title to token
    tokens too tool tools true try type unable unauthenticated unauthorized unavailable unexpected
    unknown unsupported until up update updated upgrade usage use used user uvicorn valid value values
    verify wait was way we web were when widget with without wrong you your zstd
    """
)
_WORD: Final = re.compile(r"[^\W_]+(?:-[^\W_]+)?")


class Anonymizer:
    """Makes texts, JSON and whole exchanges anonymous, with one numbering of identifiers for all of them."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def exchange(self, recorded: RecordedExchange) -> dict[str, Any]:
        """One request and its answer, with each line of the body and the sizes of the reads."""
        return {
            "request": {
                "method": recorded.method,
                "url": self.url(recorded.url),
                "headers": self._headers(recorded.headers.items()),
                "body": self._body(recorded.body),
            },
            "response": {
                "status": recorded.status,
                "headers": self._headers(recorded.response_headers),
                "lines": self.lines(recorded.response_body),
                "reads": [f"{after:.3f} s: {len(piece)} bytes" for after, piece in recorded.reads],
            },
        }

    def url(self, url: str) -> str:
        """An address of a public service, of others only what kind of path they have."""
        parts = urlsplit(url)
        path = "/".join(
            segment if not segment or segment in _SEGMENTS else "x" for segment in parts.path.split("/")
        )
        return f"{parts.scheme}://{_host(parts.hostname or '')}{path}{'?x' if parts.query else ''}"

    def lines(self, body: bytes) -> list[str]:
        """The lines of a body: a stream of events, JSON, or a page."""
        text = body.decode("utf-8", "replace")
        if (whole := self._json(text)) is not None:
            return [whole]
        split = text.splitlines()
        if any(line.startswith(("data:", "event:", "{")) for line in split):
            return [self._line(line) for line in split]
        return self.words(text[:_LONGEST_PAGE]).splitlines()

    def text(self, text: str) -> str:
        """A text of the same shape that says nothing."""
        return "".join(map(_blank, text))

    def words(self, text: str) -> str:
        """A text of which the words stay that errors of servers are made of."""
        return _WORD.sub(lambda word: word[0] if word[0].lower() in _VOCABULARY else self.text(word[0]), text)

    def json(self, value: Any, name: str = "", *, free: bool = False) -> Any:
        """JSON of the same shape; ``name`` is the field that it is the value of."""
        if isinstance(value, dict):
            inside = free or name in _FREE
            return {
                self._field(key, free=inside): self.json(member, "" if inside else key, free=inside)
                for key, member in value.items()
            }
        if isinstance(value, list):
            return [self.json(member, name, free=free) for member in value]
        if isinstance(value, str):
            return self._string(value, name)
        if isinstance(value, bool) or value is None or abs(value) < _LARGEST_NUMBER:
            return value
        return type(value)(0)

    def _string(self, value: str, name: str) -> str:
        if name == "model":
            return canonical_id(value) or self.text(value)
        if name in _KINDS and _KIND.fullmatch(value):
            return value
        if name in _WORDED:
            return self.words(value)
        if _is_id(name) or _IDENTIFIER.fullmatch(value):
            prefix = re.split("[_-]", value, maxsplit=1)[0]
            return self._numbered(value, prefix if prefix in _PREFIXES else "id")
        return self.text(value)

    def _field(self, name: str, *, free: bool) -> str:
        if free or not _FIELD.fullmatch(name):
            return self._numbered(name, "field")
        return name

    def _numbered(self, value: str, prefix: str) -> str:
        if not value:
            return value
        return self._known.setdefault(value, f"{prefix}_{len(self._known) + 1}")

    def _headers(self, headers: Iterable[tuple[str, str]]) -> list[str]:
        return [f"{name}: {self._header(name.lower(), value)}" for name, value in headers]

    def _header(self, name: str, value: str) -> str:
        if name in _WORDED_HEADERS:
            return self.words(value)
        plain = _PLAIN_HEADERS.get(name)
        return value if plain is not None and plain.fullmatch(value) else "(removed)"

    def _body(self, body: bytes) -> Any:
        text = body.decode("utf-8", "replace")
        try:
            return self.json(json.loads(text))
        except (ValueError, RecursionError):
            return self.text(text)

    def _json(self, text: str) -> str | None:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return json.dumps(self.json(value), separators=(",", ":"), ensure_ascii=False)

    def _line(self, line: str) -> str:
        field, colon, value = line.partition(":")
        value, space = value.removeprefix(" "), " " if value.startswith(" ") else ""
        if line.startswith("{"):
            return self._json(line) or self.text(line)
        if not field and colon:
            return f":{space}{self.words(value)}"
        match field:
            case "data":
                shown = value if value == "[DONE]" else self._json(value) or self.text(value)
            case "event":
                shown = value if _KIND.fullmatch(value) else self.text(value)
            case "id":
                shown = self._string(value, "id")
            case "retry":
                shown = self.text(value)
            case _:
                return self.text(line)
        return f"{field}{colon}{space}{shown}"


def _blank(char: str) -> str:
    if char.isdigit():
        return "0"
    if char.isascii() and not char.isalpha():
        return char
    if char.isalpha():
        return "X" if char.isupper() else "x"
    # Typographic marks stay, symbols and whatever else do not.
    return char if char in "\u2010\u2011\u2012\u2013\u2014\u2018\u2019\u201c\u201d\u2026\u00a0" else "x"


def _is_id(name: str) -> bool:
    return name == "id" or name.endswith(("_id", "Id", "_ids", "Ids", "fingerprint", "token"))


def _host(host: str) -> str:
    customers = next((suffix for suffix in _CUSTOMERS if host.endswith(suffix)), None)
    if customers is not None:
        return f"x{customers}"
    return host if is_public(host) or is_loopback(host) else "host"
