"""The page docs/conformance.md."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

Result = Literal["passed", "failed", "left out"]

_HEAD = """\
# Conformance

Written by `make conformance`, which runs each suite through the gateway over the simulated website
(`gpt-oss.com`, where tools and forms are emulated) and over a scripted OpenAI-compatible server (where
they are native). Behind both plays the same scripted model: what is judged is the gateway, not the model.
What is left out: what gpt-oss models cannot take, JSON mode where the API has none (Messages), and what needs
recordings that the suite does not bring.
"""


class Outcome(NamedTuple):
    """How one case of a suite went; ``reason`` says why where it did not pass."""

    suite: str
    version: str
    upstream: str
    case: str
    result: Result
    reason: str = ""


def page(outcomes: Sequence[Outcome]) -> str:
    """Markdown: a row for each suite and upstream, then what did not pass and why. It holds no time."""
    return "\n".join([_HEAD, *_table(outcomes), *_reasons(outcomes)]) + "\n"


def _table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    counts: dict[tuple[str, str, str], Counter[Result]] = {}
    for outcome in outcomes:
        row = counts.setdefault((outcome.suite, outcome.version, outcome.upstream), Counter())
        row[outcome.result] += 1
    yield "| suite | version | upstream | passed | failed | left out |"
    yield "|---|---|---|---|---|---|"
    for (suite, version, upstream), row in sorted(counts.items()):
        yield f"| {suite} | {version} | {upstream} | {row['passed']} | {row['failed']} | {row['left out']} |"


def _reasons(outcomes: Iterable[Outcome]) -> Iterator[str]:
    listed: dict[str, Counter[str]] = {"failed": Counter(), "left out": Counter()}
    for outcome in outcomes:
        if outcome.result in listed:
            listed[outcome.result][f"{outcome.suite}: `{outcome.case}`: {outcome.reason}"] += 1
    for result, cases in listed.items():
        if cases:
            yield f"\n## {result.capitalize()}\n"
            yield from (f"- {case} ({count})" for case, count in sorted(cases.items()))
