"""Upstreams made of their settings."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple, ParamSpec, TypeVar
from urllib.parse import urlsplit, urlunsplit

from msgspec.structs import replace

from ..config import ConfigError, Settings, UpstreamSettings
from ..core.histogram import Histogram
from ..core.servers import GENERIC, SERVER_KINDS, SITE, ServerKind
from ..upstreams.admission import Admission
from ..upstreams.base import Backend
from ..upstreams.chatkit import ChatKitUpstream, Credentials
from ..upstreams.client import UpstreamClient
from ..upstreams.either import EitherProtocol
from ..upstreams.http import HttpClient
from ..upstreams.openai.server import Server
from ..upstreams.openai_compatible import ChatServer, OpenAICompatibleUpstream
from ..upstreams.openai_compatible.addressed import AddressedUpstream
from ..upstreams.openai_compatible.keys import FoundKey, UnusableKey, checked_key, find_key, read_key_file
from ..upstreams.openai_compatible.recognition import ask_kind
from ..upstreams.responses import ResponsesServer

_ALL: Final = "[[upstreams]]"

P = ParamSpec("P")
T = TypeVar("T")


def find_usable_key(kind: ServerKind, environ: Mapping[str, str]) -> FoundKey | None:
    """The key for a kind of server, if there is one.

    Raises:
        ConfigError: for something that was set for one and cannot be it.
    """
    return _usable(find_key, kind, environ)


def _usable(find: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return find(*args, **kwargs)
    except UnusableKey as unusable:
        raise ConfigError(str(unusable)) from None


class UpstreamParts(NamedTuple):
    """What an upstream is made of: ``entry`` is what the user said of it, ``kind`` what is known anyway.

    ``key`` looks for the key of a server that may have one. Timeouts are in seconds. An upstream that is
    ``alone`` asks once more by itself.
    """

    kind: ServerKind
    entry: UpstreamSettings
    settings: Settings
    http: HttpClient
    admission: Admission
    login: Credentials
    key: Callable[[], str]
    alone: bool
    idle_timeout: float
    total_timeout: float


class UpstreamBuilder:
    """Makes upstreams that share one HTTP client; ``alone`` ones ask once more themselves.

    ``keys`` are the secrets that were read for them, and what else they send in headers; ``admissions``
    hold the turns that wait for them, by their names; how long those waited goes into ``waits``.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        http: HttpClient,
        environ: Mapping[str, str],
        waits: dict[str, Histogram] | None = None,
    ) -> None:
        self._waits = {} if waits is None else waits
        self.keys: list[str] = []
        self.admissions: dict[str, Admission] = {}
        self._settings = settings
        self._credentials = credentials
        self._http = http
        self._environ = environ

    def build(self, entry: UpstreamSettings, *, alone: bool) -> Backend:
        """Raises: ConfigError, for a key that should be somewhere and is not."""
        settings = self._settings
        kind = SERVER_KINDS[entry.kind]
        return PROTOCOLS[kind.protocol](
            UpstreamParts(
                kind,
                entry,
                settings,
                self._http,
                self._admission(entry),
                self._credentials,
                partial(self._key, entry, kind),
                alone,
                entry.idle_timeout or settings.idle_timeout,
                entry.total_timeout or settings.total_timeout,
            )
        )

    def address(self, entry: UpstreamSettings) -> str:
        """Where its server is, without what may be secret in it; "" for what is in this process."""
        kind = SERVER_KINDS.get(entry.kind)
        if kind is None:
            return ""
        site = self._settings.chatkit_url if kind.name == SITE else None
        parts = urlsplit(entry.url or site or kind.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    def _key(self, entry: UpstreamSettings, kind: ServerKind) -> str:
        key = self._find_key(entry, kind)
        self.keys += filter(None, (key, *entry.headers.values()))
        return key

    def _find_key(self, entry: UpstreamSettings, kind: ServerKind) -> str:
        if entry.key_env is not None:
            text = _usable(checked_key, self._environ.get(entry.key_env, ""), entry.key_env)
            if not text:
                raise ConfigError(f"{_ALL} {entry.name}: key_env is {entry.key_env}, which is not set")
            return text
        if entry.key_file is not None:
            try:
                return _usable(read_key_file, entry.key_file)
            except OSError as error:
                raise ConfigError(f"{_ALL} {entry.name}: {entry.key_file}: {error.strerror}") from None
        if (found := find_usable_key(kind, self._environ)) is not None:
            return found.key
        # An address in GPTOSS_UPSTREAM has no place for a key of its own.
        given = kind == GENERIC and entry not in self._settings.upstreams
        return (self._settings.upstream_key or "") if given else ""

    def _admission(self, entry: UpstreamSettings) -> Admission:
        settings = self._settings
        self.admissions[entry.name] = admission = Admission(
            entry.max_concurrency or settings.max_concurrency,
            settings.max_queue if entry.max_queue is None else entry.max_queue,
            settings.queue_timeout if entry.queue_timeout is None else entry.queue_timeout,
            self._waits.setdefault(entry.name, Histogram()),
            entry.name,
        )
        return admission


def _chatkit(parts: UpstreamParts) -> Backend:
    settings = parts.settings
    return ChatKitUpstream(
        parts.http,
        parts.admission,
        parts.login,
        url=parts.entry.url or settings.chatkit_url or parts.kind.url,
        dialect=settings.chatkit_dialect,
        idle_timeout=parts.idle_timeout,
        total_timeout=parts.total_timeout,
    )


def _server(parts: UpstreamParts) -> Server:
    kind, entry = parts.kind, parts.entry
    return Server(
        _named(kind, entry) if kind.is_anywhere else kind,
        entry.url or kind.url,
        key=parts.key(),
        name=entry.name,
        models=entry.models,
        headers=entry.headers,
        whole_answers=_whole_answers(parts),
    )


def _whole_answers(parts: UpstreamParts) -> bool:
    entry = parts.entry
    if entry.whole_answers is not None:
        return entry.whole_answers
    # What is asked for as a whole has no first byte before all of it has been thought.
    return parts.settings.whole_answers and entry.first_byte_timeout is None


def _named(kind: ServerKind, entry: UpstreamSettings) -> ServerKind:
    """For servers of which there may be several, and that nobody knows by a name of their own."""
    return replace(kind, title=entry.name)


def _chat_completions(parts: UpstreamParts) -> Backend:
    given = _server(parts)

    def make(server: Server) -> Backend:
        return OpenAICompatibleUpstream(
            parts.http,
            parts.admission,
            server,
            idle_timeout=parts.idle_timeout,
            total_timeout=parts.total_timeout,
            asks_again=parts.alone,
        )

    def make_of_kind(name: str) -> Backend:
        if name:
            return make(replace(given, kind=_named(SERVER_KINDS[name], parts.entry)))
        # Whatever is at an address may speak only the newer protocol.
        either = EitherProtocol(*(_asked_with(each, parts, given) for each in (ChatServer, ResponsesServer)))
        return UpstreamClient(either, parts.admission, total_timeout=parts.total_timeout)

    if parts.kind != GENERIC:
        return make(given)
    return AddressedUpstream(make_of_kind, partial(ask_kind, parts.http, given))


def _responses(parts: UpstreamParts) -> Backend:
    requests = _asked_with(ResponsesServer, parts, _server(parts))
    return UpstreamClient(requests, parts.admission, total_timeout=parts.total_timeout)


def _asked_with(
    requests: type[ChatServer | ResponsesServer], parts: UpstreamParts, server: Server
) -> ChatServer | ResponsesServer:
    return requests(
        parts.http, parts.admission, server, idle_timeout=parts.idle_timeout, asks_again=parts.alone
    )


# The protocols that servers may speak (``ServerKind.protocol``).
PROTOCOLS: Final[dict[str, Callable[[UpstreamParts], Backend]]] = {
    "chat_completions": _chat_completions,
    "chatkit": _chatkit,
    "responses": _responses,
}
