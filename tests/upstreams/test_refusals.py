"""How little of an upstream's words is shown."""

import pytest

from gptoss_api.upstreams.refusals import EXCERPT_LENGTH, excerpt
from tests.secret_forms import FORMS


@pytest.mark.parametrize("secret", FORMS)
def test_secrets_are_taken_out(secret: str) -> None:
    shown = excerpt(f"before {secret}\nafter")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    assert "VALUE" not in shown


def test_a_secret_is_not_shown_because_only_a_part_of_it_was_read() -> None:
    for gap in range(700, 820):
        assert "VALUE" not in excerpt(" " * gap + "password=" + "VALUE" * 20)
        assert "VALUE" not in excerpt(" " * gap + "sk-VALUE-0123")


def test_an_excerpt_is_one_short_line() -> None:
    shown = excerpt("line one\n\tline two\x1b[31m\x00 " + "x" * 1000)
    assert shown.startswith("line one line two [31m x")
    assert len(shown) == EXCERPT_LENGTH
    assert shown.endswith("…")
    assert excerpt("short") == "short"
