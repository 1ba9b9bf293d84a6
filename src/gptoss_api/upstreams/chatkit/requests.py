"""The gpt-oss.com website: one text per turn, in whichever ChatKit dialect the server takes.

Source: docs/design/gpt-oss-com.md, "Requests" and "Requests of the SDK".
"""

import logging
from collections.abc import Coroutine, Mapping
from functools import lru_cache
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from ... import __version__
from ...core.errors import (
    GatewayError,
    InternalError,
    InvalidValue,
    ThreadLost,
    UpstreamEmpty,
    UpstreamIncomplete,
    UpstreamLoginRequired,
)
from ...core.events import Started
from ...core.redaction import Redactor
from ...core.servers import SERVER_KINDS, SITE
from ...core.turn import Effort, Turn, UserMessage
from ...loop import LIGHT, beside, in_thread
from ..admission import Admission
from ..attempts import post, read_refusal, retry_pause
from ..base import BOTH_MODELS, Capabilities, ServedModel, check_usual, log_fields
from ..client import UpstreamClient
from ..clock import TurnClock
from ..health import LOOK_TIME
from ..http import HttpClient, HttpResponse
from ..reading import StreamReader
from ..retry_after import read_retry_after
from .credentials import Credentials
from .failures import LOGIN_STEP, failure_of_response, unreadable_login
from .wire import ChatKitWire

Dialect = Literal["old", "new"]

ORIGIN: Final = "https://gpt-oss.com"
# OpenAI's own default where a client does not choose; the page's is "high".
DEFAULT_EFFORT: Final[Effort] = "medium"

_EVENT_STREAM: Final = "text/event-stream"
# What a server answers to the other dialect's request: validation errors, or the public SDK's plain 500
# (docs/design/gpt-oss-com.md, "Requests of the SDK").
_WRONG_DIALECT: Final = frozenset({400, 415, 422, 500})
# What a server that checks the thread before it streams answers for one that it does not have.
_WRONG_THREAD: Final = frozenset({400, 404, 410, 422})

# How long the end of a stream may take after the answer before its connection is given up, in seconds.
DRAIN_TIME: Final = 3.0

_log = logging.getLogger(__name__)

_encode: Final = msgspec.json.Encoder().encode
# Texts from this length on are written once and copied.
_LONG: Final = 2_048


def encode_body(turn: Turn, text: str, dialect: Dialect) -> bytes:
    """The body that sends ``text``, to the turn's thread if it has one."""
    thread = turn.thread
    # It stands there twice, and may be long.
    said = text if len(text) < _LONG else msgspec.Raw(_encode(text))
    content = [{"type": "input_text", "text": said}]
    params: dict[str, Any]
    if dialect == "old":
        params = {"input": {"text": said, "content": content, "quoted_text": "", "attachments": []}}
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


def request_headers(turn: Turn, cookie: str) -> Mapping[str, str]:
    """The headers of a turn; they choose model and effort anew each time."""
    return _headers(turn.model, turn.effort or DEFAULT_EFFORT, turn.show_reasoning, cookie)


@lru_cache(16)
def _headers(model: str, effort: Effort, show_reasoning: bool, cookie: str) -> Mapping[str, str]:
    headers = {
        "accept": _EVENT_STREAM,
        "content-type": "application/json",
        "origin": ORIGIN,
        "referer": f"{ORIGIN}/",
        "user-agent": f"gptoss-api/{__version__}",
        "x-selected-model": model,
        "x-reasoning-effort": effort,
        "x-show-reasoning": "true" if show_reasoning else "false",
    }
    if cookie:
        headers["cookie"] = cookie
    return headers


class ChatKitRequests:
    """Asks the ChatKit server at ``url`` with the login that is in use.

    ``dialect`` fixes the form of the requests; ``auto`` begins with the site's own and changes to the public
    SDK's when the server rejects it. ``idle_timeout`` bounds every silence, in seconds (``None``: no bound).
    """

    name = title = provider = SITE
    capabilities = Capabilities(threads=True)

    def __init__(
        self,
        http: HttpClient,
        url: str,
        credentials: Credentials,
        *,
        dialect: Literal["auto", "old", "new"],
        idle_timeout: float | None,
    ) -> None:
        self.idle_timeout = idle_timeout
        self._http = http
        self._url = url
        self._credentials = credentials
        self._negotiates = dialect == "auto"
        self._dialect: Dialect = "new" if dialect == "new" else "old"
        # Whether the server has taken a request in this dialect.
        self._confirmed = False
        self._redact = Redactor(credentials.secrets)
        self._redacted = credentials.login

    def turn(self, turn: Turn) -> "ChatKitTurn":
        return ChatKitTurn(turn, self)

    def missing(self) -> str:
        """That a login is missing or of no use. The site tells only in a turn whether one is good."""
        if unreadable := self._credentials.unreadable:
            return unreadable_login(unreadable)
        host = urlsplit(self._url).hostname or ""
        if self._credentials.configured or not (host == SITE or host.endswith(f".{SITE}")):
            return ""
        return f"No login is configured. {LOGIN_STEP}"

    def renewed(self) -> bool:
        return self._credentials.follow()

    async def find(self) -> None:
        await self._http.reach(self._url, LOOK_TIME)

    async def models(self) -> tuple[ServedModel, ...]:
        """Both: the site offers them and has no list."""
        return BOTH_MODELS

    @property
    def account(self) -> str:
        """See :attr:`gptoss_api.upstreams.chatkit.credentials.Credentials.account`."""
        return self._credentials.login.account

    @property
    def redact(self) -> Redactor:
        """What blots out the login in use now, and the one before, which a request may have gone with."""
        before, login = self._redacted, self._credentials.login
        if login is not before:
            self._redact, self._redacted = Redactor((*before.secrets, *login.secrets)), login
        return self._redact

    async def send(self, turn: Turn, text: str, clock: TurnClock) -> HttpResponse:
        """The event stream that answers the turn, in whichever dialect the server takes."""
        self._credentials.follow(turn.request_id)
        if unreadable := self._credentials.unreadable:
            raise UpstreamLoginRequired(unreadable_login(unreadable))
        thread = turn.thread
        if thread is not None and thread.account and thread.account != self._credentials.login.account:
            raise ThreadLost("The conversation belongs to another account at gpt-oss.com.")
        dialect = self._dialect
        # A light text is not worth a coroutine.
        body = (
            encode_body(turn, text, dialect)
            if turn.weight <= LIGHT
            else await in_thread(turn.weight, encode_body, turn, text, dialect)
        )
        response = await self._post(turn, body, clock)
        if self._accepts(response, turn):
            return response
        failure = await self._refusal(response, turn)
        if self._may_be_wrong_dialect(response.status):
            other: Dialect = "new" if dialect == "old" else "old"
            body = await beside(turn.weight, encode_body, turn, text, other)
            second = await self._post(turn, body, clock)
            if self._accepts(second, turn):
                host = urlsplit(self._url).hostname
                _log.info(
                    "%s takes requests in the %s ChatKit dialect",
                    host,
                    other,
                    extra=log_fields(turn.request_id),
                )
                self._dialect = other
                return second
            # Not the dialect then: the first refusal tells what is wrong.
            await self._refusal(second, turn)
        if thread is not None and response.status in _WRONG_THREAD:
            raise ThreadLost(failure.message)
        raise failure

    def _may_be_wrong_dialect(self, status: int) -> bool:
        # The public SDK's 500 says nothing about its cause; from a server that knows us it is a failure.
        if status == 500 and self._confirmed:
            return False
        return self._negotiates and status in _WRONG_DIALECT

    def _post(self, turn: Turn, body: bytes, clock: TurnClock) -> Coroutine[Any, Any, HttpResponse]:
        return post(
            self._http,
            self._url,
            headers=request_headers(turn, self._credentials.login.cookie_header),
            body=body,
            clock=clock,
            idle_timeout=self.idle_timeout,
        )

    def _accepts(self, response: HttpResponse, turn: Turn) -> bool:
        """Takes over the cookies of a response; says whether it is an event stream."""
        headers = response.headers
        try:
            cookies = headers.get_all("set-cookie")
            if cookies and self._credentials.update_from_set_cookie(cookies, turn.request_id):
                self._credentials.save_refreshed(turn.request_id)
        except BaseException:
            response.leave()
            raise
        content_type = headers.get("content-type") or _EVENT_STREAM
        if response.status != 200 or _EVENT_STREAM not in content_type.lower():
            return False
        self._confirmed = True
        return True

    async def _refusal(self, response: HttpResponse, turn: Turn) -> GatewayError:
        return failure_of_response(
            response.status,
            (response.headers.get("content-type") or "").lower(),
            await read_refusal(response, SITE, self.redact, turn),
            retry_after=read_retry_after(response.headers),
            location=response.headers.get("location") or "",
            redact=self.redact,
        )


class ChatKitTurn:
    """One turn at the site; see :class:`gptoss_api.upstreams.attempts.UpstreamTurn`.

    Raises:
        InternalError: for a turn that is not made of one user message.
        InvalidValue: for one without a text.
        ModelNotFound: for a model that the site does not have.
    """

    def __init__(self, turn: Turn, requests: ChatKitRequests) -> None:
        check_usual(turn.model, SITE)
        self.turn = turn
        self._text = _only_text(turn)
        self._requests = requests
        self._wire: ChatKitWire
        self._asked_again = False

    @property
    def redact(self) -> Redactor:
        return self._requests.redact

    def ask(self, clock: TurnClock) -> Coroutine[Any, Any, HttpResponse]:
        return self._requests.send(self.turn, self._text, clock)

    def reader(self, response: HttpResponse, clock: TurnClock) -> StreamReader:
        self._wire = ChatKitWire(
            show_reasoning=self.turn.show_reasoning,
            redact=self._requests.redact,
            request_id=self.turn.request_id,
        )
        return StreamReader(response, self._wire, clock, self._requests.idle_timeout)

    def started(self) -> Started:
        thread, answered_in = self.turn.thread, self._wire.thread_id
        if thread is not None and answered_in is not None and answered_in != thread.id:
            raise ThreadLost("gpt-oss.com answered in another conversation than the one it was asked in.")
        return Started(
            upstream=SITE,
            model=self.turn.model,
            thread="new" if thread is None else "reused",
            thread_id=answered_in or (thread.id if thread is not None else None),
            account=self._requests.account,
        )

    def judge(self, failure: GatewayError, *, answering: bool) -> tuple[GatewayError, float | None]:
        in_thread = answering and self.turn.thread is not None
        if in_thread and isinstance(failure, UpstreamEmpty | UpstreamIncomplete):
            # Nothing but an end where a conversation should have gone on means that the site lost it.
            failure = ThreadLost("gpt-oss.com no longer answers in this conversation.")
        # A message that reached a conversation must not be added to it twice.
        if in_thread or self._asked_again:
            return failure, None
        self._asked_again = True
        return failure, retry_pause(failure)


class ChatKitUpstream(UpstreamClient):
    """Answers turns through the ChatKit endpoint at ``url``, for the arguments see :class:`ChatKitRequests`.

    A turn carries exactly one user message; ``turn.thread`` continues a conversation. An answer that breaks
    before its first text or thought is asked for once more, later never. :class:`ThreadLost` says that a
    continued conversation is gone.
    """

    def __init__(
        self,
        http: HttpClient,
        admission: Admission,
        credentials: Credentials,
        *,
        url: str = SERVER_KINDS[SITE].url,
        dialect: Literal["auto", "old", "new"] = "auto",
        idle_timeout: float | None = 120.0,
        total_timeout: float | None = 900.0,
    ) -> None:
        requests = ChatKitRequests(http, url, credentials, dialect=dialect, idle_timeout=idle_timeout)
        super().__init__(requests, admission, total_timeout=total_timeout, drain_time=DRAIN_TIME)


def _only_text(turn: Turn) -> str:
    match turn.messages:
        case (UserMessage(text),):
            if not text and turn.thread is None:
                raise InvalidValue(
                    "Invalid 'messages': there is nothing to answer. Send a text.", param="messages"
                )
            return text
        case _:
            raise InternalError("gpt-oss.com takes exactly one user message per turn.")
