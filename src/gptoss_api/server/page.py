"""The page for people at ``/ui``: its files as they are served."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from msgspec import Struct

from ..core.errors import NotFound
from .exchange import Exchange
from .request import RawHeaders

# Nothing but the page's own files runs or is shown, and it talks to nothing but this gateway: what a model
# writes stays text even where the page had a hole.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SHELL: Final = "index.html"
_KINDS: Final = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_COMMON: Final[RawHeaders] = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    # Kept, and asked after each time: an update of the gateway shows at once.
    (b"cache-control", b"no-cache"),
)


class PageFile(Struct, frozen=True):
    """One file of the page with the value of its ``ETag``."""

    body: bytes
    etag: bytes
    kind: bytes


@cache
def _page_files() -> dict[str, PageFile]:
    found = {}
    for entry in (files("gptoss_api.web") / "ui").iterdir():
        kind = _KINDS.get(f".{entry.name.rpartition('.')[2]}")
        if kind is not None:
            body = entry.read_bytes()
            found[entry.name] = PageFile(body, b'"%b"' % sha256(body).hexdigest()[:32].encode(), kind)
    return found


def prefers_page(accept: str | None) -> bool:
    """Whether who sends this ``Accept`` wants to look rather than to read data: browsers name HTML first."""
    return accept is not None and accept.partition(",")[0].partition(";")[0].strip().lower() == "text/html"


def lead_to_page(exchange: Exchange) -> None:
    """Answers a browser at the root; relative, so that it holds behind a proxy that adds a prefix."""
    exchange.respond(303, b"", [(b"location", b"ui"), (b"vary", b"accept"), (b"cache-control", b"no-cache")])


async def show_page(exchange: Exchange) -> None:
    """Answers with the page itself."""
    _serve(exchange, _page_files()[_SHELL])


async def show_page_file(exchange: Exchange) -> None:
    """Answers with one of its files.

    Raises:
        NotFound: where it has none of that name.
    """
    name = exchange.parameters["file"]
    prefix, _, rest = name.partition("/")
    if prefix == "ui" and rest in _page_files():
        # The page was opened as /ui/, from where its links lead one step too deep.
        exchange.respond(303, b"", [(b"location", b"../%b" % rest.encode()), *_COMMON])
        return
    file = _page_files().get(name)
    if file is None:
        raise NotFound("The page at /ui has no file of this name.")
    _serve(exchange, file)


def _serve(exchange: Exchange, file: PageFile) -> None:
    headers = [*_COMMON, (b"etag", file.etag)]
    if _is_known(exchange.record.headers.get("if-none-match", ""), file.etag.decode()):
        exchange.start(304, headers, sized=True)
        exchange.end()
        return
    exchange.respond(200, file.body, [(b"content-type", file.kind), *headers])


def _is_known(if_none_match: str, etag: str) -> bool:
    """RFC 9110, section 13.1.2: a list of tags, compared weakly, or any."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags
