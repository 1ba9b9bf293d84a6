"""``gptoss-api verify``: how well upstreams serve gpt-oss, by what they themselves say."""

import asyncio
import json
import math
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
import msgspec

from ..config import ConfigError, Settings
from ..core.catalog import find_model
from ..core.errors import ModelNotFound
from ..core.servers import DEMO
from ..gateway import state_url
from ..gateway.verifying import Bench, Order, Unmeasurable, keep, open_bench
from ..state import StoreUnavailable, is_shared
from ..telemetry.logs import configure_logging
from ..verification.card import Card, Sample
from ..verification.cases import CASE_SET, plan
from .options import WrongSetting, read_settings
from .verify_card import compared, shown

# Turns for each area unless told otherwise.
_USUAL: Final = 20
_USUAL_QUICK: Final = 6
# Tokens above which somebody at a terminal is asked first.
_ASKED_ABOVE: Final = 100_000
_UNMEASURED: Final = 2


class Share(click.FloatRange):
    """A number within bounds, which to Click "nan" is, too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is not a number from {self.min:g} to {self.max:g}")
        return found


@click.command("verify", short_help="Measure how well upstreams serve gpt-oss.")
@click.option(
    "--upstream", metavar="NAME", help="Which upstream, as of 'serve'; all that are configured unless given."
)
@click.option("--model", metavar="NAME", help="Which model; the first that the upstream serves unless given.")
@click.option(
    "--n",
    type=click.IntRange(1, 200),
    help=f"Turns for each area; {_USUAL} unless given, {_USUAL_QUICK} with --quick.",
)
@click.option("--quick", is_flag=True, help="Fewer turns, and only the shortest of the long texts.")
@click.option(
    "--concurrency", type=click.IntRange(1, 32), default=2, show_default=True, help="Turns at a time."
)
@click.option(
    "--min-score",
    type=Share(0, 1),
    default=0.9,
    show_default=True,
    help="Score below which the exit code is 1.",
)
@click.option("--yes", is_flag=True, help="Do not ask, however much it costs.")
@click.option("--json", "as_json", is_flag=True, help="The score cards as JSON.")
@click.option("--config", "config_file", metavar="FILE", help="TOML file with settings.")
@click.option("--state", metavar="URL", help="State store in which results are kept, as of 'serve'.")
def command(
    model: str | None,
    n: int | None,
    quick: bool,
    concurrency: int,
    min_score: float,
    yes: bool,
    as_json: bool,
    **places: str | None,
) -> None:
    """Measure how well upstreams serve gpt-oss: tools, structured output, reasoning, long context, times.

    What a server itself says is judged, and beside it what the gateway makes of it. It costs real turns; how
    many is said first. Results are kept in the state store.

    The exit code is 0 if all is well, 1 below --min-score, 2 if something could not be measured.
    """
    settings = read_settings(places).settings
    configure_logging("error", settings.log_format, secrets=settings.secrets)
    try:
        canonical = find_model(model).id if model else ""
    except ModelNotFound as error:
        raise click.BadParameter(error.message, param_hint="--model") from None
    order = Order(n or (_USUAL_QUICK if quick else _USUAL), quick, concurrency, canonical)
    try:
        cards, whole = asyncio.run(_verify(settings, order, places["upstream"], sure=yes, quiet=as_json))
    except ConfigError as error:
        raise WrongSetting(str(error)) from None
    if as_json:
        told = {"object": "list", "case_set": CASE_SET, "data": msgspec.to_builtins(cards)}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    elif len(cards) > 1:
        click.echo(compared(cards))
    if not whole:
        sys.exit(_UNMEASURED)
    sys.exit(int(any(card.score is None or card.score < min_score for card in cards)))


async def _verify(
    settings: Settings, order: Order, asked: str | None, *, sure: bool, quiet: bool
) -> tuple[list[Card], bool]:
    """The cards of one upstream after the other, and whether all could be measured to the end.

    ``asked`` is what the command line names as the upstream.
    """
    cards: list[Card] = []
    whole = True
    async with open_bench(settings) as bench:
        if not bench.candidates:
            because = f"--upstream is {asked}" if asked == DEMO else bench.selection.because
            click.echo(
                f"There is no upstream to measure: {because}. The demo has no model behind it.", err=True
            )
            return cards, False
        if not _is_worth_it(order, bench, sure=sure):
            return cards, False
        with _interrupts() as stop:
            for candidate in bench.candidates:
                name = candidate.subject.upstream
                if stop.is_set():
                    click.echo(f"{name}: not measured.", err=True)
                    whole = False
                    continue
                try:
                    card = await candidate.measure(order, progress := Progress(name, order), stop)
                except Unmeasurable as why:
                    click.echo(f"{name}: cannot be measured: {why}", err=True)
                    whole = False
                    continue
                progress.end(card)
                whole = whole and card.complete
                cards.append(card)
                await _keep(card, settings)
                if not quiet:
                    click.echo(shown(card))
    return cards, whole


def _is_worth_it(order: Order, bench: Bench, *, sure: bool) -> bool:
    """Says what it costs, and asks first where that is much and somebody is there to answer."""
    probes = plan(order.n, quick=order.quick)
    each = sum(probe.tokens for probe in probes)
    count = len(bench.candidates)
    names = ", ".join(candidate.subject.upstream for candidate in bench.candidates)
    more = f" each, {each * count:,} tokens together" if count > 1 else ""
    click.echo(f"Measuring {names}: {len(probes)} turns, about {each:,} tokens{more}.", err=True)
    if sure or each * count <= _ASKED_ABOVE or not sys.stdin.isatty():
        return True
    return click.confirm("Go on?", err=True)


async def _keep(card: Card, settings: Settings) -> None:
    if not is_shared(state_url(settings)):
        click.echo("The result is not kept: GPTOSS_STATE is memory://.", err=True)
        return
    try:
        await keep(card, settings)
    except StoreUnavailable as error:
        click.echo(f"The result could not be kept: the state store does not answer: {error}", err=True)


@contextmanager
def _interrupts() -> Iterator[asyncio.Event]:
    """Set by the first Ctrl-C, which keeps what was measured; the second ends the program."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def interrupted(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        loop.call_soon_threadsafe(stop.set)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class Progress:
    """Tells on standard error how far it is: at a terminal all the time, else at every quarter."""

    def __init__(self, name: str, order: Order) -> None:
        self._name = name
        self._all = len(plan(order.n, quick=order.quick))
        self._done = 0
        self._live = sys.stderr.isatty()

    def measured(self, sample: Sample) -> None:
        """See :class:`~gptoss_api.gateway.verifying.Watcher`."""
        self._done += 1
        quarter = self._done * 4 // self._all > (self._done - 1) * 4 // self._all
        if self._live:
            click.echo(f"\r{self._text}", err=True, nl=False)
        elif quarter:
            click.echo(self._text, err=True)

    def waits(self, seconds: float) -> None:
        """See :class:`~gptoss_api.gateway.verifying.Watcher`."""
        self._line(f"{self._name}: asks to wait for {seconds:.0f} s")

    def end(self, card: Card) -> None:
        """Says what was kept of a run that was broken off."""
        if self._live:
            click.echo(err=True)
        if not card.complete:
            why = "; ".join(card.notes) or "nothing could be measured"
            measured = card.turns.asked - card.turns.unmeasured
            self._line(f"{self._name}: stopped after {measured} of {self._all} turns, which count: {why}")

    @property
    def _text(self) -> str:
        return f"{self._name}: {self._done} of {self._all} turns"

    def _line(self, text: str) -> None:
        click.echo(f"\n{text}" if self._live else text, err=True)
