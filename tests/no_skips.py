"""Turns a test that lacks something installable into a failure: ``pytest -p tests.no_skips``.

Continuous integration installs everything the tests use, so a missing part there is a defect. By
convention the reason of such a skip begins with "needs", as in ``pytest.skip("needs redis-server")``;
``pytest.importorskip`` counts too. What a system cannot do at all, such as IPv6, may still be skipped.
"""

from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

_MISSING = ("Skipped: needs ", "Skipped: could not import ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _judged((yield))


def _judged(report: Report) -> Report:
    if report.skipped and isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        if reason.startswith(_MISSING):
            report.outcome = "failed"
            report.longrepr = f"{path}:{line}: {reason}; continuous integration has to install it"
    return report
