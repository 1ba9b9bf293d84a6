"""Score cards as tables of a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime

from ..verification.card import Card, CheckResult, EffortResult, Rate, Times


def shown(card: Card) -> str:
    """One card, line by line."""
    turns, tokens = card.turns, card.tokens
    when = datetime.fromtimestamp(card.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
    rows: list[tuple[str, ...]] = [("", "server", "95 %", f"pass@{card.k}", f"pass^{card.k}", "gateway", "")]
    rows += [_row(check) for check in card.checks]
    lines = [
        "",
        f"{card.upstream} ({card.kind}), {card.model}, case set {card.case_set}, {when}",
        "",
        *_table(rows),
        "",
        f"score {_percent(card.score)}; of what the gateway makes of it {_percent(card.gateway_score)}",
        *([_effort(card.effort)] if card.effort else ()),
        f"first token {_times(card.first_token_ms)}; whole answer {_times(card.total_ms)}",
        f"{turns.asked} of {turns.planned} turns in {card.seconds:g} s, {turns.failed} failed, "
        f"{turns.unmeasured} not measured, {turns.repairs} repairs; "
        f"{tokens.prompt:,} tokens in, {tokens.completion:,} out",
        *(f"what was wrong: {check.title}: {_failures(check)}" for check in card.checks if _failures(check)),
        *(f"note: {note}" for note in card.notes),
    ]
    return "\n".join(lines)


def compared(cards: Sequence[Card]) -> str:
    """Several cards side by side, the best first."""
    ranked = sorted(cards, key=lambda card: -(card.score or 0))
    titles = {check.name: check.title for card in cards for check in card.checks}
    rows = [("", *(card.upstream for card in ranked))]
    for name, title in titles.items():
        rates = (
            next((check.counted for check in card.checks if check.name == name), None) for card in ranked
        )
        rows.append((title, *(_percent(rate.pass_at_1 if rate else None) for rate in rates)))
    rows += [
        ("score", *(_percent(card.score) for card in ranked)),
        ("with the gateway", *(_percent(card.gateway_score) for card in ranked)),
        ("first token, p50", *(_milliseconds(card.first_token_ms.p50) for card in ranked)),
        ("whole answer, p50", *(_milliseconds(card.total_ms.p50) for card in ranked)),
    ]
    return "\n".join(["", *_table(rows)])


def _row(check: CheckResult) -> tuple[str, ...]:
    rate = check.raw
    raw = "" if check.raw is None else f"{check.raw.passed}/{check.raw.of}  {_percent(check.raw.pass_at_1)}"
    return (
        check.title,
        raw or "-",
        "-" if rate is None else "-".join(f"{100 * bound:.0f}" for bound in rate.interval),
        _percent(rate.pass_at_k if rate else None),
        _percent(rate.pass_hat_k if rate else None),
        _percent(check.gateway.pass_at_1 if check.gateway else None),
        check.form,
    )


def _failures(check: CheckResult) -> str:
    rate: Rate | None = check.counted
    return "" if rate is None else ", ".join(f"{word} {count}" for word, count in rate.failures.items())


def _effort(effort: EffortResult) -> str:
    verdict = "obeyed" if effort.obeyed else "not shown to be obeyed"
    return (
        f"effort: {effort.more} of {effort.pairs} pairs think longer at high than at low, {effort.less} "
        f"shorter (medians {effort.low_median:g} and {effort.high_median:g}, p = {effort.p:.3g}): {verdict}"
    )


def _times(times: Times) -> str:
    return f"p50 {_milliseconds(times.p50)}, p95 {_milliseconds(times.p95)}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        lines.append("  ".join(cells).rstrip())
    return lines
