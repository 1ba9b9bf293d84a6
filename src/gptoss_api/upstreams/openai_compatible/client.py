"""A server of gpt-oss that speaks Chat Completions, as an upstream."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from ... import __version__
from ...core.errors import (
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    UnparsedByUpstream,
    UpstreamLoginRequired,
    UpstreamTimeout,
)
from ...core.events import Events, Started
from ...core.redaction import Redactor
from ...core.servers import ServerKind
from ...core.turn import Turn
from ...loop import beside
from ..admission import Admission, Slot
from ..base import Capabilities, Health, ServedModel
from ..clock import TurnClock
from ..health import LOOK_TIME, UpstreamHealth
from ..http import HttpClient, HttpResponse
from ..refusals import without_secrets
from ..refused import read_refusal
from ..retry_after import read_retry_after
from ..retrying import retry_pause
from .failures import failure_of_response
from .models import ModelList, read_models
from .profiles import PROFILES
from .requests import PassedOptions, encode_request, optional_fields, sends_reasoning
from .stream import read_answer
from .wire import ChatWire

# How long a list of models is waited for, in seconds, and how much of it is read, in bytes.
MODELS_TIME: Final = 5.0
MODELS_SIZE: Final = 4 * 1024 * 1024
# How often one turn may be asked again because a field was refused.
_MOST_REFUSED_FIELDS: Final = 3

_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
_REFUSES_FIELD: Final = re.compile(
    r"unsupported|not supported|unknown|unrecogni[sz]ed|unexpected|not permitted|not allowed|extra inputs"
    r"|additional propert|invalid (?:field|property|key|argument|parameter)"
    r"|does not support|no longer supported",
    re.I,
)

_log = logging.getLogger(__name__)


class Server(Struct, frozen=True):
    """Which server: its ``url`` up to ``/v1``, its ``key``, and ``models`` where its names are known.

    ``models`` maps canonical ids to the server's names, "" for the usual ones, and, if given, names
    everything that it serves. ``headers`` are sent with every request. ``name`` is how the gateway calls it.
    """

    kind: ServerKind
    url: str
    key: str = ""
    name: str = ""
    models: Mapping[str, str] = _NO_NAMES
    headers: Mapping[str, str] = _NO_NAMES

    @property
    def title(self) -> str:
        return self.name or self.kind.name


class OpenAICompatibleUpstream:
    """Answers turns through ``{server.url}/chat/completions``, always streamed.

    ``idle_timeout`` bounds every silence and ``total_timeout`` the whole turn, in seconds (``None``: no
    bound). What the server could not read of the model's own words is asked for once more, as long as
    nothing was delivered; with ``asks_again`` so is every turn whose failure may pass. A field that the
    server refuses is left out from then on.
    """

    def __init__(
        self,
        http: HttpClient,
        admission: Admission,
        server: Server,
        *,
        idle_timeout: float | None = 120.0,
        total_timeout: float | None = 900.0,
        asks_again: bool = True,
    ) -> None:
        self._asks_again = asks_again
        self._http = http
        self._admission = admission
        self._server = server
        self._profile = profile = PROFILES[server.kind.name]
        self._url = server.url.rstrip("/")
        # Headers may hold keys too, and servers repeat what they got.
        self._redact = Redactor((server.key, *server.headers.values()))
        self._idle_timeout = idle_timeout
        self._total_timeout = total_timeout
        self._rejected: frozenset[str] = frozenset()
        self._list = ModelList(self._fetch_models)
        self._health = UpstreamHealth(self._find)
        self.name = server.title
        self.capabilities = Capabilities(
            history=True,
            tools=profile.tools,
            tool_choice=profile.tool_choice,
            json_object=profile.json_object,
            json_schema=profile.json_schema,
            stop=profile.stop,
            max_tokens=True,
            options=PassedOptions(profile.unsupported),
        )

    @property
    def url(self) -> str:
        return self._url

    @asynccontextmanager
    async def open(self, turn: Turn) -> AsyncIterator[AsyncIterator[Events]]:
        """See :meth:`gptoss_api.upstreams.base.Upstream.open`; the server is asked when iteration begins."""
        async with self._admission.slot(turn.caller) as slot, aclosing(self._answer(turn, slot)) as batches:
            yield batches

    async def health(self) -> Health:
        """What the last turn or look told, or that a key is missing which the server needs."""
        if self._lacks_key:
            return Health(False, self._lacks_key)
        return self._health.state

    @property
    def reached(self) -> bool:
        return self._health.reached

    async def look(self, patience: float) -> None:
        """See :class:`gptoss_api.upstreams.base.Backend`."""
        if not self._lacks_key:
            await self._health.look(patience)

    async def _find(self) -> None:
        await self._http.reach(self._url, LOOK_TIME)
        if not self._profile.lists_models:
            return
        try:
            await self._list.renew()
        except UpstreamTimeout as late:
            # A server that does one thing at a time lists nothing while it answers.
            if late.unreached or not self._admission.active:
                raise

    async def close(self) -> None:
        await self._health.close()

    async def models(self) -> tuple[ServedModel, ...]:
        """See :class:`gptoss_api.upstreams.base.Backend`; asked for at most every few minutes."""
        known = self._server.models
        if not known and not self._profile.lists_models:
            known = self._profile.models
        if known:
            return tuple(
                ServedModel(name or self._profile.models[canonical], canonical)
                for canonical, name in known.items()
            )
        return await self._list.get()

    async def model_name(self, turn: Turn) -> str:
        """What the server calls the turn's model.

        Raises:
            ModelNotFound: where it is known to have other models only.
        """
        name = self._server.models.get(turn.model)
        if name is None and self._server.models:
            raise self._no_model(turn.model, tuple(self._server.models))
        if not name and not self._server.kind.needs_key:
            name = await self._listed_name(turn.model)
        name = name or self._profile.models[turn.model]
        if self._profile.takes_provider and turn.provider:
            name = f"{name.partition(':')[0]}:{turn.provider}"
        return name

    async def _listed_name(self, model: str) -> str | None:
        """The server's own name for ``model``; ``None`` where its list does not help."""
        try:
            served = await self._list.get()
        except GatewayError:
            return None
        for entry in served:
            if entry.id == model:
                return entry.name
        if served:
            raise self._no_model(model, tuple(entry.id for entry in served))
        return None

    def _no_model(self, model: str, served: tuple[str, ...]) -> ModelNotFound:
        there = ", ".join(dict.fromkeys(served))
        return ModelNotFound(f"{self.name} does not serve {model}; it serves {there}.", param="model")

    async def _fetch_models(self) -> tuple[ServedModel, ...]:
        try:
            async with (
                asyncio.timeout(MODELS_TIME),
                self._http.request("GET", f"{self._url}/models", headers=self._headers(b"")) as response,
            ):
                body = await response.read_all(MODELS_SIZE)
                if response.status != 200:
                    failure = failure_of_response(
                        self._server.kind,
                        response.status,
                        response.headers.get("content-type") or "",
                        body,
                        redact=self._redact,
                    )
                    raise failure
                return read_models(body)
        except TimeoutError:
            raise UpstreamTimeout(
                f"{self.name} did not list its models in {MODELS_TIME:g} seconds."
            ) from None

    # -- one turn ----------------------------------------------------------------------------------

    async def _answer(self, turn: Turn, slot: Slot) -> AsyncGenerator[Events, None]:
        clock = TurnClock(self._server.kind.title, self._total_timeout)
        try:
            if self._lacks_key:
                raise UpstreamLoginRequired(self._lacks_key)
            model = await self.model_name(turn)
        except GatewayError as error:
            self._health.note(error)
            raise
        may_retry, refused_fields = True, 0
        while True:
            delivered = False
            try:
                async with AsyncExitStack() as stack:
                    response = await self._request(stack, turn, model, clock)
                    stack.enter_context(clock.at_end(response.abandon, slot.release))
                    wire = ChatWire(
                        self._server.kind,
                        show_reasoning=turn.show_reasoning,
                        redact=self._redact,
                        stop=turn.stop,
                    )
                    async with aclosing(read_answer(response, wire, clock, slot.release)) as batches:
                        async for events in batches:
                            if not delivered:
                                events = [Started(upstream=self.name, model=turn.model), *events]
                                delivered = True
                            yield events
                self._health.note(None)
                return
            except GatewayError as error:
                failure = without_secrets(error, self._redact)
            if not delivered and refused_fields < _MOST_REFUSED_FIELDS and self._adapt(turn, failure):
                refused_fields += 1
                continue
            pause = self._retry_pause(failure)
            if delivered or not may_retry or pause is None or not clock.allows(pause):
                self._health.note(failure)
                raise failure
            may_retry = False
            _log.info("asking %s once more in %.2f s: %s", self.name, pause, failure.message)
            await asyncio.sleep(pause)

    @property
    def _lacks_key(self) -> str:
        """What to say where the kind's own address would refuse every turn; a proxy may have a key."""
        kind = self._server.kind
        if self._server.key or not kind.needs_key or self._url != kind.url:
            return ""
        return f"No key is configured for {kind.title}. {kind.key_step}"

    def _retry_pause(self, failure: GatewayError) -> float | None:
        if isinstance(failure, UnparsedByUpstream):
            # The model wrote it, not the server: it may write something better at once.
            return 0.0
        return retry_pause(failure) if self._asks_again else None

    async def _request(self, stack: AsyncExitStack, turn: Turn, model: str, clock: TurnClock) -> HttpResponse:
        """The answer to the turn's request, entered on ``stack``, if it is one."""
        body = await beside(turn.weight, encode_request, turn, model, self._profile, self._rejected)
        request = self._http.request(
            "POST",
            f"{self._url}/chat/completions",
            headers=self._headers(body),
            body=body,
            idle_timeout=self._idle_timeout,
        )
        try:
            async with asyncio.timeout_at(clock.deadline):
                response = await stack.enter_async_context(request)
        except TimeoutError:
            raise clock.timeout() from None
        content_type = (response.headers.get("content-type") or "").lower()
        provider = response.headers.get("x-inference-provider")
        if provider:
            _log.debug("%s answers through %s", self.name, provider[:60])
        if response.status == 200 and "html" not in content_type:
            return response
        raise await self._refusal(response, content_type)

    async def _refusal(self, response: HttpResponse, content_type: str) -> GatewayError:
        body = await read_refusal(response, self.name, self._redact)
        return failure_of_response(
            self._server.kind,
            response.status,
            content_type,
            body,
            retry_after=read_retry_after(response.headers),
            redact=self._redact,
        )

    def _adapt(self, turn: Turn, failure: GatewayError) -> bool:
        """Whether the server refused a field that can be left out; it is remembered."""
        if not isinstance(failure, InvalidRequest) or not _REFUSES_FIELD.search(failure.message):
            return False
        words = f"{failure.message} {failure.param or ''}"
        if (
            "reasoning" not in self._rejected
            and sends_reasoning(turn, self._profile)
            and re.search(r"\breasoning(?:_content)?\b", words)
        ):
            self._rejected |= {"reasoning"}
        else:
            refused = {
                name
                for name in optional_fields(turn, self._profile) - self._rejected
                if re.search(rf"\b{re.escape(name)}\b", words)
            }
            if not refused:
                return False
            self._rejected |= refused
        _log.info("%s refuses %s: left out from now on", self.name, ", ".join(sorted(self._rejected)))
        return True

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"user-agent": f"gptoss-api/{__version__}", "accept": "text/event-stream, application/json"}
        if body:
            headers["content-type"] = "application/json"
        if self._server.key:
            headers["authorization"] = f"Bearer {self._server.key}"
        headers.update(self._server.headers)
        return headers
