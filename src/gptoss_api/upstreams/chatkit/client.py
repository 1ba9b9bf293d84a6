"""The gpt-oss.com website as an upstream: one text per turn, conversations kept by the site."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final, Literal
from urllib.parse import urlsplit

from ...core.errors import (
    GatewayError,
    InternalError,
    InvalidValue,
    ThreadLost,
    UpstreamEmpty,
    UpstreamIncomplete,
)
from ...core.events import Events, Started
from ...core.redaction import Redactor
from ...core.servers import SERVER_KINDS, SITE
from ...core.turn import Turn, UserMessage
from ..admission import Admission
from ..attempts import Attempts, retry_pause
from ..base import BOTH_MODELS, Capabilities, Health, ServedModel, log_fields
from ..clock import TurnClock
from ..health import LOOK_TIME, UpstreamHealth
from ..http import HttpClient, HttpResponse
from ..reading import StreamReader
from .credentials import Credentials
from .failures import LOGIN_STEP, unreadable_login
from .requests import ChatKitRequests
from .wire import ChatKitWire

# How long the end of a stream may take after the answer before its connection is given up, in seconds.
DRAIN_TIME: Final = 3.0


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
        self._url = url
        self._credentials = credentials
        self._idle_timeout = idle_timeout
        self._requests = ChatKitRequests(http, url, credentials, dialect=dialect, idle_timeout=idle_timeout)
        self._health = UpstreamHealth(self._find)
        self._attempts = Attempts(
            SITE, admission, self._health, title=SITE, total_timeout=total_timeout, drain_time=DRAIN_TIME
        )

    def open(self, turn: Turn) -> AbstractAsyncContextManager[AsyncIterator[Events]]:
        """See :meth:`gptoss_api.upstreams.base.Upstream.open`; the site is asked when iteration begins."""
        return self._attempts.open(ChatKitTurn(turn, self._requests, self._credentials, self._idle_timeout))

    async def health(self) -> Health:
        """What the last turn or look told, or that a login is missing."""
        if self._credentials.follow():
            self._health.forget()
        if unreadable := self._credentials.unreadable:
            return Health(False, unreadable_login(unreadable))
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

    async def close(self) -> None:
        """Lets go of connections that are still being drained."""
        await self._health.close()
        await self._attempts.close()

    async def _find(self) -> None:
        await self._http.reach(self._url, LOOK_TIME)

    @property
    def _lacks_login(self) -> bool:
        host = urlsplit(self._url).hostname or ""
        return not self._credentials.configured and (host == SITE or host.endswith(f".{SITE}"))


class ChatKitTurn:
    """One turn at the site; see :class:`gptoss_api.upstreams.attempts.UpstreamTurn`.

    Raises:
        InternalError: for a turn that is not made of one user message.
        InvalidValue: for one without a text.
    """

    def __init__(
        self, turn: Turn, requests: ChatKitRequests, credentials: Credentials, idle_timeout: float | None
    ) -> None:
        self.turn = turn
        self._text = _only_text(turn)
        self._requests = requests
        self._credentials = credentials
        self._idle_timeout = idle_timeout
        self._wire: ChatKitWire
        self._asked_again = False

    @property
    def redact(self) -> Redactor:
        return self._requests.redact

    async def ask(self, connections: AsyncExitStack, clock: TurnClock) -> HttpResponse:
        return await self._requests.send(self.turn, self._text, connections, clock)

    def reader(self, response: HttpResponse, clock: TurnClock) -> StreamReader:
        self._wire = ChatKitWire(
            show_reasoning=self.turn.show_reasoning, redact=self.redact, log_fields=log_fields(self.turn)
        )
        return StreamReader(response, self._wire, clock, self._idle_timeout)

    def started(self) -> Started:
        thread, answered_in = self.turn.thread, self._wire.thread_id
        if thread is not None and answered_in is not None and answered_in != thread.id:
            raise ThreadLost("gpt-oss.com answered in another conversation than the one it was asked in.")
        return Started(
            upstream=SITE,
            model=self.turn.model,
            thread="new" if thread is None else "reused",
            thread_id=answered_in or (thread.id if thread is not None else None),
            account=self._credentials.account,
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
