"""The requests of both ChatKit dialects, and which of them the server takes.

Source: docs/design/gpt-oss-com.md, "Requests" and "Requests of the SDK".
"""

import logging
from contextlib import AsyncExitStack
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from ... import __version__
from ...core.errors import GatewayError, ThreadLost, UpstreamLoginRequired
from ...core.redaction import Redactor
from ...core.servers import SITE
from ...core.turn import Effort, Turn
from ...loop import beside
from ..attempts import post
from ..base import log_fields
from ..clock import TurnClock
from ..http import HttpClient, HttpResponse
from ..refusals import read_refusal
from ..retry_after import read_retry_after
from .credentials import Credentials
from .failures import failure_of_response, unreadable_login

Dialect = Literal["old", "new"]

ORIGIN: Final = "https://gpt-oss.com"
# OpenAI's own default where a client does not choose; the page's is "high".
DEFAULT_EFFORT: Final[Effort] = "medium"

# What a server answers to the other dialect's request: validation errors, or the public SDK's plain 500
# (docs/design/gpt-oss-com.md, "Requests of the SDK").
_WRONG_DIALECT: Final = frozenset({400, 415, 422, 500})
# What a server that checks the thread before it streams answers for one that it does not have.
_WRONG_THREAD: Final = frozenset({400, 404, 410, 422})

_log = logging.getLogger(__name__)

_encode: Final = msgspec.json.Encoder().encode


def encode_body(turn: Turn, text: str, dialect: Dialect) -> bytes:
    """The body that sends ``text``, to the turn's thread if it has one."""
    thread = turn.thread
    content = [{"type": "input_text", "text": text}]
    params: dict[str, Any]
    if dialect == "old":
        params = {"input": {"text": text, "content": content, "quoted_text": "", "attachments": []}}
        if thread is None:
            return _encode({"op": "threads.create", "params": params})
        params["threadId"] = thread.id
        return _encode({"op": "threads.addMessage", "params": params})
    params = {
        "input": {
            "content": content,
            "attachments": [],
            "quoted_text": "",
            "inference_options": {"model": turn.model},
        }
    }
    if thread is None:
        return _encode({"type": "threads.create", "params": params, "metadata": {}})
    params["thread_id"] = thread.id
    return _encode({"type": "threads.add_user_message", "params": params, "metadata": {}})


def request_headers(turn: Turn, cookie: str) -> dict[str, str]:
    """The headers of a turn; they choose model and effort anew each time."""
    headers = {
        "accept": "text/event-stream",
        "content-type": "application/json",
        "origin": ORIGIN,
        "referer": f"{ORIGIN}/",
        "user-agent": f"gptoss-api/{__version__}",
        "x-selected-model": turn.model,
        "x-reasoning-effort": turn.effort or DEFAULT_EFFORT,
        "x-show-reasoning": "true" if turn.show_reasoning else "false",
    }
    if cookie:
        headers["cookie"] = cookie
    return headers


class _Refused(Exception):
    """The site answered with something other than an event stream."""

    def __init__(self, status: int, failure: GatewayError) -> None:
        super().__init__(status)
        self.status = status
        self.failure = failure


class ChatKitRequests:
    """Sends turns to the ChatKit server at ``url`` with the login that is in use.

    ``dialect`` fixes the form of the requests; ``auto`` begins with the site's own and changes to the public
    SDK's when the server rejects it.
    """

    def __init__(
        self,
        http: HttpClient,
        url: str,
        credentials: Credentials,
        *,
        dialect: Literal["auto", "old", "new"],
        idle_timeout: float | None,
    ) -> None:
        self._http = http
        self._url = url
        self._credentials = credentials
        self._idle_timeout = idle_timeout
        self._negotiates = dialect == "auto"
        self._dialect: Dialect = "new" if dialect == "new" else "old"
        # Whether the server has taken a request in this dialect.
        self._confirmed = False
        self._redact = Redactor(credentials.secrets)
        self._redacted = credentials.secrets

    @property
    def redact(self) -> Redactor:
        """What blots the login out that is in use now."""
        if (secrets := self._credentials.secrets) != self._redacted:
            self._redact, self._redacted = Redactor(secrets), secrets
        return self._redact

    async def send(
        self, turn: Turn, text: str, connections: AsyncExitStack, clock: TurnClock
    ) -> HttpResponse:
        """The event stream that answers the turn, in whichever dialect the server takes."""
        self._credentials.follow(log_fields(turn))
        if unreadable := self._credentials.unreadable:
            raise UpstreamLoginRequired(unreadable_login(unreadable))
        thread = turn.thread
        if thread is not None and thread.account and thread.account != self._credentials.account:
            raise ThreadLost("The conversation belongs to another account at gpt-oss.com.")
        dialect = self._dialect
        try:
            return await self._post(turn, text, dialect, connections, clock)
        except _Refused as refusal:
            refused = refusal
        if self._may_be_wrong_dialect(refused.status):
            other: Dialect = "new" if dialect == "old" else "old"
            try:
                response = await self._post(turn, text, other, connections, clock)
            except _Refused:
                # Not the dialect then: the first refusal tells what is wrong.
                pass
            else:
                host = urlsplit(self._url).hostname
                _log.info("%s takes requests in the %s ChatKit dialect", host, other, extra=log_fields(turn))
                self._dialect = other
                return response
        if thread is not None and refused.status in _WRONG_THREAD:
            raise ThreadLost(refused.failure.message)
        raise refused.failure

    def _may_be_wrong_dialect(self, status: int) -> bool:
        # The public SDK's 500 says nothing about its cause; from a server that knows us it is a failure.
        if status == 500 and self._confirmed:
            return False
        return self._negotiates and status in _WRONG_DIALECT

    async def _post(
        self, turn: Turn, text: str, dialect: Dialect, connections: AsyncExitStack, clock: TurnClock
    ) -> HttpResponse:
        """Sends the request and returns the response if it is an event stream."""
        response = await post(
            self._http,
            self._url,
            headers=request_headers(turn, self._credentials.cookie_header()),
            body=await beside(turn.weight, encode_body, turn, text, dialect),
            connections=connections,
            clock=clock,
            idle_timeout=self._idle_timeout,
        )
        cookies = response.headers.get_all("set-cookie")
        if self._credentials.update_from_set_cookie(cookies, log_fields(turn)):
            self._credentials.save_refreshed(log_fields(turn))
        content_type = (response.headers.get("content-type") or "").lower()
        if response.status == 200 and (not content_type or "text/event-stream" in content_type):
            self._confirmed = True
            return response
        failure = await self._refusal(response, content_type, turn)
        await connections.aclose()
        raise _Refused(response.status, failure)

    async def _refusal(self, response: HttpResponse, content_type: str, turn: Turn) -> GatewayError:
        return failure_of_response(
            response.status,
            content_type,
            await read_refusal(response, SITE, self.redact, turn),
            retry_after=read_retry_after(response.headers),
            location=response.headers.get("location") or "",
            redact=self.redact,
        )
