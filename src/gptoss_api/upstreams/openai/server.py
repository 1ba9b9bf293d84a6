"""One server of OpenAI's protocols: its address, its key, what it refuses, and what it calls the models."""

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from ... import __version__
from ...core.errors import GatewayError, ModelNotFound, UpstreamTimeout
from ...core.redaction import Redactor
from ...core.servers import ServerKind
from ...core.turn import Turn
from ..admission import Admission
from ..attempts import post, read_refusal
from ..base import ServedModel, log_fields
from ..clock import TurnClock
from ..health import LOOK_TIME
from ..http import HttpClient, HttpResponse
from ..retry_after import read_retry_after
from .failures import failure_of_response
from .models import ModelList, read_models

# How long a list of models is waited for, in seconds, and how much of it is read, in bytes.
MODELS_TIME: Final = 5.0
MODELS_SIZE: Final = 4 * 1024 * 1024

_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})

_log = logging.getLogger(__name__)


class Server(msgspec.Struct, frozen=True):
    """Which server: its ``url`` up to ``/v1``, its ``key``, and ``models`` where its names are known.

    ``models`` maps canonical ids to the server's names, "" for the usual ones, and, if given, names
    everything that it serves. ``headers`` are sent with every request. ``name`` is how the gateway calls it.
    With ``whole_answers`` it is asked for whole ones where nobody sees them while they come.
    """

    kind: ServerKind
    url: str
    key: str = ""
    name: str = ""
    models: Mapping[str, str] = _NO_NAMES
    headers: Mapping[str, str] = _NO_NAMES
    whole_answers: bool = False

    @property
    def title(self) -> str:
        return self.name or self.kind.name

    @property
    def lacks_key(self) -> str:
        """What to say where the kind's own address would refuse every turn; a proxy may have a key."""
        kind = self.kind
        if self.key or not kind.needs_key or self.url.rstrip("/") != kind.url:
            return ""
        return f"No key is configured for {kind.title}. {kind.key_step}"


class ServerAccess:
    """Asks ``server``. ``idle_timeout`` bounds every silence, in seconds (``None``: no bound).

    Of a whole answer nothing can come before all of it has been thought, so that there it bounds the silence
    after the head only. ``whole_answers`` says whether one is asked for where nobody sees it while it comes.
    """

    def __init__(self, http: HttpClient, server: Server, *, idle_timeout: float | None) -> None:
        self.server = server
        self.url = server.url.rstrip("/")
        self.idle_timeout = idle_timeout
        self.whole_answers = server.whole_answers
        # Headers may hold keys too, and servers repeat what they got.
        self.redact = Redactor((server.key, *server.headers.values()))
        # What to say before any turn where a key is missing; a configuration does not change.
        self.lacks_key = server.lacks_key
        self._http = http
        self._asking = _headers(server, with_body=True)
        self._asking_whole = _headers(server, with_body=True, accept="application/json")
        self._looking = _headers(server, with_body=False)

    async def post(
        self, path: str, body: bytes, turn: Turn, clock: TurnClock, *, whole: bool
    ) -> HttpResponse:
        """The response that answers ``turn``, which ``body`` asks for, as a ``whole`` or as a stream.

        Raises:
            GatewayError: for a refusal.
        """
        response = await post(
            self._http,
            self.url + path,
            headers=self._asking_whole if whole else self._asking,
            body=body,
            clock=clock,
            idle_timeout=None if whole else self.idle_timeout,
            streamed=not whole,
        )
        content_type = (response.headers.get("content-type") or "").lower()
        if provider := response.headers.get("x-inference-provider"):
            _log.debug(
                "%s answers through %s", self.server.title, provider[:60], extra=log_fields(turn.request_id)
            )
        if response.status == 200 and "html" not in content_type:
            if whole:
                response.bound_silence(self.idle_timeout)
            return response
        refusal = await read_refusal(response, self.server.title, self.redact, turn)
        raise self._failure(response, content_type, refusal, read_retry_after(response.headers))

    async def reach(self) -> None:
        """Raises: GatewayError, if the server is not there."""
        await self._http.reach(self.url, LOOK_TIME)

    async def list_models(self) -> tuple[ServedModel, ...]:
        """The gpt-oss models that the server lists.

        Raises:
            GatewayError: if it could not be asked, or refused to tell.
        """
        request = self._http.request("GET", f"{self.url}/models", headers=self._looking)
        try:
            async with asyncio.timeout(MODELS_TIME), request as response:
                body = await response.read_all(MODELS_SIZE)
                if response.status == 200:
                    return read_models(body)
                raise self._failure(response, response.headers.get("content-type") or "", body)
        except TimeoutError:
            raise UpstreamTimeout(
                f"{self.server.title} did not list its models in {MODELS_TIME:g} seconds."
            ) from None

    def _failure(
        self, response: HttpResponse, content_type: str, body: bytes, retry_after: float | None = None
    ) -> GatewayError:
        return failure_of_response(
            self.server.kind,
            response.status,
            content_type,
            body,
            retry_after=retry_after,
            redact=self.redact,
        )


def _headers(
    server: Server, *, with_body: bool, accept: str = "text/event-stream, application/json"
) -> Mapping[str, str]:
    headers = {"user-agent": f"gptoss-api/{__version__}", "accept": accept}
    if with_body:
        headers["content-type"] = "application/json"
    if server.key:
        headers["authorization"] = f"Bearer {server.key}"
    headers.update(server.headers)
    return headers


class ServerModels:
    """The models of the server behind ``access``; ``names`` are those that it usually has for them.

    Without ``listed`` its own list is not asked for. ``admission`` tells whether it is at work.
    """

    def __init__(
        self, access: ServerAccess, admission: Admission, names: Mapping[str, str], *, listed: bool = True
    ) -> None:
        self._access = access
        self._server = access.server
        self._admission = admission
        self._names = names
        self._listed = listed
        self._list = ModelList(access.list_models)

    async def find(self) -> None:
        """Looks for the server, and asks for its list; raises what stands in the way."""
        await self._access.reach()
        if not self._listed:
            return
        try:
            await self._list.renew()
        except UpstreamTimeout as late:
            # A server that does one thing at a time lists nothing while it answers.
            if late.unreached or not self._admission.active:
                raise

    async def all(self) -> tuple[ServedModel, ...]:
        """What it serves; asked for at most every few minutes."""
        known = self._server.models
        if not known and not self._listed:
            known = self._names
        if known:
            return tuple(
                ServedModel(name or self._names[canonical], canonical) for canonical, name in known.items()
            )
        return await self._list.get()

    async def name_of(self, model: str) -> str:
        """What the server calls ``model``.

        Raises:
            ModelNotFound: where it is known to have other models only.
        """
        configured = self._server.models
        name = configured.get(model)
        if name is None and configured:
            raise self._no_model(model, tuple(configured))
        if not name and (model not in self._names or not self._server.kind.needs_key):
            name = await self._listed_name(model)
        name = name or self._names.get(model)
        if name is None:
            # Only who lists it has it.
            raise self._no_model(model, tuple(self._names))
        return name

    async def _listed_name(self, model: str) -> str | None:
        """The server's own name for ``model``; ``None`` where its list does not help."""
        if not self._listed:
            return None
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
        return ModelNotFound(
            f"{self._server.title} does not serve {model}; it serves {there}.", param="model"
        )
