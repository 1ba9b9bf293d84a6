"""Everything that answers requests: routes, wrapped by the edge."""

from ..access import HostPolicy, OriginPolicy, TrustedProxies
from ..access.origins import is_loopback
from ..config import Settings
from ..core.accounting import TurnAccount
from ..core.catalog import ModelAliases
from ..dialects.base import DialectSettings
from ..dialects.registry import registered
from ..gateway import Gateway
from ..telemetry.logs import log_request
from .accounts import account_of
from .administration import Administration
from .cors import Cors
from .drain import Drain
from .edge import Edge
from .exchange import Exchange
from .intake import Intake
from .metrics import Metrics
from .operations import Operations
from .pages import Pages
from .reloading import Reloader
from .request import RequestRecord
from .routes import Routes
from .surface import ADMIN, OWN, PAGE, PAGES, RELOAD, VERIFY, Surface
from .turns import Serving
from .verified import Verified
from .views import Views

# Asked every few seconds by machines.
PROBES = frozenset({"/healthz", "/readyz"})


class App:
    """The whole HTTP side over ``gateway``: what lasts as long as the process, and what settings decide.

    ``metrics`` are its own unless it shares them with fellows. ``reloader`` is there once settings are
    followed.
    """

    def __init__(
        self, settings: Settings, gateway: Gateway, drain: Drain, metrics: Metrics | None = None
    ) -> None:
        self.reloader: Reloader | None = None
        self._gateway = gateway
        self._drain = drain
        self._metrics = metrics or Metrics(gateway, drain)
        serving = Serving(
            drain,
            Intake(settings.max_body),
            settings.keepalive,
            lambda: gateway.only_upstream,
            gateway.state.accounts,
        )
        self._operations = Operations(settings, gateway, serving, self._ended_later)
        self._proxies = TrustedProxies(settings.trusted_proxies)
        routes, surface = self._routed(settings)
        self.edge = Edge(
            routes,
            surface=surface,
            keys=gateway.state.keys,
            hosts=HostPolicy(settings.allowed_hosts),
            proxies=self._proxies,
            cors=Cors(OriginPolicy(settings.cors_origin)),
            drain=drain,
            finished=self._finished,
        )

    def use(self, settings: Settings) -> None:
        """Goes by other settings from now on."""
        routes, surface = self._routed(settings)
        hosts, cors = HostPolicy(settings.allowed_hosts), Cors(OriginPolicy(settings.cors_origin))
        self.edge.use(routes, surface, hosts, cors)

    def _routed(self, settings: Settings) -> tuple[Routes, Surface]:
        gateway, state = self._gateway, self._gateway.state
        surface = Surface(registered(_dialect_settings(settings, gateway)))
        pages = Pages(
            gateway, self._drain, state.keys, self._proxies, surface, self._metrics, self._following
        )
        administration = Administration(state.keys, state.accounts, state.usage, self._following)
        endpoints = [each for dialect in surface.dialects for each in self._operations.endpoints(dialect)]
        views = Views(settings, gateway, self._drain, administration, self._metrics, self._following)
        own = pages.handlers | administration.handlers | views.handlers
        own |= {VERIFY: Verified(gateway).verify}
        endpoints += [("GET", path, own[path]) for path in (*PAGES, *OWN, *ADMIN)]
        endpoints.append(("POST", RELOAD, administration.reload))
        return Routes(endpoints), surface

    def _following(self) -> Reloader | None:
        return self.reloader

    def _finished(self, exchange: Exchange) -> None:
        record = exchange.record
        owner = record.dialect or self.edge.surface.owner_name(exchange.path)
        turn = account_of(record, owner)
        _log(exchange, turn)
        if owner and not record.goes_on:
            self._account(record, turn)

    def _ended_later(self, record: RequestRecord, status: int, outcome: str) -> None:
        """Accounts for a request whose answer went on when it was over."""
        self._account(record, account_of(record, record.dialect, status=status, outcome=outcome))

    def _account(self, record: RequestRecord, turn: TurnAccount) -> None:
        self._metrics.count(turn)
        if record.model:
            self._gateway.state.usage.note(turn)


def create_app(settings: Settings, gateway: Gateway, drain: Drain) -> Edge:
    """What answers every request over ``gateway``."""
    return App(settings, gateway, drain).edge


def _dialect_settings(settings: Settings, gateway: Gateway) -> DialectSettings:
    return DialectSettings(
        reasoning_fields=settings.reasoning_fields,
        max_n=settings.max_n,
        store=settings.store,
        secret=gateway.state.secret,
        aliases=ModelAliases(dict(settings.aliases)),
        ollama_version=settings.ollama_version,
    )


def _program(user_agent: str) -> str:
    """The program that a user agent names, without what it says of its surroundings."""
    return user_agent.partition("(")[0].strip()[:64]


def _log(exchange: Exchange, turn: TurnAccount) -> None:
    record, path = exchange.record, exchange.path
    started = record.meter.started
    log_request(
        request_id=record.id,
        key=record.key.name,
        address="" if is_loopback(record.address) else record.address,
        client=_program(record.headers.get("user-agent", "")),
        dialect=record.dialect,
        method=exchange.method,
        path=path,
        upstream=started.upstream if started else turn.upstream,
        model=started.model if started else "",
        thread=started.thread if started else "",
        emulated=",".join(started.emulated) if started else "",
        repairs=turn.repairs if started else None,
        status=turn.status,
        outcome=turn.outcome,
        prompt_tokens=turn.prompt if started else None,
        completion_tokens=turn.completion if started else None,
        first_byte_ms=turn.first_ms,
        total_ms=turn.total_ms,
        # A view of the page is many files.
        probe=path in PROBES or path.startswith(f"{PAGE}/"),
    )
