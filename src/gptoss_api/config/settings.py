"""The one table of settings: each field names its environment variable, kind of value and purpose.

Loading, the options of the command line, ``gptoss-api config`` and the reference in the documentation
all follow it.
"""

from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import platformdirs

from ..access.origins import ANY, LOOPBACK, is_loopback
from ..core.servers import SERVER_KINDS, SITE
from .upstreams import UpstreamSettings, upstream_choice, upstream_tables
from .values import (
    Kind,
    address,
    aliases,
    api_key,
    choice,
    cookie,
    flag,
    host,
    hosts,
    http_url,
    keys,
    networks,
    number,
    or_off,
    origins,
    path,
    release,
    seconds,
    size,
    store,
    text,
)

T = TypeVar("T")

HIDDEN = "****"


@dataclass(frozen=True, slots=True)
class Option:
    """One key: where it is read from, how its value is understood and what it is for."""

    name: str
    env: str
    kind: Kind[Any]
    default: str
    purpose: str
    secret: bool

    @property
    def toml(self) -> str | None:
        """The key in the TOML file, which cannot name itself."""
        return None if self.name == "config_file" else self.name

    @property
    def flag(self) -> str:
        """The option on the command line, for those that have one."""
        return "--config" if self.name == "config_file" else "--" + self.name.replace("_", "-")

    def show(self, value: object) -> str:
        """The value in one line of text; of a secret only how many values there are."""
        if value is None or value == ():
            return ""
        if self.secret:
            return f"{HIDDEN} ({len(value) if isinstance(value, tuple) else 1})"
        return self.kind.show(value)


def _setting(
    default: T, env: str, kind: Kind[T], purpose: str, *, shown: str | None = None, secret: bool = False
) -> T:
    """A field of the table. ``shown`` is the default in words where it depends on other settings."""
    words = kind.show(default) if shown is None else shown
    described = {"env": env, "kind": kind, "default": words, "purpose": purpose, "secret": secret}
    return field(default=default, repr=not (secret or kind.delicate), metadata=described)


def config_folder() -> Path:
    """Where the configuration file and the login are kept unless told otherwise."""
    return platformdirs.user_config_path("gptoss-api", appauthor=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the gateway can be told. Durations are in seconds, sizes in bytes.

    An empty ``cors_origin``, ``allowed_hosts`` or ``credentials_file`` is filled with its default when
    the settings are made, so that readers find what is in force.
    """

    host: str = _setting(
        "127.0.0.1", "HOST", host, "Address to listen on; anything but loopback needs API keys."
    )
    port: int = _setting(
        8000,
        "PORT",
        number(0, 65535, " (0 takes any free port)"),
        "Port to listen on; 0 takes any free port.",
    )
    config_file: Path | None = _setting(
        None,
        "GPTOSS_CONFIG",
        path,
        "TOML file with settings.",
        shown="config.toml in the user's config folder",
    )
    insecure: bool = _setting(
        False, "GPTOSS_INSECURE", flag, "Serve other machines although no API keys are set."
    )
    api_keys: tuple[str, ...] = _setting(
        (),
        "GPTOSS_API_KEYS",
        keys,
        "Keys that clients must present.",
        shown="none: no key needed",
        secret=True,
    )
    api_keys_file: Path | None = _setting(
        None,
        "GPTOSS_API_KEYS_FILE",
        path,
        "File with more such keys, one a line; lines that start with # do not count.",
        shown="",
    )
    admin_key: str | None = _setting(
        None,
        "GPTOSS_ADMIN_KEY",
        api_key,
        "Key that opens /admin, beside the keys that were created with --admin.",
        shown="none",
        secret=True,
    )
    require_keys: bool = _setting(
        False,
        "GPTOSS_REQUIRE_KEYS",
        flag,
        "Want a key although none is known, as when the store of created keys cannot be read at the start.",
    )
    cors_origin: tuple[str, ...] = _setting(
        (),
        "CORS_ORIGIN",
        origins,
        "Web origins whose pages may call the gateway.",
        shown="* with API keys, else loopback",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (),
        "GPTOSS_ALLOWED_HOSTS",
        hosts,
        "Names in the Host header that are answered beside the loopback ones.",
        shown="only loopback without API keys on a loopback address, else *",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        "GPTOSS_TRUSTED_PROXIES",
        networks,
        "Proxies whose X-Forwarded-For, -Host and -Proto are believed.",
        shown="none",
    )
    upstream: str = _setting("auto", "GPTOSS_UPSTREAM", upstream_choice, "Where answers come from.")
    upstreams: tuple[UpstreamSettings, ...] = _setting(
        (), "GPTOSS_UPSTREAMS", upstream_tables, "Several upstreams, each with settings of its own.", shown=""
    )
    prefer: Literal["order", "verified"] = _setting(
        "order",
        "GPTOSS_PREFER",
        choice("order", "verified"),
        "Which of several upstreams comes first: by their order and weight, or the one with the best recent "
        "result of 'gptoss-api verify'.",
    )
    upstream_key: str | None = _setting(
        None,
        "GPTOSS_UPSTREAM_KEY",
        api_key,
        "Key for the servers that GPTOSS_UPSTREAM names by their address.",
        shown="none",
        secret=True,
    )
    aliases: tuple[tuple[str, str], ...] = _setting(
        (),
        "GPTOSS_ALIASES",
        aliases,
        "Further names under which clients may ask for a model; * stands for any characters.",
        shown="",
    )
    ollama_version: str = _setting(
        "0.34.0",
        "GPTOSS_OLLAMA_VERSION",
        release,
        "Release of Ollama that its clients are told; they refuse what is too old for them.",
    )
    chatkit_url: str | None = _setting(
        None,
        "GPTOSS_CHATKIT_URL",
        http_url,
        "Address of the ChatKit server.",
        shown=SERVER_KINDS[SITE].url,
    )
    chatkit_dialect: Literal["auto", "old", "new"] = _setting(
        "auto",
        "GPTOSS_CHATKIT_DIALECT",
        choice("auto", "old", "new"),
        "Dialect of the ChatKit protocol; auto finds out.",
    )
    cookie: str | None = _setting(
        None,
        "GPTOSS_COOKIE",
        cookie,
        "Cookies of a logged-in browser at gpt-oss.com.",
        shown="those of the credentials file",
        secret=True,
    )
    credentials_file: Path | None = _setting(
        None,
        "GPTOSS_CREDENTIALS_FILE",
        path,
        "File in which the login at gpt-oss.com is kept.",
        shown="credentials.json in the user's config folder",
    )
    threads: bool = _setting(
        True, "GPTOSS_THREADS", flag, "Continue conversations upstream instead of sending them whole."
    )
    state: str | None = _setting(
        None,
        "GPTOSS_STATE",
        store,
        "Store of what is remembered between requests.",
        shown="sqlite, state.db in the user's state folder",
    )
    workers: int = _setting(1, "GPTOSS_WORKERS", number(1, 64), "Processes that serve together.")
    max_concurrency: int = _setting(
        16, "GPTOSS_MAX_CONCURRENCY", number(1, 10_000), "Turns an upstream works on at the same time."
    )
    max_queue: int = _setting(
        1024,
        "GPTOSS_MAX_QUEUE",
        number(0, 1_000_000),
        "Turns that may wait; more are refused with 503, first those of the API key with the most.",
    )
    queue_timeout: float = _setting(
        60.0, "GPTOSS_QUEUE_TIMEOUT", seconds(0, 86_400), "Longest wait of a turn before it starts."
    )
    connect_timeout: float = _setting(
        10.0, "GPTOSS_CONNECT_TIMEOUT", seconds(0.01, 3_600), "Longest wait for a connection to an upstream."
    )
    idle_timeout: float = _setting(
        120.0,
        "GPTOSS_IDLE_TIMEOUT",
        seconds(0.01, 86_400),
        "Longest silence of an upstream inside an answer.",
    )
    total_timeout: float = _setting(
        900.0,
        "GPTOSS_TOTAL_TIMEOUT",
        seconds(0.01, 86_400),
        "Longest duration of a whole answer, and longest wait for its client to read it.",
    )
    whole_answers: bool = _setting(
        False,
        "GPTOSS_WHOLE_ANSWERS",
        flag,
        "Ask servers for whole answers, not for streams, where nobody sees the answer while it comes.",
    )
    keepalive: float = _setting(
        10.0,
        "GPTOSS_KEEPALIVE",
        or_off(seconds(0.01, 15)),
        "Silence after which a stream gets an SSE comment.",
    )
    max_body: int = _setting(
        8 * 1024**2,
        "GPTOSS_MAX_BODY",
        size(1024, 1024**3),
        "Largest request body that is read; up to sixteen of them may arrive at a time.",
    )
    shutdown_timeout: float = _setting(
        30.0, "GPTOSS_SHUTDOWN_TIMEOUT", seconds(0, 3_600), "Time running answers get when the gateway stops."
    )
    drain_delay: float = _setting(
        0.0,
        "GPTOSS_DRAIN_DELAY",
        seconds(0, 3_600),
        "Time for which a gateway that stops still takes requests; GET /readyz says 503 already.",
    )
    max_n: int = _setting(4, "GPTOSS_MAX_N", number(1, 128), "Largest n (choices) of one request.")
    reasoning_fields: Literal["auto", "both", "reasoning", "reasoning_content", "none"] = _setting(
        "auto",
        "GPTOSS_REASONING_FIELDS",
        choice("auto", "both", "reasoning", "reasoning_content", "none"),
        "Which fields of chat completions carry the reasoning.",
    )
    tool_style: Literal["ts", "harmony", "json"] = _setting(
        "ts", "GPTOSS_TOOL_STYLE", choice("ts", "harmony", "json"), "How tools are described to the model."
    )
    repair: Literal["strict", "best_effort"] = _setting(
        "strict",
        "GPTOSS_REPAIR",
        choice("strict", "best_effort"),
        "Whether an answer that could not be repaired is an error or delivered as it is.",
    )
    repeats: bool = _setting(
        True,
        "GPTOSS_REPEATS",
        flag,
        "Let a request that is repeated after a failure or a departure join the turn that is there.",
    )
    store: bool = _setting(
        True,
        "GPTOSS_STORE",
        flag,
        "Whether a response is stored whose request does not say.",
    )
    responses_days: int = _setting(
        30,
        "GPTOSS_RESPONSES_DAYS",
        number(1, 3_650),
        "Days for which stored responses can be continued and fetched.",
    )
    responses_max: int = _setting(
        5_000,
        "GPTOSS_RESPONSES_MAX",
        number(1, 10_000_000),
        "Most responses that are stored for each API key; its oldest make room.",
    )
    responses_bytes: int = _setting(
        256 * 1024**2,
        "GPTOSS_RESPONSES_BYTES",
        size(64 * 1024, 1024**4),
        "Most that the stored responses of each API key may take; its oldest make room.",
    )
    responses_total: int = _setting(
        1024**3,
        "GPTOSS_RESPONSES_TOTAL",
        size(64 * 1024, 1024**4),
        "Most that all stored responses may take; the oldest of the API key with the most make room.",
    )
    usage_days: int = _setting(
        400,
        "GPTOSS_USAGE_DAYS",
        number(1, 3_650),
        "Days for which it is kept how much each API key used; never what was said.",
    )
    metrics_addr: str | None = _setting(
        None,
        "GPTOSS_METRICS_ADDR",
        address,
        "Address and port at which GET /metrics is answered to everybody, such as 127.0.0.1:9464.",
        shown="none: GET /metrics on the gateway's own port, for loopback and admin keys",
    )
    server_key: str | None = _setting(
        None,
        "GPTOSS_SERVER_KEY",
        text(32),
        "Secret that replicas on several machines share, so that each knows what another gave out.",
        shown="secret.key beside the state, or in the user's state folder",
        secret=True,
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "GPTOSS_LOG_LEVEL", choice("debug", "info", "warning", "error"), "Least severe lines logged."
    )
    log_format: Literal["text", "json"] = _setting(
        "text", "GPTOSS_LOG_FORMAT", choice("text", "json"), "Form of the log on standard error."
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        given = [getattr(self, option.name) for option in OPTIONS if option.secret]
        values = (value if isinstance(value, tuple) else (value,) for value in given if value)
        return tuple(chain.from_iterable(values))

    @property
    def _keyed(self) -> bool:
        return bool(self.api_keys) or self.require_keys

    def __post_init__(self) -> None:
        if not self.cors_origin:
            object.__setattr__(self, "cors_origin", (ANY,) if self._keyed else (LOOPBACK,))
        if not self.allowed_hosts:
            local = not self._keyed and is_loopback(self.host)
            object.__setattr__(self, "allowed_hosts", (LOOPBACK,) if local else (ANY,))
        if self.credentials_file is None:
            object.__setattr__(self, "credentials_file", config_folder() / "credentials.json")


OPTIONS = tuple(Option(entry.name, **entry.metadata) for entry in fields(Settings))
