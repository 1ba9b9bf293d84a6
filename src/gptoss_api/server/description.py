"""The API's own description: ``/openapi.json`` and a page that shows it, without any other host."""

from importlib.resources import files

from starlette.types import Receive, Scope, Send

from .exchange import send_json
from .surface import Surface

# Everything the page needs is inside it; it talks to nothing but this gateway.
_PAGE_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def openapi_description(surface: Surface, scope: Scope, receive: Receive, send: Send) -> None:
    await send_json(send, 200, surface.openapi())


async def docs_page(scope: Scope, receive: Receive, send: Send) -> None:
    page = (files("gptoss_api.web") / "docs.html").read_bytes()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % len(page)),
        (b"content-security-policy", _PAGE_POLICY),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": page, "more_body": False})
