"""The stages of the suites, and the page on which a run says how each of them went."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from .report import Outcome, Result, page
from .stages import SERVER, SITE, Stage, server_stage, site_stage

_OUTCOMES = pytest.StashKey[list[Outcome]]()


@pytest.fixture(scope="session")
def site_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with site_stage(tmp_path_factory.mktemp("home")) as stage:
        yield stage


@pytest.fixture(scope="session")
def server_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with server_stage(tmp_path_factory.mktemp("home")) as stage:
        yield stage


@pytest.fixture(params=[SITE, SERVER])
def stage(request: pytest.FixtureRequest) -> Stage:
    """A gateway in front of the site, or one in front of a compatible server."""
    name = "site_of_session" if request.param == SITE else "server_of_session"
    chosen: Stage = request.getfixturevalue(name)
    return chosen


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--report", type=Path, help="where to write how each suite went, as Markdown")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or not report.passed:
        params = item.callspec.params
        suite, version = item.module.SUITE
        outcome = Outcome(suite, version, str(params["stage"]), item.originalname, *_judged(report))
        item.config.stash[_OUTCOMES].append(outcome)
    return report


def _judged(report: pytest.TestReport) -> tuple[Result, str]:
    if hasattr(report, "wasxfail"):
        return ("passed", "") if report.passed else ("failed", report.wasxfail)
    if report.skipped and isinstance(report.longrepr, tuple):
        return "left out", report.longrepr[2].removeprefix("Skipped: ")
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        return "failed", crash.message.splitlines()[0] if crash else str(report.longrepr)
    return "passed", ""


def pytest_sessionfinish(session: pytest.Session) -> None:
    path: Path | None = session.config.getoption("--report")
    if path is not None:
        outcomes = session.config.stash[_OUTCOMES]
        path.write_text(page(outcomes), encoding="utf-8")
