"""One line at the end of a run about the tests that were skipped, so that none is passed over silently."""

from collections import Counter
from collections.abc import Iterable

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Writes the line; pytest calls this by its name."""
    if line := summary(terminalreporter.stats.get("skipped", ())):
        terminalreporter.write_line(line, yellow=True)


def summary(reports: Iterable[pytest.TestReport | pytest.CollectReport]) -> str:
    """How many tests were skipped and why; "" where none was."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in reports
        if isinstance(report.longrepr, tuple)
    )
    if not reasons:
        return ""
    listed = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    return f"NOT RUN: {reasons.total()} tests were skipped: {listed}. What they need is installed by .ci/run."
