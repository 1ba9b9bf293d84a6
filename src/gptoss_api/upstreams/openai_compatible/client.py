"""A server of gpt-oss that speaks Chat Completions, as an upstream."""

from typing import Final

from ...core.errors import GatewayError, UnparsedByUpstream, UpstreamLoginRequired
from ...core.events import Started
from ...core.redaction import Redactor
from ...core.turn import Turn, without_demands
from ..admission import Admission
from ..attempts import retry_pause
from ..base import Capabilities, ServedModel
from ..client import UpstreamClient
from ..clock import TurnClock
from ..http import HttpClient, HttpResponse
from ..openai.form import AnswerForm
from ..openai.server import Server, ServerAccess, ServerModels
from ..reading import AnswerReader
from .profiles import PROFILES
from .requests import ChatRequests, PassedOptions, refused_demands
from .wire import ChatWire

# How often one turn may be asked again because a field was refused.
_MOST_REFUSED_FIELDS: Final = 3


class ChatServer:
    """What ``server`` is asked for; see :class:`gptoss_api.upstreams.client.ServerRequests`."""

    def __init__(
        self,
        http: HttpClient,
        admission: Admission,
        server: Server,
        *,
        idle_timeout: float | None,
        asks_again: bool,
    ) -> None:
        self.name = server.title
        self.title = server.kind.title
        self.provider = server.kind.name
        self.access = access = ServerAccess(http, server, idle_timeout=idle_timeout)
        self.asks_again = asks_again
        self.requests = ChatRequests(access)
        self._profile = profile = PROFILES[server.kind.name]
        self._models = ServerModels(access, admission, profile.models, listed=profile.lists_models)
        self.capabilities = Capabilities(
            history=True,
            thoughts=profile.reasoning_in != "none",
            tools=profile.tools,
            tool_choice=profile.tool_choice,
            json_object=profile.json_object,
            json_schema=profile.json_schema,
            stop=profile.stop,
            logprobs=profile.logprobs,
            max_tokens=True,
            options=PassedOptions(profile.unsupported),
        )

    def turn(self, turn: Turn) -> "ChatTurn":
        return ChatTurn(turn, self)

    def missing(self) -> str:
        """That a key is missing which the server needs."""
        return self.access.lacks_key

    def renewed(self) -> bool:
        """Never: keys are read once."""
        return False

    async def find(self) -> None:
        await self._models.find()

    async def models(self) -> tuple[ServedModel, ...]:
        """See :class:`gptoss_api.upstreams.base.Backend`; asked for at most every few minutes."""
        return await self._models.all()

    async def model_name(self, turn: Turn) -> str:
        """What the server calls the turn's model.

        Raises:
            ModelNotFound: where it is known to have other models only.
        """
        name = await self._models.name_of(turn.model)
        if self._profile.takes_provider and turn.provider:
            name = f"{name.partition(':')[0]}:{turn.provider}"
        return name


class ChatTurn:
    """One turn at a server; see :class:`gptoss_api.upstreams.attempts.UpstreamTurn`."""

    def __init__(self, turn: Turn, chat: ChatServer) -> None:
        self.turn = turn
        self._chat = chat
        self._form = AnswerForm(chat.access, turn)
        self._model = ""
        self._asked_again = False
        self._refused_fields = 0
        self._without: frozenset[str] = frozenset()  # What it has a field for and refused.

    @property
    def redact(self) -> Redactor:
        return self._chat.access.redact

    async def ask(self, clock: TurnClock) -> HttpResponse:
        chat = self._chat
        if lacking := chat.access.lacks_key:
            raise UpstreamLoginRequired(lacking)
        self._model = self._model or await chat.model_name(self.turn)
        return await chat.requests.send(self.turn, self._model, clock, whole=self._form.whole)

    def reader(self, response: HttpResponse, clock: TurnClock) -> AnswerReader:
        wire = ChatWire(
            self._chat.access.server.kind,
            show_reasoning=self.turn.show_reasoning,
            redact=self.redact,
            stop=self.turn.stop,
            logprobs=self.turn.top_logprobs is not None,
            request_id=self.turn.request_id,
        )
        return self._form.reader(response, wire, clock)

    def started(self) -> Started:
        if self._form.refused:
            self._form.keep()
        return Started(self._chat.name, self.turn.model, emulated=tuple(sorted(self._without)))

    def judge(self, failure: GatewayError, *, answering: bool) -> tuple[GatewayError, float | None]:
        chat = self._chat
        if self._form.is_refused(failure):
            return failure, 0.0
        if self._refused_fields < _MOST_REFUSED_FIELDS and chat.requests.leaves_out(self.turn, failure):
            self._refused_fields += 1
            return failure, 0.0
        if refused := refused_demands(self.turn, failure):
            # The model is told them in words, too. Another turn's may be taken, such as a simpler schema.
            self.turn = without_demands(self.turn, refused)
            self._without |= refused
            return failure, 0.0
        if self._asked_again:
            return failure, None
        self._asked_again = True
        if isinstance(failure, UnparsedByUpstream):
            # The model wrote it, not the server: it may write something better at once.
            return failure, 0.0
        return failure, retry_pause(failure) if chat.asks_again else None


class OpenAICompatibleUpstream(UpstreamClient):
    """Answers turns through ``{server.url}/chat/completions``.

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
        chat = ChatServer(http, admission, server, idle_timeout=idle_timeout, asks_again=asks_again)
        super().__init__(chat, admission, total_timeout=total_timeout)
