"""All of docs/design/gpt-oss-com.md, "Scenarios" through the gateway, streamed and not.

A test's id names the scenario; what must come out has the shapes of the OpenAI API (errors:
docs/design/conformance.md, "Errors").
"""

import time
from dataclasses import dataclass
from typing import Any, Literal

import httpx2 as httpx
import pytest

from tests.conftest import Site, StartGateway
from tests.simulator import ERROR_TEXT, SCENARIOS, Answer, Limit, Simulator, Stall
from tests.simulator.scenarios import (
    HONEST_TEXT,
    LIMIT_TEXT,
    REFRESHED_SESSION,
    SECRET_IN_PAGE,
    SHRINKING_FULL,
    SPLIT_CODE,
    TEXT,
    THOUGHTS,
    WIDGET_TEXT,
    keep_alives,
)

from .chat import CLIENT, Outcome, ask

REASONING = "\n\n".join(THOUGHTS)
HALF = 40  # fewer characters than half of TEXT

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@dataclass(frozen=True, slots=True)
class Good:
    """A complete answer."""

    text: str = TEXT
    reasoning: str = REASONING


@dataclass(frozen=True, slots=True)
class Refused:
    """An error instead of an answer, before any byte of one; ``attempts`` is how often we asked."""

    status: int
    type: str
    code: str
    says: str = ""
    attempts: int | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """An answer that breaks: an error event after what was delivered, or a plain 502."""

    code: str
    delivered: Literal["text", "reasoning"] = "text"


LOGIN = Refused(401, "authentication_error", "upstream_login_required", "login", attempts=1, final=True)
EMPTY = Refused(502, "api_error", "upstream_empty", attempts=2)
INCOMPLETE = Refused(502, "api_error", "upstream_incomplete", attempts=2)
LIMITED = Refused(429, "rate_limit_error", "upstream_rate_limited", "limiting requests", attempts=1)

EXPECTED: dict[str, Good | Refused | Broken] = {
    "s01_happy_path": Good(),
    "s02_happy_path_dotted": Good(),
    "s03_recap_only": Good(reasoning=""),
    "s04_no_cot": Good(reasoning=""),
    "s04_late_entries": Good(),
    "s05_stray_part": Good(),
    "s07_long_title": Good(),
    "s08_login_card": LOGIN,
    "s08_login_card_bare": LOGIN,
    "s08_login_card_nested": LOGIN,
    "s08_login_card_button": LOGIN,
    "s09_unrelated_widget": Refused(502, "api_error", "upstream_error", WIDGET_TEXT, attempts=1),
    "s10_error_before_text": Refused(502, "api_error", "upstream_error", ERROR_TEXT, attempts=2),
    "s10_error_without_message": Refused(502, "api_error", "upstream_error", attempts=2),
    "s10_error_camel_case": Refused(502, "api_error", "upstream_error", "Out of luck", attempts=1),
    "s10_error_nested_message": Refused(502, "api_error", "upstream_error", ERROR_TEXT, attempts=2),
    "s10_error_after_text": Broken("upstream_error"),
    "s11_eof_before_text": INCOMPLETE,
    "s11_eof_after_reasoning": Broken("upstream_empty", "reasoning"),
    "s11_eof_mid_text": Broken("upstream_incomplete"),
    "s11_eof_after_part_done": Good(),
    "s11_abort_before_text": INCOMPLETE,
    "s11_abort_mid_text": Broken("upstream_incomplete"),
    "s11_abort_mid_chunk": Broken("upstream_incomplete"),
    "s12_missing_deltas": Good(),
    "s12_no_deltas": Good(),
    "s14_unknown_thread": INCOMPLETE,
    "s14_empty_stream": EMPTY,
    "s15_foreign_thread": INCOMPLETE,
    "s16_limit_widget": LIMITED,
    "s16_limit_error": LIMITED,
    "s16_limit_429": LIMITED,
    "s17_html_502": Refused(502, "api_error", "upstream_error", "502 Bad Gateway", attempts=2),
    "s17_html_503": Refused(503, "api_error", "upstream_unavailable", "503 Service", attempts=2),
    "s17_challenge_page": Refused(
        502, "api_error", "upstream_challenge", "browser check", attempts=1, final=True
    ),
    "s17_json_401": LOGIN,
    "s17_json_403": Refused(
        502, "api_error", "upstream_forbidden", "Forbidden for you", attempts=1, final=True
    ),
    "s17_json_429": LIMITED,
    "s17_wrong_content_type": Refused(502, "api_error", "upstream_error", "a web page", attempts=1),
    "s17_json_instead_of_stream": Refused(502, "api_error", "upstream_error", attempts=1),
    "s18_utf8_split": Good(),
    "s18_random_chunks": Good(),
    "s18_byte_by_byte": Good(),
    "s18_crlf": Good(),
    "s18_crlf_byte_by_byte": Good(),
    "s18_many_events_per_chunk": Good(),
    "s18_one_chunk": Good(),
    "s18_no_space_bom": Good(),
    "s18_no_final_blank_line": Good(),
    "s18_gzip": Good(),
    "s18_gzip_byte_by_byte": Good(),
    "s19_title_mid_stream": Good(),
    "s20_side_events": Good(),
    "s21_honest_words": Good(HONEST_TEXT),
    "s24_burst": Good("word " * 740, ""),
    "s25_split_code_block": Good(reasoning="\n\n".join(SPLIT_CODE)),
    "s26_model_switch": Good(),
    "s27_shrinking_task": Good(reasoning=SHRINKING_FULL),
}


@streamed_or_not
@pytest.mark.parametrize("name", EXPECTED)
def test_scenario(site: Site, name: str, stream: bool) -> None:
    site.simulator.always(name)
    outcome = ask(site.gateway.base_url, stream=stream)
    match EXPECTED[name]:
        case Good() as good:
            assert_good(outcome, good, stream=stream)
        case Refused() as refused:
            assert_refused(outcome, refused, site.simulator)
        case Broken() as broken:
            assert_broken(outcome, broken, stream=stream)


def assert_good(outcome: Outcome, good: Good, *, stream: bool) -> None:
    assert (outcome.status, outcome.error) == (200, None)
    assert outcome.text == good.text
    assert outcome.reasoning == good.reasoning
    assert outcome.finish_reason == "stop"
    assert outcome.done is stream


def assert_refused(outcome: Outcome, refused: Refused, simulator: Simulator) -> None:
    assert outcome.error is not None
    assert set(outcome.error) == {"message", "type", "param", "code"}
    assert outcome.headers["content-type"].startswith("application/json")
    assert (outcome.status, outcome.error["type"], outcome.error["code"]) == (
        refused.status,
        refused.type,
        refused.code,
    )
    assert refused.says in outcome.error["message"]
    if refused.attempts is not None:
        assert len(simulator.requests) == refused.attempts
    if refused.final:
        assert outcome.headers["x-should-retry"] == "false"


def assert_broken(outcome: Outcome, broken: Broken, *, stream: bool) -> None:
    assert outcome.error is not None
    assert (outcome.error["type"], outcome.error["code"]) == ("api_error", broken.code)
    assert outcome.finish_reason is None
    assert not outcome.done
    if not stream:
        assert outcome.status == 502
    else:
        assert outcome.status == 200
        if broken.delivered == "reasoning":
            assert outcome.reasoning == f"{REASONING}\n\n{REASONING}", "the turn is asked once more"
        else:
            assert outcome.text
            assert TEXT.startswith(outcome.text)


@streamed_or_not
@pytest.mark.parametrize("name", ["s10_error_before_text", "s11_abort_before_text", "s14_empty_stream"])
def test_a_turn_that_failed_before_its_first_byte_is_tried_once_more(
    site: Site, name: str, stream: bool
) -> None:
    site.simulator.script(name, "s01_happy_path")
    assert_good(ask(site.gateway.base_url, stream=stream), Good(), stream=stream)
    assert len(site.simulator.requests) == 2


@streamed_or_not
def test_s06_comments_are_signs_of_life(simulator: Simulator, gateway: StartGateway, stream: bool) -> None:
    running = gateway(simulator, GPTOSS_IDLE_TIMEOUT="0.6")
    simulator.always(keep_alives(1.2, 0.1))
    assert_good(ask(running.base_url, stream=stream), Good(), stream=stream)
    simulator.always(Answer(TEXT, at={"opened": [Stall()]}))
    silent = ask(running.base_url, stream=stream)
    assert silent.error is not None
    assert silent.error["code"] == "upstream_timeout"


@streamed_or_not
def test_s08_without_a_login_the_answer_is_a_401_that_says_what_mends_it(
    simulator: Simulator, gateway: StartGateway, stream: bool
) -> None:
    running = gateway(simulator, GPTOSS_COOKIE=f"user_id={simulator.user_id}; session=expired-secret")
    outcome = ask(running.base_url, stream=stream)
    assert_refused(outcome, LOGIN, simulator)
    assert outcome.error is not None
    assert "gptoss-api login" in outcome.error["message"]
    assert "expired-secret" not in str(outcome.error) + running.log()


@streamed_or_not
def test_s13_what_was_streamed_stands_when_the_last_event_contradicts_it(site: Site, stream: bool) -> None:
    site.simulator.always("s13_contradicting_done")
    outcome = ask(site.gateway.base_url, stream=stream)
    assert outcome.finish_reason == "stop"
    assert outcome.text == TEXT or (not stream and outcome.text == "Something else entirely.")


@streamed_or_not
@pytest.mark.parametrize("loss", ["s14_forgotten", "s15_of_another_user"])
def test_a_lost_thread_is_made_again_with_its_history(site: Site, loss: str, stream: bool) -> None:
    simulator = site.simulator
    simulator.always(lambda request: "Paris." if "capital" in request.text else "Something.")
    first = ask(site.gateway.base_url, "What is the capital of France?", stream=stream)
    if loss == "s14_forgotten":
        simulator.threads.clear()
    else:
        for thread in simulator.threads.values():
            thread.user_id = "somebody-else"
    conversation = [
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "How many people live there?"},
    ]
    second = ask(site.gateway.base_url, conversation, stream=stream)
    assert (second.status, second.error) == (200, None)
    assert len(simulator.requests) <= 3
    assert simulator.last.op == "threads.create"
    for message in conversation:
        assert message["content"] in simulator.last.text


@pytest.mark.parametrize("shape", ["widget", "error", "429"])
@streamed_or_not
def test_s16_the_sixth_message_of_a_limited_user_is_an_error(site: Site, shape: Any, stream: bool) -> None:
    site.simulator.limit = Limit(5, shape)
    outcomes = [ask(site.gateway.base_url, stream=stream) for _ in range(6)]
    assert [outcome.error is None for outcome in outcomes] == [True] * 5 + [False]
    error = outcomes[5].error
    assert error is not None
    assert (outcomes[5].status, error["code"]) == (429, "upstream_rate_limited")
    assert LIMIT_TEXT in error["message"]
    assert "retry-after" not in outcomes[5].headers


@streamed_or_not
@pytest.mark.parametrize(
    "name", ["s17_html_502", "s17_html_503", "s17_challenge_page", "s17_wrong_content_type"]
)
def test_s17_pages_are_cut_and_their_secrets_kept(site: Site, name: str, stream: bool) -> None:
    site.simulator.always(name)
    outcome = ask(site.gateway.base_url, stream=stream)
    assert outcome.error is not None
    assert len(outcome.error["message"]) < 1000
    assert SECRET_IN_PAGE not in outcome.error["message"]
    assert SECRET_IN_PAGE not in site.gateway.log()


def test_s17_a_wait_the_upstream_asks_for_is_passed_on(site: Site) -> None:
    site.simulator.always("s17_json_429")
    assert ask(site.gateway.base_url, stream=False).headers["retry-after"] == "7"


@streamed_or_not
@pytest.mark.parametrize("name", ["s19_two_items", "s19_two_parts"])
def test_s19_several_items_or_parts_are_joined_in_order(site: Site, name: str, stream: bool) -> None:
    site.simulator.always(name)
    outcome = ask(site.gateway.base_url, stream=stream)
    assert outcome.finish_reason == "stop"
    assert "".join(outcome.text.split()) == "Firstpartoftheanswer.Secondpartoftheanswer."


@streamed_or_not
def test_s21_a_prompt_about_logins_and_limits_is_answered(site: Site, stream: bool) -> None:
    prompt = "What does “Sign in to continue” mean? And “rate limit”, “session expired”, “captcha”?"
    outcome = ask(site.gateway.base_url, prompt, stream=stream)
    assert outcome.text == f"You said: {prompt}"


def test_s22_a_client_that_leaves_a_stream_stops_the_upstream(site: Site) -> None:
    site.simulator.always("s22_slow_answer")
    body = {"model": "gpt-oss-120b", "stream": True, "messages": [{"role": "user", "content": "go"}]}
    url = f"{site.gateway.base_url}/v1/chat/completions"
    with CLIENT.stream("POST", url, json=body) as response:
        next(response.iter_bytes())
    left = time.monotonic()
    site.simulator.wait_until(lambda: site.simulator.last.outcome == "abandoned")
    assert site.simulator.last.aborted_at is not None
    assert site.simulator.last.aborted_at - left < 1


def test_s22_a_client_that_leaves_before_a_whole_answer_stops_the_upstream(site: Site) -> None:
    site.simulator.always("s22_slow_answer")
    with pytest.raises(httpx.ReadTimeout):
        ask(site.gateway.base_url, stream=False, timeout=0.5)
    site.simulator.wait_until(lambda: site.simulator.last.outcome == "abandoned")
    assert len(site.simulator.requests) == 1


def test_s23_a_refreshed_session_is_used_next_time(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator)
    old = simulator.session
    simulator.script("s23_refreshed_session")
    assert ask(running.base_url, stream=False).finish_reason == "stop"
    after = ask(running.base_url, stream=False)
    assert (after.status, after.text) == (200, "You said: hello")
    assert [request.session for request in simulator.requests] == [old, REFRESHED_SESSION]
    assert {request.user_id for request in simulator.requests} == {simulator.user_id}
    assert REFRESHED_SESSION not in running.log()
    assert old not in running.log()


def test_s24_slow_deltas_are_passed_on_as_they_come(site: Site) -> None:
    site.simulator.always("s24_slow_deltas")
    outcome = ask(site.gateway.base_url, stream=True)
    assert outcome.text == "word " * 18
    pauses = [later - sooner for sooner, later in zip(outcome.arrivals, outcome.arrivals[1:], strict=False)]
    # On a busy machine a few may arrive together.
    assert sum(pause > 0.02 for pause in pauses) > 6


def test_s26_model_and_effort_follow_each_request(site: Site) -> None:
    conversation = [{"role": "user", "content": "hello"}]
    first = ask(site.gateway.base_url, conversation, stream=False, reasoning_effort="high")
    conversation += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "again"}]
    ask(site.gateway.base_url, conversation, stream=False, model="gpt-oss-20b", reasoning_effort="minimal")
    assert [(request.model, request.effort) for request in site.simulator.requests] == [
        ("gpt-oss-120b", "high"),
        ("gpt-oss-20b", "low"),
    ]


@streamed_or_not
@pytest.mark.parametrize("dialect", ["auto", "new"])
def test_s02_a_site_that_speaks_only_the_dotted_dialect_is_understood(
    gateway: StartGateway, new_simulator: Simulator, dialect: str, stream: bool
) -> None:
    running = gateway(new_simulator, GPTOSS_CHATKIT_DIALECT=dialect)
    new_simulator.always("s01_happy_path")
    assert_good(ask(running.base_url, stream=stream), Good(), stream=stream)
    assert_good(ask(running.base_url, stream=stream), Good(), stream=stream)
    assert new_simulator.last.dialect == "new"


def test_every_scenario_is_asked_of_the_gateway() -> None:
    by_hand = {6, 13, 19, 22, 23, 24}
    missing = {name for name, scenario in SCENARIOS.items() if scenario.number not in by_hand} - set(EXPECTED)
    assert missing == set()
