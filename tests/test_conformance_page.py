"""The page on which a run of the suites says how they went."""

from tests.conformance.report import Outcome, page


def test_a_page_counts_for_each_suite_and_upstream_and_gives_every_reason() -> None:
    outcomes = [
        Outcome("calls", "2", "site", "test_call", "passed"),
        Outcome("calls", "2", "site", "test_call", "passed"),
        Outcome("calls", "2", "server", "test_call", "failed", "no call"),
        Outcome("agents", "1.0", "site", "test_picture", "left out", "takes text only"),
        Outcome("agents", "1.0", "server", "test_picture", "left out", "takes text only"),
    ]
    lines = page(outcomes).splitlines()
    assert [line for line in lines if line.startswith("| ")][1:] == [
        "| agents | 1.0 | server | 0 | 0 | 1 |",
        "| agents | 1.0 | site | 0 | 0 | 1 |",
        "| calls | 2 | server | 0 | 1 | 0 |",
        "| calls | 2 | site | 2 | 0 | 0 |",
    ]
    assert lines[-7:] == [
        "## Failed",
        "",
        "- calls: `test_call`: no call (1)",
        "",
        "## Left out",
        "",
        "- agents: `test_picture`: takes text only (2)",
    ]


def test_a_page_of_what_passed_has_nothing_else() -> None:
    text = page([Outcome("calls", "2", "site", "test_call", "passed")])
    assert text.endswith("| calls | 2 | site | 1 | 0 | 0 |\n")
    assert page([]).count("##") == 0
