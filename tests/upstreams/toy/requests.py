"""What a toy is asked for: answers with ``POST /ask``, its models with ``GET /models``."""

import asyncio
from collections.abc import Sequence

import msgspec

from gptoss_api.core.errors import GatewayError, UpstreamTimeout
from gptoss_api.core.events import Started
from gptoss_api.core.redaction import Redactor
from gptoss_api.core.turn import Turn
from gptoss_api.upstreams.attempts import post, read_refusal, retry_pause
from gptoss_api.upstreams.base import Capabilities, ServedModel
from gptoss_api.upstreams.clock import TurnClock
from gptoss_api.upstreams.http import HttpClient, HttpResponse
from gptoss_api.upstreams.reading import StreamReader
from gptoss_api.upstreams.retry_after import read_retry_after

from .failures import failure_of_response
from .wire import ToyWire


class Listed(msgspec.Struct):
    id: str


class ListedModels(msgspec.Struct):
    data: list[Listed]


class ToyRequests:
    """See :class:`gptoss_api.upstreams.client.ServerRequests`."""

    title = "The toy"
    provider = "toy"
    capabilities = Capabilities(history=True)

    def __init__(
        self, http: HttpClient, name: str, url: str, key: str, *, idle_timeout: float | None
    ) -> None:
        self.name = name
        self.idle_timeout = idle_timeout
        self.redact = Redactor((key,))
        self._http = http
        self._url = url
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def turn(self, turn: Turn) -> "ToyTurn":
        return ToyTurn(turn, self)

    def missing(self) -> str:
        return ""

    def renewed(self) -> bool:
        return False

    async def find(self) -> None:
        await self.models()

    async def models(self) -> Sequence[ServedModel]:
        try:
            async with (
                asyncio.timeout(5.0),
                self._http.request("GET", f"{self._url}/models", headers=self._headers) as response,
            ):
                listed = msgspec.json.decode(await response.read_all(65536), type=ListedModels)
                return [ServedModel(model.id, model.id) for model in listed.data]
        except TimeoutError:
            raise UpstreamTimeout("The toy did not list its models in 5 seconds.") from None

    async def ask(self, turn: Turn, clock: TurnClock) -> HttpResponse:
        said = [message.text for message in turn.messages]
        response = await post(
            self._http,
            f"{self._url}/ask",
            headers=self._headers,
            body=msgspec.json.encode({"model": turn.model, "said": said}),
            clock=clock,
            idle_timeout=self.idle_timeout,
        )
        if response.status == 200:
            return response
        refusal = await read_refusal(response, self.name, self.redact, turn)
        raise failure_of_response(
            response.status,
            refusal,
            retry_after=read_retry_after(response.headers),
            redact=self.redact,
        )


class ToyTurn:
    """See :class:`gptoss_api.upstreams.attempts.UpstreamTurn`."""

    def __init__(self, turn: Turn, requests: ToyRequests) -> None:
        self.turn = turn
        self.redact = requests.redact
        self._requests = requests
        self._asked_again = False

    async def ask(self, clock: TurnClock) -> HttpResponse:
        return await self._requests.ask(self.turn, clock)

    def reader(self, response: HttpResponse, clock: TurnClock) -> StreamReader:
        return StreamReader(response, ToyWire(), clock, self._requests.idle_timeout)

    def started(self) -> Started:
        return Started(upstream=self._requests.name, model=self.turn.model)

    def judge(self, failure: GatewayError, *, answering: bool) -> tuple[GatewayError, float | None]:
        if self._asked_again:
            return failure, None
        self._asked_again = True
        return failure, retry_pause(failure)
