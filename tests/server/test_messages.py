"""Anthropic's endpoints as a client without any library sees them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from anthropic.types import ModelInfo, RawMessageStreamEvent

from gptoss_api.config import Settings
from tests.backends import shapes as scripted
from tests.backends.server import Backend, backend_thread, streamed
from tests.conftest import RunningGateway, Site, StartGateway, running_gateway
from tests.dialects.events import named_events
from tests.dialects.strict import strictly
from tests.server.talking import Reply, ask, connect, read_until
from tests.simulator import Answer, HttpReply, Pause, Simulator
from tests.simulator.agent import Agent, Call

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
ANTHROPIC = {"anthropic-version": "2023-06-01"}
HELLO: dict[str, Any] = {
    "model": "gpt-oss-120b",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "Hello"}],
}
WEATHER = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def post(gateway: RunningGateway, **more: Any) -> Reply:
    return ask(gateway, "POST", MESSAGES, {**HELLO, **more}, ANTHROPIC)


def assert_error(reply: Reply, status: int, kind: str) -> str:
    """The message of an error in Anthropic's shape."""
    body = reply.json()
    assert (reply.status, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["request_id"] == reply.headers["request-id"] == reply.headers["x-request-id"]
    message: str = body["error"]["message"]
    return message


@pytest.mark.parametrize("path", ["/v1/messages?beta=true", "/messages", "/v1/v1/messages", "/v1/messages/"])
def test_every_spelling_of_the_path_is_answered(site: Site, path: str) -> None:
    reply = ask(site.gateway, "POST", path, HELLO, ANTHROPIC)
    assert reply.status == 200
    assert reply.json()["content"][-1]["text"] == "You said: Hello"


def test_who_answered_is_told_and_what_was_asked_for(site: Site) -> None:
    reply = post(site.gateway, model="claude-haiku-5-5", no_such_thing=1)
    assert reply.json()["model"] == "claude-haiku-5-5"
    assert reply.headers["x-gptoss-model"] == "gpt-oss-20b"
    assert reply.headers["x-gptoss-ignored"] == "no_such_thing"
    assert reply.headers["request-id"]


def test_a_stream_begins_with_the_real_size_of_the_prompt(site: Site) -> None:
    site.simulator.always(Answer("Hi!", ["A greeting."]))
    reply = post(site.gateway, stream=True, thinking={"type": "adaptive"})
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [data for _, data in named_events(reply.body)]
    counted = ask(site.gateway, "POST", COUNT, HELLO, ANTHROPIC).json()["input_tokens"]
    assert events[0]["message"]["usage"]["input_tokens"] == counted > 0
    assert [event["type"] for event in events[:2]] == ["message_start", "ping"]
    assert events[-2]["usage"]["input_tokens"] == counted
    assert events[-2]["usage"]["output_tokens_details"]["thinking_tokens"] > 0


def test_pings_keep_a_silent_stream_alive(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator, GPTOSS_KEEPALIVE="0.1")
    simulator.always(Answer("Hi there!", at={"headers": [Pause(0.5)], "half": [Pause(0.5)]}))
    names = [name for name, _ in named_events(post(running, stream=True).body)]
    begun = names.index("message_start")
    assert names[:begun] == ["ping"] * begun != []
    # One comes at once, whatever happens.
    assert names[begun + 1 :].count("ping") > 1
    assert names[-1] == "message_stop"
    with (
        Anthropic(base_url=running.base_url, api_key="none", max_retries=0, timeout=30) as sdk,
        sdk.messages.stream(model="gpt-oss-120b", max_tokens=100, messages=HELLO["messages"]) as stream,
    ):
        assert "".join(stream.text_stream) == "Hi there!"
    assert Settings().keepalive == 10.0


BODIES: list[dict[str, Any]] = [
    {},
    {"system": "Be brief."},
    {"system": [{"type": "text", "text": "x-anthropic-billing-header: a"}, {"type": "text", "text": "Hi"}]},
    {"tools": [WEATHER]},
    {"tools": [WEATHER], "tool_choice": {"type": "any"}},
    {"tools": [WEATHER], "tool_choice": {"type": "none"}},
    {"tools": [WEATHER, {"type": "bash_20250124", "name": "bash"}]},
    {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]},
    {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    {"thinking": {"type": "disabled"}, "stop_sequences": ["</block>"], "max_tokens": 64},
    {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
    {"messages": [{"role": "user", "content": "Häßlich 🙂 \ud83d\ude42" * 200}]},
    {"messages": [{"role": "user", "content": "word " * 20_000}], "max_tokens": 128_000},
    {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}
        ]
    },
    {"messages": [{"role": "user", "content": "A"}, {"role": "system", "content": "B"}]},
    {"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]},
    {
        "messages": [
            {"role": "user", "content": "A"},
            {"role": "assistant", "content": "B"},
            {"role": "user", "content": "C"},
        ]
    },
    {
        "tools": [WEATHER],
        "messages": [
            {"role": "user", "content": "A"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Look it up.", "signature": ""},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}},
                    {"type": "tool_use", "id": "t2", "name": "weather", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "Rain"},
                    {"type": "tool_result", "tool_use_id": "t2", "content": "No city", "is_error": True},
                ],
            },
        ],
    },
    {"model": "claude-haiku-5-5"},
    {"max_tokens": 0},
]


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway in front of a server that takes conversations and tools itself."""
    backend = Backend("vllm")
    text = scripted.Answer(content='{"a": 1}')
    call = scripted.Answer(content="", calls=(("weather", "{}"),), finish="tool_calls")
    backend.reply = lambda asked: streamed(backend.shape, call if asked.body.get("tools") else text)
    with backend_thread(backend) as address:
        servers = json.dumps([{"name": "box", "kind": backend.kind, "url": address}])
        home = tmp_path_factory.mktemp("home")
        with running_gateway(home, GPTOSS_UPSTREAM="box", GPTOSS_UPSTREAMS=servers) as gateway:
            yield gateway


def assert_counted_as_begun(gateway: RunningGateway, body: dict[str, Any]) -> None:
    counted = ask(gateway, "POST", COUNT, {**HELLO, **body}, ANTHROPIC).json()["input_tokens"]
    events = named_events(post(gateway, stream=True, **body).body)
    for name, data in events:
        # The SDKs have no type for it; they skip it.
        if name != "ping":
            strictly(RawMessageStreamEvent, data)
    usage = events[0][1]["message"]["usage"]
    assert counted == sum(usage[name] for name in usage if name.endswith("input_tokens")) > 0


@pytest.mark.parametrize("body", BODIES)
def test_what_is_counted_is_what_a_stream_begins_with(site: Site, body: dict[str, Any]) -> None:
    site.simulator.always(Answer('{"a": 1}'))
    assert_counted_as_begun(site.gateway, body)


@pytest.mark.parametrize("body", BODIES)
def test_so_it_is_over_a_server_that_renders_the_prompt_itself(
    native: RunningGateway, body: dict[str, Any]
) -> None:
    assert_counted_as_begun(native, body)


def test_counting_wants_no_limit_of_an_answer(demo: RunningGateway) -> None:
    body = {name: value for name, value in HELLO.items() if name != "max_tokens"}
    assert ask(demo, "POST", COUNT, body, ANTHROPIC).status == 200


def test_max_tokens_of_none_asks_for_no_answer(site: Site) -> None:
    said = post(site.gateway, max_tokens=0).json()
    assert (said["content"], said["stop_reason"]) == ([], "max_tokens")
    assert said["usage"]["input_tokens"] > 0
    assert said["usage"]["output_tokens"] == 0
    assert site.simulator.requests == []


def test_a_small_limit_bounds_what_is_shown_where_thinking_is_off(site: Site) -> None:
    site.simulator.always(Answer("<block>no</block> and more", ["We think for long. " * 50]))
    said = post(
        site.gateway,
        model="claude-sonnet-5",
        max_tokens=64,
        stop_sequences=["</block>"],
        thinking={"type": "disabled"},
    ).json()
    assert said["content"] == [{"type": "text", "text": "<block>no", "citations": None}]
    assert (said["stop_reason"], said["stop_sequence"]) == ("stop_sequence", "</block>")
    assert site.simulator.last.effort == "low"


def test_a_call_and_its_result(site: Site) -> None:
    site.simulator.always(
        Agent([[Call("weather", {"city": "Paris"})]], lambda results: f"It is {results[0]}.")
    )
    first = post(site.gateway, tools=[WEATHER], thinking={"type": "adaptive"}).json()
    assert first["stop_reason"] == "tool_use"
    call = first["content"][-1]
    assert (call["name"], call["input"]) == ("weather", {"city": "Paris"})
    assert call["id"].startswith("toolu_")
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "rain"}
    second = post(
        site.gateway,
        tools=[WEATHER],
        messages=[
            *HELLO["messages"],
            {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": [result]},
        ],
    )
    assert second.json()["content"][-1]["text"] == "It is rain."
    assert second.headers["x-gptoss-thread"] == "reused"


def test_a_tool_that_only_an_instruction_names_may_be_called(site: Site) -> None:
    site.simulator.always(Agent([[Call("WebFetch", {"url": "x"})]], lambda results: "Done."))
    tools = [WEATHER, {"name": "DeferredToolPlaceholder", "defer_loading": True}]
    listed = [{"role": "user", "content": "Go"}, {"role": "system", "content": "More tools:\nWebFetch"}]
    said = post(site.gateway, tools=tools, messages=listed).json()
    assert [(block["name"], block["input"]) for block in said["content"]] == [("WebFetch", {"url": "x"})]
    assert len(site.simulator.requests) == 1


SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}


def test_a_search_of_the_web_is_told_to_be_unavailable(site: Site) -> None:
    asked = [{"role": "user", "content": "Perform a web search for the query: rain in Paris"}]
    whole = post(site.gateway, tools=[SEARCH], messages=asked)
    streamed = post(site.gateway, tools=[SEARCH], messages=asked, stream=True)
    assert "not available" in whole.json()["content"][0]["text"]
    events = named_events(streamed.body)
    assert [name for name, _ in events][-1] == "message_stop"
    assert "not available" in streamed.body.decode()
    assert site.simulator.requests == []
    for reply in (whole, streamed):
        assert reply.headers["x-gptoss-upstream"] == "gateway"
        assert reply.headers["x-gptoss-model"] == "gpt-oss-120b"
        assert reply.headers["x-gptoss-ignored"] == "tools.web_search_20250305"


def test_who_only_offers_a_search_of_the_web_is_answered_by_the_model(site: Site) -> None:
    site.simulator.script(Answer("Paris."))
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    reply = post(site.gateway, tools=[SEARCH], messages=asked)
    (block,) = reply.json()["content"]
    assert (block["type"], block["text"]) == ("text", "Paris.")
    assert reply.headers["x-gptoss-upstream"] == "gpt-oss.com"
    assert reply.headers["x-gptoss-ignored"] == "tools.web_search_20250305"


def test_models_are_listed_with_ids_that_claude_code_keeps(demo: RunningGateway) -> None:
    listed = ask(demo, "GET", "/v1/models?limit=1000", headers=ANTHROPIC).json()
    ids = [model["id"] for model in listed["data"]]
    assert {"gpt-oss-120b", "claude-gpt-oss-120b", "claude-gpt-oss-20b"} <= set(ids)
    for name in (*ids, "claude-sonnet-5"):
        shown = ask(demo, "GET", f"/v1/models/{name}", headers=ANTHROPIC).json()
        ModelInfo.model_validate(shown)
        assert (shown["id"], shown["type"], shown["max_input_tokens"]) == (name, "model", 131_072)
    assert all("claude" not in model["id"] for model in ask(demo, "GET", "/v1/models").json()["data"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("POST", MESSAGES, b"{", 400, "invalid_request_error"),
        ("POST", MESSAGES, {**HELLO, "model": "gpt-9"}, 404, "not_found_error"),
        ("POST", "/v1/messages/nothing", HELLO, 404, "not_found_error"),
        ("GET", MESSAGES, None, 405, "invalid_request_error"),
        ("GET", COUNT, None, 405, "invalid_request_error"),
        ("POST", COUNT, {}, 400, "invalid_request_error"),
        ("GET", "/v1/models/gpt-9", None, 404, "not_found_error"),
        ("POST", "/v1/models", {}, 405, "invalid_request_error"),
    ],
)
def test_failures_have_anthropics_shape(
    demo: RunningGateway, method: str, path: str, body: Any, status: int, kind: str
) -> None:
    assert_error(ask(demo, method, path, body, ANTHROPIC), status, kind)


def test_a_body_that_is_too_large_is_refused_in_anthropics_shape(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_MAX_BODY="2000")
    long = {**HELLO, "messages": [{"role": "user", "content": "x" * 3000}]}
    assert_error(ask(running, "POST", MESSAGES, long, ANTHROPIC), 413, "request_too_large")


def test_either_header_may_carry_the_key(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS="the-right-key-0123456789")
    right, wrong = "the-right-key-0123456789", "wrong"
    for headers in (
        {"x-api-key": right},
        {"authorization": f"Bearer {right}"},
        {"x-api-key": wrong, "authorization": f"Bearer {right}"},
    ):
        assert ask(running, "POST", COUNT, HELLO, {**ANTHROPIC, **headers}).status == 200
    refused = ask(running, "POST", MESSAGES, HELLO, {**ANTHROPIC, "x-api-key": wrong})
    assert_error(refused, 401, "authentication_error")
    # Claude Code would ask ten times.
    assert refused.headers["x-should-retry"] == "false"
    # How it looks whether anybody is there.
    for path in ("/", "/api/hello"):
        greeted = ask(running, "HEAD", path)
        assert (greeted.status, greeted.body) == (200, b"")


def test_a_rate_limit_of_the_site_says_when_to_come_back(site: Site) -> None:
    site.simulator.always(HttpReply(429, '{"detail": "slow down"}', headers=[("retry-after", "7")]))
    reply = post(site.gateway)
    assert_error(reply, 429, "rate_limit_error")
    assert reply.headers["retry-after"] == "7"


def test_a_prompt_that_does_not_fit_is_refused_in_the_sentence_that_makes_room(demo: RunningGateway) -> None:
    long = [{"role": "user", "content": "word and more " * 60_000}]
    message = assert_error(post(demo, messages=long, max_tokens=32_000), 400, "invalid_request_error")
    told = message.split()
    assert message.startswith("prompt is too long: ")
    assert message.endswith(" tokens > 131072 maximum")
    assert int(told[4]) > 131_072


def test_broken_http_at_these_paths_is_refused_with_a_request_id(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(b"NOT HTTP\r\n\r\n")
        assert b"\r\nrequest-id: req_" in read_until(connection, b"}}")
