"""How little of an upstream's words is shown."""

import time
from collections.abc import Callable

import pytest

from gptoss_api.core.errors import GatewayError
from gptoss_api.core.redaction import Redactor
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.upstreams.chatkit.failures import failure_of_card, failure_of_error_event
from gptoss_api.upstreams.openai.failures import failure_of_event
from gptoss_api.upstreams.refusals import EXCERPT_LENGTH, beginning, excerpt
from tests.secret_forms import FORMS
from tests.watchdog import LONGEST_STOP


@pytest.mark.parametrize("secret", FORMS)
def test_secrets_are_taken_out(secret: str) -> None:
    shown = excerpt(f"before {secret}\nafter")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    assert "VALUE" not in shown


def test_a_secret_is_not_shown_because_only_a_part_of_it_was_read() -> None:
    for gap in (*range(700, 820), *range(16_280, 16_400)):
        assert "VALUE" not in excerpt(" " * gap + "password=" + "VALUE" * 20)
        assert "VALUE" not in excerpt(" " * gap + "sk-VALUE-0123")


def test_a_known_secret_that_the_end_of_what_is_read_cuts_is_not_shown() -> None:
    redact, text = Redactor(["PART-" * 20]), "password=x " * 1_450
    for gap in range(300, 420):
        assert "PART" not in beginning(text + " " * gap + "PART-" * 20 + " " * 10_000, redact)


def _seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


@pytest.mark.parametrize("words", ["a", "key ", "model ", "<arg_key>", "credits ", "thread "])
def test_megabytes_of_an_error_are_read_in_no_time(words: str) -> None:
    text = words * (4_000_000 // len(words))
    event = {"error": {"message": text, "code": text, "type": text, "param": text}}
    failures: list[Callable[[], GatewayError]] = [
        lambda: failure_of_event(SERVER_KINDS["generic"], event),
        lambda: failure_of_error_event({"message": text, "code": text}),
        lambda: failure_of_card([text, text]),
    ]
    for failure in failures:
        assert len(failure().message) < 600
        assert min(_seconds(failure) for _ in range(3)) < LONGEST_STOP


def test_an_excerpt_is_one_short_line() -> None:
    shown = excerpt("line one\n\tline two\x1b[31m\x00 " + "x" * 1000)
    assert shown.startswith("line one line two [31m x")
    assert len(shown) == EXCERPT_LENGTH
    assert shown.endswith("…")
    assert excerpt("short") == "short"
