"""A server at an address of which nobody said which of two protocols it speaks."""

import logging
from collections.abc import Sequence

from ..core.errors import EndpointMissing, GatewayError
from ..core.events import Started
from ..core.redaction import Redactor
from ..core.turn import Turn
from .attempts import UpstreamTurn
from .base import Capabilities, ServedModel, log_fields
from .client import ServerRequests
from .clock import TurnClock
from .http import HttpResponse
from .reading import AnswerReader

_log = logging.getLogger(__name__)


class EitherProtocol:
    """Asks in the ``first`` protocol; see :class:`gptoss_api.upstreams.client.ServerRequests`.

    A server that has no endpoint for it is asked in the ``second``, and from then on, if it has one for that.
    """

    def __init__(self, first: ServerRequests, second: ServerRequests) -> None:
        self.name = first.name
        self.title = first.title
        self.provider = first.provider
        self.spoken = first
        self._other = second

    @property
    def capabilities(self) -> Capabilities:
        return self.spoken.capabilities

    def turn(self, turn: Turn) -> "EitherTurn":
        return EitherTurn(turn, self)

    def missing(self) -> str:
        return self.spoken.missing()

    def renewed(self) -> bool:
        return self.spoken.renewed()

    async def find(self) -> None:
        await self.spoken.find()

    async def models(self) -> Sequence[ServedModel]:
        return await self.spoken.models()

    def other_than(self, spoken: ServerRequests) -> ServerRequests:
        return self._other if spoken is self.spoken else self.spoken

    def speak(self, requests: ServerRequests, turn: Turn) -> None:
        """Remembers which protocol the server speaks, as it has shown."""
        if requests is not self.spoken:
            self.spoken, self._other = requests, self.spoken
            _log.info(
                "%s has no endpoint of the protocol it was asked in, but one of the other: "
                "that is spoken from now on",
                self.name,
                extra=log_fields(turn.request_id),
            )


class EitherTurn:
    """One turn in the protocol that works; see :class:`gptoss_api.upstreams.attempts.UpstreamTurn`."""

    def __init__(self, turn: Turn, either: EitherProtocol) -> None:
        self.turn = turn
        self._either = either
        self._requests = either.spoken
        self._asked: UpstreamTurn = either.spoken.turn(turn)

    @property
    def redact(self) -> Redactor:
        return self._asked.redact

    async def ask(self, clock: TurnClock) -> HttpResponse:
        try:
            return await self._asked.ask(clock)
        except EndpointMissing as missing:
            other = self._either.other_than(self._requests)
            asked = other.turn(self.turn)
            try:
                response = await asked.ask(clock)
            except EndpointMissing:
                raise missing from None
        self._either.speak(other, self.turn)
        self._requests, self._asked = other, asked
        return response

    def reader(self, response: HttpResponse, clock: TurnClock) -> AnswerReader:
        return self._asked.reader(response, clock)

    def started(self) -> Started:
        return self._asked.started()

    def judge(self, failure: GatewayError, *, answering: bool) -> tuple[GatewayError, float | None]:
        return self._asked.judge(failure, answering=answering)
