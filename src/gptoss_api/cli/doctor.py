"""``gptoss-api doctor``: looks for what keeps the gateway from answering, and says what to do about it."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
import msgspec

from .. import __version__
from ..core.redaction import Redactor
from .options import WrongSetting, read_settings, setting_options

if TYPE_CHECKING:
    from ..config import Settings
    from ..upstreams.http.recording import RecordingClient
    from .diagnosis.answering import Upstreams
    from .diagnosis.findings import Finding

# Part of what programs may rely on, as the ids of findings are.
_FORM: Final = 1
_COLORS: Final = {"ok": "green", "warning": "yellow", "error": "red"}
# Seconds for the end of an answer that is complete already.
_TAIL_TIME: Final = 3.5


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--live", is_flag=True, help="Have each upstream answer one short message.")
@click.option(
    "--record",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Have the first upstream answer one, and write what went over the wire, without anything personal.",
)
@click.option("--yes", is_flag=True, help="Write the recording without asking.")
@setting_options
def command(as_json: bool, live: bool, record: Path | None, yes: bool, **given: object) -> None:
    """Look for what keeps the gateway from answering.

    Looks at Python, packages, settings, files, the login, the upstreams, the store, the port, proxies and the
    clock, and says of each whether it is ok, and what to do if not. Takes the options of 'serve'. Ends with
    1 where there is an error, else with 0.
    """
    logging.getLogger("gptoss_api").addHandler(logging.NullHandler())
    if record is not None:
        _refuse_place(record, asks=sys.stdin.isatty())
    report = _examine(given, live=live, record=record is not None)
    if as_json:
        click.echo(_as_json(report))
    else:
        _show(report)
    if record is not None:
        _write(record, report.recording, yes=yes, told_on_stderr=as_json)
    sys.exit(1 if report.count("error") else 0)


class _Report(NamedTuple):
    """Findings in the order in which they were made, without secrets, and the recording that was wanted."""

    findings: "list[Finding]"
    recording: dict[str, Any] | None = None

    def count(self, level: str) -> int:
        return sum(1 for finding in self.findings if finding.level == level)


def _examine(given: dict[str, object], *, live: bool, record: bool) -> _Report:
    from .diagnosis.findings import Finding
    from .diagnosis.machine import (
        check_files,
        check_packages,
        check_port,
        check_proxies,
        check_python,
        check_settings,
    )

    findings = [check_python(), *check_packages()]
    try:
        resolution = read_settings(given)
    except WrongSetting as wrong:
        advice = "Correct that setting; all else is looked at once it can be read."
        return _Report([*findings, Finding("configuration", "error", wrong.message, advice)])
    settings = resolution.settings
    findings += check_settings(resolution)
    findings += check_files(resolution)
    findings += [check_port(resolution), check_proxies(settings)]
    more, recording, secrets = asyncio.run(_ask_around(settings, live=live, record=record))
    redact = Redactor((*settings.secrets, *secrets))
    return _Report([_redacted(finding, redact) for finding in (*findings, *more)], recording)


async def _ask_around(
    settings: "Settings", *, live: bool, record: bool
) -> "tuple[list[Finding], dict[str, Any] | None, tuple[str, ...]]":
    """What the store, the login and the upstreams are like; the recording; and secrets that were read."""
    from ..config import ConfigError
    from ..gateway import choose_upstreams, read_credentials
    from ..upstreams.http.recording import RecordingClient
    from .diagnosis.answering import Upstreams, check_login
    from .diagnosis.findings import Finding
    from .diagnosis.machine import check_store

    store = await check_store(settings)
    try:
        credentials = read_credentials(settings)
        selection = await asyncio.to_thread(choose_upstreams, settings, credentials, os.environ)
    except ConfigError as error:
        return [store, Finding("configuration", "error", str(error))], None, ()
    http = RecordingClient(connect_timeout=settings.connect_timeout)
    upstreams = Upstreams(settings, credentials, selection, http)
    secrets = (*credentials.secrets, *upstreams.secrets)
    recording: dict[str, Any] | None = None
    try:
        findings = [store, await check_login(settings, credentials, selection, http)]
        first = upstreams.backends[0][0].name if record and upstreams.backends else ""
        findings += await upstreams.check(live=live, but=first)
        if record:
            finding, recording = await _record(upstreams, http, secrets)
            findings.append(finding)
        findings.append(await upstreams.check_clock())
        return findings, recording, (*secrets, *credentials.secrets)
    finally:
        await upstreams.close()
        await http.close()


async def _record(
    upstreams: "Upstreams", http: "RecordingClient", secrets: Iterable[str]
) -> "tuple[Finding, dict[str, Any] | None]":
    from .diagnosis.findings import Finding
    from .diagnosis.recording import Identifiable, recording

    if not upstreams.backends:
        advice = "Log in, or name a server with GPTOSS_UPSTREAM."
        return Finding("record", "error", "there is no upstream whose turn could be recorded", advice), None
    entry, backend = upstreams.backends[0]
    models, _ = await upstreams.list_models(entry.name, backend)
    http.exchanges.clear()
    finding, failure = await upstreams.turn(backend, models)
    await http.settle(_TAIL_TIME)
    try:
        return finding, recording(entry.kind, http.exchanges, failure, secrets)
    except Identifiable:
        what = "a secret would be left in the recording, which is a defect of this program"
        return Finding("record", "error", what, "Report that, without a recording."), None


def _redacted(finding: "Finding", redact: Redactor) -> "Finding":
    return msgspec.structs.replace(finding, what=redact(finding.what), advice=redact(finding.advice))


# -- the report --------------------------------------------------------------------------------------


def _as_json(report: _Report) -> str:
    return json.dumps(
        {
            "form": _FORM,
            "gptoss_api": __version__,
            "ok": not report.count("error"),
            "errors": report.count("error"),
            "warnings": report.count("warning"),
            "findings": [
                {name: getattr(finding, name) for name in ("id", "subject", "level", "what", "advice")}
                for finding in report.findings
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def _show(report: _Report) -> None:
    names = [f"{finding.id} {finding.subject}".rstrip() for finding in report.findings]
    width = max(map(len, names))
    for name, finding in zip(names, report.findings, strict=True):
        level = click.style(f"{finding.level:<7}", fg=_COLORS[finding.level])
        click.echo(f"{level}  {name:<{width}}  {finding.what}")
        if finding.advice:
            click.echo(f"{'':<{width + 11}}{finding.advice}")
    errors, warnings = report.count("error"), report.count("warning")
    click.echo(f"\n{_number(errors, 'error')}, {_number(warnings, 'warning')}.")


def _number(count: int, of: str) -> str:
    return f"{count or 'no'} {of}{'' if count == 1 else 's'}"


# -- the recording -----------------------------------------------------------------------------------


def _refuse_place(path: Path, *, asks: bool) -> None:
    """Raises ``ClickException`` for a file that may not be replaced, or that cannot be there."""
    try:
        there, folder = path.exists(), path.parent.is_dir()
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from None
    if not folder:
        raise click.ClickException(f"{path}: there is no folder {path.parent}; make it first.")
    if not os.access(path.parent, os.W_OK):
        raise click.ClickException(f"{path}: nothing can be written in {path.parent}; name another folder.")
    if not there:
        return
    if not asks:
        raise click.ClickException(f"{path} exists; name another file.")
    if not click.confirm(f"{path} exists. Replace it?", default=False, err=True):
        raise click.ClickException("Nothing was changed.")


def _write(path: Path, document: dict[str, Any] | None, *, yes: bool, told_on_stderr: bool) -> None:
    """Shows the recording, asks, and writes it; raises ``ClickException`` where it is not written."""
    from .diagnosis.recording import write_private

    if document is None:
        raise click.ClickException(f"Nothing was recorded, and {path} was not written.")
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    click.echo("\nThis is what the recording holds, and nothing else:\n", err=told_on_stderr)
    click.echo(text, err=told_on_stderr)
    if not yes:
        if not sys.stdin.isatty():
            raise click.ClickException(f"{path} was not written: nobody can be asked; see --yes.")
        if not click.confirm(f"Write this to {path}?", default=True, err=told_on_stderr):
            raise click.ClickException("Nothing was written.")
    try:
        write_private(path, text, replace=path.exists())
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from None
    click.echo(f"Written to {path}. Look at it once more before you show it to anybody.", err=True)
