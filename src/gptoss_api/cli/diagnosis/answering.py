"""Whether the upstreams are there and answer, and whether the login is good."""

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from ...config import ConfigError, Settings, UpstreamSettings
from ...core.errors import GatewayError, UpstreamLoginRequired
from ...core.events import Events, TextDelta
from ...core.program import command
from ...core.servers import SERVER_KINDS, SITE
from ...core.turn import Turn, UserMessage
from ...gateway.building import UpstreamBuilder
from ...gateway.selection import Selection
from ...loop import Flow
from ...upstreams.base import Backend, ServedModel
from ...upstreams.chatkit import Credentials
from ...upstreams.chatkit import trial as trials
from ...upstreams.chatkit.session import read_session
from ...upstreams.http import HttpClient
from ...upstreams.retry_after import parse_date
from ..login import site_url
from .findings import Finding, Level

# Seconds: for an upstream to be reached, to tell its models, to tell the time, and to answer a turn.
_LOOK_TIME: Final = 10.0
_LIST_TIME: Final = 15.0
_DATE_TIME: Final = 5.0
_TURN_TIME: Final = 120.0
# Seconds by which a clock may be wrong before it is told, and before certificates fail.
_CLOCK_TOLERANCE: Final = 90.0
_CLOCK_LIMIT: Final = 86_400.0
# Days after which a session of the site is old (docs/design/gpt-oss-com.md, "Cookies").
_OLD_LOGIN: Final = 14.0
_DAY: Final = 86_400.0
_USUAL_MODEL: Final = "gpt-oss-20b"


class Answer:
    """What is heard of one short turn."""

    def __init__(self) -> None:
        self.flow = Flow()
        self.text = ""
        self.began = time.monotonic()
        self.first: float | None = None

    def feed(self, events: Events) -> bool:
        """See :class:`gptoss_api.upstreams.base.Sink`."""
        if self.first is None:
            self.first = time.monotonic() - self.began
        self.text += "".join(event.text for event in events if isinstance(event, TextDelta))
        return True


class Upstreams:
    """The upstreams that would answer, each to be looked at; ``close`` when that is done.

    Raises:
        ConfigError: for one that cannot be made.
    """

    def __init__(
        self, settings: Settings, credentials: Credentials, selection: Selection, http: HttpClient
    ) -> None:
        self._http = http
        self._builder = UpstreamBuilder(settings, credentials, http, os.environ)
        self._settings = settings
        self.selection = selection
        self.backends: list[tuple[UpstreamSettings, Backend]] = []
        self.failed: list[Finding] = []
        for entry in selection.upstreams:
            try:
                self.backends.append((entry, self._builder.build(entry, alone=True)))
            except ConfigError as error:
                self.failed.append(Finding("upstream", "error", str(error), subject=entry.name))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, beside the secrets among the settings."""
        return tuple(self._builder.keys)

    async def check(self, *, live: bool, but: str = "") -> list[Finding]:
        """Whether each can be reached, has a model, and with ``live`` answers, ``but`` one; all at once."""
        if self.selection.is_demo:
            advice = f"Log in with `{command()} login`, or name a server with GPTOSS_UPSTREAM."
            what = f"answers come from the demo: {self.selection.because}"
            return [Finding("upstream", "warning", what, advice, "demo")]
        found = await asyncio.gather(
            *(self._check(entry, each, live and entry.name != but) for entry, each in self.backends)
        )
        return [*self.failed, *(finding for findings in found for finding in findings)]

    async def _check(self, entry: UpstreamSettings, backend: Backend, live: bool) -> list[Finding]:
        name = entry.name
        await backend.look(_LOOK_TIME)
        health = await backend.health()
        if not health.ready:
            return [Finding("upstream", "error", health.detail, _mend(entry), name)]
        findings = [Finding("upstream", "ok", f"{self._address(entry)} can be reached", subject=name)]
        models, finding = await self.list_models(name, backend)
        findings.append(finding)
        if live:
            findings.append((await self.turn(backend, models))[0])
        return findings

    async def list_models(self, name: str, backend: Backend) -> tuple[list[ServedModel], Finding]:
        """The gpt-oss models that an upstream serves, and what to say of them."""
        try:
            async with asyncio.timeout(_LIST_TIME):
                models = list(await backend.models())
        except (GatewayError, TimeoutError) as error:
            said = error.message if isinstance(error, GatewayError) else "no answer in time"
            return [], Finding("model", "warning", f"its models are not known: {said}", subject=name)
        if not models:
            advice = "Load gpt-oss-20b or gpt-oss-120b there, or name its model in `models` of [[upstreams]]."
            return [], Finding("model", "error", "no gpt-oss model is listed", advice, name)
        listed = ", ".join(sorted({model.id for model in models}))
        return models, Finding("model", "ok", f"serves {listed}", subject=name)

    async def turn(self, backend: Backend, models: list[ServedModel]) -> tuple[Finding, GatewayError | None]:
        """Has one short message answered, and says what came of it."""
        ids = [model.id for model in models] or [_USUAL_MODEL]
        turn = Turn(
            model=_USUAL_MODEL if _USUAL_MODEL in ids else ids[0],
            messages=(UserMessage(trials.MESSAGE),),
            effort="low",
            new_thread=True,
        )
        answer = Answer()
        name = backend.name
        try:
            async with asyncio.timeout(_TURN_TIME):
                await backend.answer(turn, answer)
        except GatewayError as failure:
            advice = "" if not isinstance(failure, UpstreamLoginRequired) else f"Run `{command()} login`."
            return Finding("turn", "error", failure.message, advice, name), failure
        except TimeoutError:
            what = f"{turn.model} gave no whole answer in {_TURN_TIME:g} s"
            return Finding("turn", "error", what, subject=name), None
        took = time.monotonic() - answer.began
        if not answer.text.strip():
            return Finding("turn", "warning", f"{turn.model} answered without a text", subject=name), None
        first = f", its first word after {answer.first:.1f} s" if answer.first is not None else ""
        what = f"{turn.model} answered in {took:.1f} s{first}"
        return Finding("turn", "ok", what, subject=name), None

    async def check_clock(self) -> Finding:
        """Compares the clock with the date of the first upstream that tells it."""
        for entry, _ in self.backends:
            moment = await self._date_at(self._address(entry))
            if moment is None:
                continue
            apart = time.time() - moment.timestamp()
            by = f"{abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} that of {entry.name}"
            if abs(apart) < _CLOCK_TOLERANCE:
                return Finding("clock", "ok", f"as that of {entry.name}, within {max(abs(apart), 1):.0f} s")
            level: Level = "error" if abs(apart) >= _CLOCK_LIMIT else "warning"
            return Finding("clock", level, f"it is {by}", "Set the clock, or have it set (NTP).")
        return Finding("clock", "ok", "no upstream told the time")

    async def _date_at(self, url: str) -> datetime | None:
        parts = urlsplit(url)
        try:
            async with (
                asyncio.timeout(_DATE_TIME),
                self._http.request("GET", f"{parts.scheme}://{parts.netloc}/") as response,
            ):
                return parse_date(response.headers.get("date") or "")
        except (GatewayError, TimeoutError, ValueError):
            return None

    def _address(self, entry: UpstreamSettings) -> str:
        if entry.kind == SITE:
            return entry.url or site_url(self._settings)
        return entry.url or SERVER_KINDS[entry.kind].url

    async def close(self) -> None:
        for _, backend in self.backends:
            await backend.close()


def _mend(entry: UpstreamSettings) -> str:
    if entry.kind == SITE:
        return ""
    return (
        "Start that server, or correct its address or key."
        if entry.url or SERVER_KINDS[entry.kind].port
        else ""
    )


async def check_login(
    settings: Settings, credentials: Credentials, selection: Selection, http: HttpClient
) -> Finding:
    """Whether there is a login, how old it is and, where that costs nothing, whether it is good."""
    needed = any(entry.kind == SITE for entry in selection.upstreams)
    again = f"Run `{command()} login`."
    if credentials.unreadable:
        what = f"{credentials.path} cannot be used: {credentials.unreadable}"
        return Finding("login", "error" if needed else "warning", what, again)
    if not credentials.configured:
        return Finding("login", "error", "there is none", again) if needed else _no_login(selection)
    where = "GPTOSS_COOKIE" if settings.cookie else str(credentials.path)
    signed = read_session(credentials.session).signed
    what = f"kept in {where}{_age(credentials, signed)}"
    if not credentials.session:
        return Finding("login", "error", f"{what}; the cookie session is missing", again)
    host = urlsplit(site_url(settings)).hostname or ""
    if host == SITE or host.endswith(f".{SITE}"):
        told = await trials.ask_owner(http, credentials, trials.USERINFO_URL)
        what = f"{what}. {told.detail}"
        if told.expired:
            return Finding("login", "warning", what, again)
        if told.verdict is trials.Verdict.GOOD:
            return Finding("login", "ok", what)
    if signed and time.time() - signed > _OLD_LOGIN * _DAY:
        return Finding("login", "warning", f"{what}, which is long ago", f"See with --live, or: {again}")
    return Finding("login", "ok", what, "Only a turn tells whether it is good: see with --live.")


def _no_login(selection: Selection) -> Finding:
    return Finding("login", "ok", f"there is none, and {selection.names} needs none")


def _age(credentials: Credentials, signed: int) -> str:
    """How old the login is, as far as it or its file tells."""
    try:
        written = credentials.path.stat().st_mtime if credentials.path is not None else 0.0
    except OSError:
        written = 0.0
    since = float(signed) or written
    if not since:
        return ""
    day = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M")
    return f", {'made' if signed else 'written'} {day} UTC"
