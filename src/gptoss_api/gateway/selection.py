"""Which upstreams answer, and why: what is configured, or what ``auto`` finds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ..config import ConfigError, Settings, UpstreamSettings
from ..config.upstreams import named_upstream
from ..core.program import command
from ..core.servers import AUTO, DEMO, SERVER_KINDS, SITE
from ..routing.discovery import FoundServer, find_local_servers
from ..upstreams.chatkit import Credentials
from .building import find_usable_key

_SITE: Final = UpstreamSettings(SITE, SITE)


@dataclass(frozen=True, slots=True)
class Selection:
    """The upstreams in the order in which they are asked, none for the demo, and the reason in words.

    ``warning`` is what the user should know before anything else. ``unreadable`` says what is wrong with the
    login that the site needs.
    """

    upstreams: tuple[UpstreamSettings, ...]
    because: str
    warning: str = ""
    unreadable: str = ""

    @property
    def is_demo(self) -> bool:
        return not self.upstreams

    def refuse_unreadable_login(self) -> None:
        """Raises :class:`ConfigError` for a login that is there and cannot be read."""
        if self.unreadable:
            raise ConfigError(f"{self.unreadable}; run '{command()} login' again, or remove the file")

    @property
    def names(self) -> str:
        return ", ".join(entry.name for entry in self.upstreams) or DEMO


def choose_upstreams(
    settings: Settings,
    credentials: Credentials,
    environ: Mapping[str, str],
    find_servers: Callable[[], list[FoundServer]] | None = None,
) -> Selection:
    """Which upstreams answer, and why in words; this machine's ports are looked at last."""

    def look() -> list[FoundServer]:
        return find_local_servers(own_port=settings.port)

    return select_upstreams(settings, credentials, environ, find_servers or look)


def read_credentials(settings: Settings) -> Credentials:
    """The login at gpt-oss.com, from the settings or the file that keeps it.

    Raises:
        ConfigError: for a configured text without cookies.
    """
    try:
        return Credentials.load(settings.cookie, settings.credentials_file)
    except ValueError as error:
        raise ConfigError(f"GPTOSS_COOKIE: {error}") from None


def select_upstreams(
    settings: Settings,
    credentials: Credentials,
    environ: Mapping[str, str],
    find_servers: Callable[[], list[FoundServer]],
) -> Selection:
    """What ``settings`` ask for. The demo stands in only where nothing else is configured or found.

    ``find_servers`` looks for servers on this machine; it is asked last.
    """
    if settings.upstream == DEMO:
        return Selection((), "GPTOSS_UPSTREAM is demo")
    if settings.upstream != AUTO:
        return _with_login(_named(settings), credentials)
    if settings.upstreams:
        return _with_login(
            Selection(_ordered(settings.upstreams), "[[upstreams]] are configured"), credentials
        )
    if (login := select_login(credentials)) is not None:
        return login
    if settings.chatkit_url is not None:
        return Selection((_SITE,), "GPTOSS_CHATKIT_URL is configured")
    if (paid := _select_by_key(environ)) is not None:
        return paid
    if servers := find_servers():
        return Selection(
            _named_apart(
                UpstreamSettings(entry.server.kind, entry.server.kind, entry.server.url) for entry in servers
            ),
            "; ".join(entry.told for entry in servers),
        )
    return Selection((), "no credential and no server is configured, and none was found on this machine")


def select_login(credentials: Credentials) -> Selection | None:
    """The site, if there is a login for it, be it readable or not."""
    if credentials.configured:
        return Selection((_SITE,), "a login at gpt-oss.com is configured")
    if credentials.unreadable:
        return _with_login(Selection((_SITE,), "a login at gpt-oss.com is kept, but unreadable"), credentials)
    return None


def _select_by_key(environ: Mapping[str, str]) -> Selection | None:
    """The first server that may be taken because there is a key for it: whose key that is pays."""
    for kind in SERVER_KINDS.values():
        if kind.taken_for_key and (found := find_usable_key(kind, environ)) is not None:
            return Selection(
                (UpstreamSettings(kind.name, kind.name),),
                f"a {kind.title} token was found ({found.where}) and no login at gpt-oss.com",
                warning=f"answers come from {kind.taken_for_key}, which bills the account of the token that "
                f"was found ({found.where}); to prevent that, set GPTOSS_UPSTREAM to what shall answer, such "
                "as gpt-oss.com, ollama or demo",
            )
    return None


def _with_login(selection: Selection, credentials: Credentials) -> Selection:
    """``selection`` with what is wrong with the login, if it needs one."""
    if credentials.unreadable and any(entry.kind == SITE for entry in selection.upstreams):
        return replace(
            selection, unreadable=f"{credentials.path}: the login cannot be used: {credentials.unreadable}"
        )
    return selection


def _named(settings: Settings) -> Selection:
    configured = {entry.name: entry for entry in settings.upstreams}
    chosen = [
        configured.get(word) or named_upstream(word) or UpstreamSettings(word, word)
        for word in settings.upstream.split(", ")
    ]
    return Selection(_named_apart(chosen), f"GPTOSS_UPSTREAM is {settings.upstream}")


def _named_apart(entries: Iterable[UpstreamSettings]) -> tuple[UpstreamSettings, ...]:
    """In this order, each with a name of its own: two addresses may have the same host."""
    taken: set[str] = set()
    out: list[UpstreamSettings] = []
    for place, entry in enumerate(entries):
        name = f"{entry.name}-{place + 1}" if entry.name in taken else entry.name
        taken.add(name)
        out.append(replace(entry, order=place, name=name))
    return tuple(out)


def _ordered(upstreams: tuple[UpstreamSettings, ...]) -> tuple[UpstreamSettings, ...]:
    """In the order of the file, unless they say otherwise.

    Neighbours that give a weight and no order share one place: a weight means nothing to an upstream that is
    alone at its own.
    """
    placed: list[UpstreamSettings] = []
    shared: int | None = None
    for place, entry in enumerate(upstreams):
        if entry.order is not None:
            shared = None
        elif entry.weight is None:
            entry, shared = replace(entry, order=place), None
        else:
            shared = place if shared is None else shared
            entry = replace(entry, order=shared)
        placed.append(entry)
    return tuple(sorted(placed, key=lambda entry: entry.order or 0))
