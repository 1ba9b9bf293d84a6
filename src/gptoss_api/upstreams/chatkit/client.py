"""The gpt-oss.com website as an upstream: one text per turn, conversations kept by the site."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Final, Literal
from urllib.parse import urlsplit

from ...core.errors import (
    GatewayError,
    InternalError,
    InvalidValue,
    ThreadLost,
    UpstreamEmpty,
    UpstreamIncomplete,
    UpstreamLoginRequired,
)
from ...core.events import Events, Started
from ...core.redaction import Redactor
from ...core.servers import SERVER_KINDS, SITE
from ...core.turn import Turn, UserMessage
from ...loop import beside
from ..admission import Admission, Slot
from ..base import BOTH_MODELS, Capabilities, Health, ServedModel
from ..clock import TurnClock
from ..health import LOOK_TIME, UpstreamHealth
from ..http import HttpClient, HttpResponse
from ..pacing import paced
from ..refusals import without_secrets
from ..refused import read_refusal
from ..retry_after import read_retry_after
from ..retrying import retry_pause
from .credentials import Credentials
from .failures import LOGIN_STEP, failure_of_response
from .requests import Dialect, encode_body, request_headers
from .stream import AnswerStream
from .wire import ChatKitWire

# How long the end of a stream may take after the answer before its connection is given up, in seconds.
DRAIN_TIME: Final = 3.0

# What a server answers to the other dialect's request: validation errors, or the public SDK's plain 500
# (docs/design/gpt-oss-com.md, "Requests of the SDK").
_WRONG_DIALECT: Final = frozenset({400, 415, 422, 500})
# What a server that checks the thread before it streams answers for one that it does not have.
_WRONG_THREAD: Final = frozenset({400, 404, 410, 422})

_log = logging.getLogger(__name__)


class _Refused(Exception):
    """The site answered with something other than an event stream."""

    def __init__(self, status: int, failure: GatewayError) -> None:
        super().__init__(status)
        self.status = status
        self.failure = failure


class ChatKitUpstream:
    """Answers turns through the ChatKit endpoint at ``url``.

    A turn carries exactly one user message; ``turn.thread`` continues a conversation. ``idle_timeout``
    bounds every silence and ``total_timeout`` the whole turn, in seconds (``None``: no bound).
    ``dialect`` fixes the form of the requests; ``auto`` begins with the site's own and changes to the
    public SDK's when the server rejects it. The events of either are always understood.

    An answer that breaks before its first text or thought is asked for once more, later never.
    :class:`ThreadLost` says that a continued conversation is gone.
    """

    name = SITE
    capabilities = Capabilities(threads=True)

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
        self._http = http
        self._admission = admission
        self._credentials = credentials
        self._url = url
        self._negotiates = dialect == "auto"
        self._dialect: Dialect = "new" if dialect == "new" else "old"
        self._idle_timeout = idle_timeout
        self._total_timeout = total_timeout
        self._draining: set[asyncio.Task[None]] = set()
        # Whether the server has taken a request in this dialect.
        self._dialect_confirmed = False
        self._health = UpstreamHealth(self._find)
        self._redact = Redactor(credentials.secrets)
        self._redacted = credentials.secrets

    @asynccontextmanager
    async def open(self, turn: Turn) -> AsyncIterator[AsyncIterator[Events]]:
        """See :meth:`gptoss_api.upstreams.base.Upstream.open`; the site is asked when iteration begins."""
        text = _only_text(turn)
        async with AsyncExitStack() as place:
            slot = await place.enter_async_context(self._admission.slot(turn.caller))
            async with aclosing(self._answer(turn, text, place, slot)) as batches:
                yield batches

    async def health(self) -> Health:
        """What the last turn or look told, or that a login is missing."""
        if self._credentials.follow():
            self._health.forget()
        if unreadable := self._credentials.unreadable:
            return Health(False, _unreadable(unreadable))
        if self._lacks_login:
            return Health(False, f"No login is configured. {LOGIN_STEP}")
        return self._health.state

    @property
    def reached(self) -> bool:
        return self._health.reached

    async def look(self, patience: float) -> None:
        """See :class:`gptoss_api.upstreams.base.Backend`. The site tells of a login only in a turn."""
        if self._credentials.follow():
            self._health.forget()
        if not self._credentials.unreadable and not self._lacks_login:
            await self._health.look(patience)

    async def models(self) -> tuple[ServedModel, ...]:
        """Both: the site offers them and has no list."""
        return BOTH_MODELS

    async def _find(self) -> None:
        await self._http.reach(self._url, LOOK_TIME)

    @property
    def _lacks_login(self) -> bool:
        return not self._credentials.configured and _is_the_site(self._url)

    async def close(self) -> None:
        """Lets go of connections that are still being drained."""
        await self._health.close()
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)

    async def _answer(
        self, turn: Turn, text: str, place: AsyncExitStack, slot: Slot
    ) -> AsyncGenerator[Events, None]:
        clock = TurnClock(SITE, self._total_timeout)
        may_retry = True
        while True:
            delivered = streaming = False
            try:
                async with AsyncExitStack() as stack:
                    response = await self._request(stack, turn, text, clock)
                    streaming = True
                    stack.enter_context(clock.at_end(response.abandon, slot.release))
                    wire = ChatKitWire(show_reasoning=turn.show_reasoning, redact=self._redactor())
                    stream = AnswerStream(response, wire, clock, self._idle_timeout)
                    while not stream.over:
                        events = await stream.next_batch()
                        if not delivered:
                            events = [self._started(turn, wire), *events]
                            delivered = True
                        if stream.over:
                            self._health.note(None)
                            if stream.cut_short:
                                self._drain(stack.pop_all(), place.pop_all(), response)
                            else:
                                slot.release()
                        if stream.large:
                            async for batch in paced(events):
                                yield batch
                        else:
                            yield events
                    return
            except GatewayError as error:
                failure = without_secrets(error, self._redactor())
            if streaming and not delivered and turn.thread is not None:
                failure = _on_thread(failure)
            pause = retry_pause(failure)
            # A message that reached a conversation must not be added to it twice.
            may_retry &= not delivered and not (streaming and turn.thread is not None)
            if not may_retry or pause is None or not clock.allows(pause):
                self._health.note(failure)
                raise failure
            may_retry = False
            _log.info("asking gpt-oss.com once more in %.2f s: %s", pause, failure.message)
            await asyncio.sleep(pause)

    def _started(self, turn: Turn, wire: ChatKitWire) -> Started:
        thread = turn.thread
        if thread is not None and wire.thread_id is not None and wire.thread_id != thread.id:
            raise ThreadLost("gpt-oss.com answered in another conversation than the one it was asked in.")
        return Started(
            upstream=SITE,
            model=turn.model,
            thread="new" if thread is None else "reused",
            thread_id=wire.thread_id or (thread.id if thread is not None else None),
            account=self._credentials.account,
        )

    def _drain(self, stack: AsyncExitStack, place: AsyncExitStack, response: HttpResponse) -> None:
        """Reads a stream to its end in the background, so that its connection can be used again.

        The turn keeps its place meanwhile: the site is still at work on it.
        """

        async def drain() -> None:
            async with place, stack:
                await response.finish(DRAIN_TIME)

        task = asyncio.create_task(drain())
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    # -- requests ----------------------------------------------------------------------------------

    async def _request(self, stack: AsyncExitStack, turn: Turn, text: str, clock: TurnClock) -> HttpResponse:
        """The event stream that answers the turn, in whichever dialect the server takes."""
        self._credentials.follow()
        if unreadable := self._credentials.unreadable:
            raise UpstreamLoginRequired(_unreadable(unreadable))
        thread = turn.thread
        if thread is not None and thread.account and thread.account != self._credentials.account:
            raise ThreadLost("The conversation belongs to another account at gpt-oss.com.")
        dialect = self._dialect
        try:
            return await self._send(stack, turn, text, dialect, clock)
        except _Refused as refusal:
            refused = refusal
        if self._may_be_wrong_dialect(refused.status):
            other: Dialect = "new" if dialect == "old" else "old"
            try:
                response = await self._send(stack, turn, text, other, clock)
            except _Refused:
                # Not the dialect then: the first refusal tells what is wrong.
                pass
            else:
                _log.info("%s takes requests in the %s ChatKit dialect", urlsplit(self._url).hostname, other)
                self._dialect = other
                return response
        if thread is not None and refused.status in _WRONG_THREAD:
            raise ThreadLost(refused.failure.message)
        raise refused.failure

    def _may_be_wrong_dialect(self, status: int) -> bool:
        # The public SDK's 500 says nothing about its cause; from a server that knows us it is a failure.
        if status == 500 and self._dialect_confirmed:
            return False
        return self._negotiates and status in _WRONG_DIALECT

    async def _send(
        self, stack: AsyncExitStack, turn: Turn, text: str, dialect: Dialect, clock: TurnClock
    ) -> HttpResponse:
        """Sends the request and returns the response, entered on ``stack``, if it is an event stream."""
        body = await beside(turn.weight, encode_body, turn, text, dialect)
        request = self._http.request(
            "POST",
            self._url,
            headers=request_headers(turn, self._credentials.cookie_header()),
            body=body,
            idle_timeout=self._idle_timeout,
        )
        try:
            async with asyncio.timeout_at(clock.deadline):
                response = await stack.enter_async_context(request)
        except TimeoutError:
            raise clock.timeout() from None
        if self._credentials.update_from_set_cookie(response.headers.get_all("set-cookie")):
            self._credentials.save_refreshed()
        content_type = (response.headers.get("content-type") or "").lower()
        if response.status == 200 and (not content_type or "text/event-stream" in content_type):
            self._dialect_confirmed = True
            return response
        failure = await self._refusal(response, content_type)
        await stack.aclose()
        raise _Refused(response.status, failure)

    def _redactor(self) -> Redactor:
        """What blots the login out that is in use now."""
        if (secrets := self._credentials.secrets) != self._redacted:
            self._redact, self._redacted = Redactor(secrets), secrets
        return self._redact

    async def _refusal(self, response: HttpResponse, content_type: str) -> GatewayError:
        body = await read_refusal(response, SITE, self._redactor())
        return failure_of_response(
            response.status,
            content_type,
            body,
            retry_after=read_retry_after(response.headers),
            location=response.headers.get("location") or "",
            redact=self._redactor(),
        )


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


def _on_thread(failure: GatewayError) -> GatewayError:
    """Nothing but an end where a conversation should have gone on means that the site lost it."""
    if isinstance(failure, UpstreamEmpty | UpstreamIncomplete):
        return ThreadLost("gpt-oss.com no longer answers in this conversation.")
    return failure


def _unreadable(reason: str) -> str:
    return f"The file that keeps the login at gpt-oss.com is of no use: {reason}. {LOGIN_STEP}"


def _is_the_site(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == SITE or host.endswith(f".{SITE}")
