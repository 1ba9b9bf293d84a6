"""The official ``anthropic`` SDK for Python against the gateway: messages, tools, counting, errors."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool, beta_tool
from pydantic import BaseModel

from tests.clients.stage import Broken, Held, Refusal, ServerStage, server_stage
from tests.conftest import Site, StartGateway
from tests.simulator import Answer, HttpReply
from tests.simulator.agent import Agent, Call

MODEL = "gpt-oss-120b"
HELLO: Any = [{"role": "user", "content": "hello"}]
THINK: Any = {"type": "adaptive"}


class City(BaseModel):
    name: str


@pytest.fixture
def sdk(site: Site) -> Iterator[Anthropic]:
    with Anthropic(base_url=site.gateway.base_url, api_key="none", max_retries=0, timeout=30) as client:
        yield client


def test_a_message(sdk: Anthropic) -> None:
    message = sdk.messages.create(model=MODEL, max_tokens=500, messages=HELLO, thinking=THINK)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[1].text == "You said: hello"  # type: ignore[union-attr]  # as said above
    assert (message.model, message.stop_reason) == (MODEL, "end_turn")
    assert message._request_id


def test_a_stream(site: Site, sdk: Anthropic) -> None:
    site.simulator.always(Answer("One two three", ["Count."]))
    with sdk.messages.stream(model=MODEL, max_tokens=500, messages=HELLO, thinking=THINK) as stream:
        assert "".join(stream.text_stream) == "One two three"
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[0].signature  # type: ignore[union-attr]  # as said above
    counted = sdk.messages.count_tokens(model=MODEL, messages=HELLO)
    assert final.usage.input_tokens == counted.input_tokens


def test_tools_run_by_the_sdk(site: Site, sdk: Anthropic) -> None:
    @beta_tool
    def capital(country: str) -> str:
        """Finds the capital of a country.

        Args:
            country: English name of the country.
        """
        return {"France": "Paris"}[country]

    site.simulator.always(Agent([[Call("capital", {"country": "France"})]], lambda results: f"{results[0]}!"))
    runner = sdk.beta.messages.tool_runner(model=MODEL, max_tokens=500, messages=HELLO, tools=[capital])
    assert runner.until_done().content[-1].text == "Paris!"  # type: ignore[union-attr]  # a text


async def test_tools_run_by_the_sdk_in_a_stream(site: Site) -> None:
    @beta_async_tool
    async def capital(country: str) -> str:
        """Finds the capital of a country."""
        return {"France": "Paris"}[country]

    site.simulator.always(Agent([[Call("capital", {"country": "France"})]], lambda results: f"{results[0]}!"))
    async with AsyncAnthropic(base_url=site.gateway.base_url, api_key="none", max_retries=0) as client:
        runner = client.beta.messages.tool_runner(
            model=MODEL, max_tokens=500, messages=HELLO, tools=[capital], stream=True
        )
        texts = []
        async for turn in runner:
            texts.append("".join([text async for text in turn.text_stream]))
    assert texts == ["", "Paris!"]


def test_arguments_arrive_bit_by_bit(site: Site, sdk: Anthropic) -> None:
    site.simulator.always(Agent([[Call("capital", {"country": "France"})]], str))
    tools: Any = [{"name": "capital", "input_schema": {"type": "object", "properties": {"country": {}}}}]
    with sdk.messages.stream(model=MODEL, max_tokens=500, messages=HELLO, tools=tools) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert json.loads("".join(pieces)) == {"country": "France"}
    (call,) = (block for block in final.content if block.type == "tool_use")
    assert (call.name, call.input) == ("capital", {"country": "France"})
    assert final.stop_reason == "tool_use"


def test_an_answer_in_a_form(site: Site, sdk: Anthropic) -> None:
    site.simulator.always(Answer('{"name": "Paris"}'))
    parsed = sdk.messages.parse(model=MODEL, max_tokens=500, messages=HELLO, output_format=City)
    assert parsed.parsed_output == City(name="Paris")
    with sdk.messages.stream(model=MODEL, max_tokens=500, messages=HELLO, output_format=City) as stream:
        assert stream.get_final_message().parsed_output == City(name="Paris")


def test_models(sdk: Anthropic) -> None:
    assert "claude-gpt-oss-20b" in [model.id for model in sdk.models.list()]
    assert sdk.models.retrieve(MODEL).max_input_tokens == 131_072


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (HttpReply(429, "{}"), anthropic.RateLimitError),
        (HttpReply(500, "{}"), anthropic.InternalServerError),
        (HttpReply(401, "{}"), anthropic.AuthenticationError),
    ],
)
def test_failures_of_the_site(site: Site, sdk: Anthropic, reply: HttpReply, kind: Any) -> None:
    site.simulator.always(reply)
    with pytest.raises(kind):
        sdk.messages.create(model=MODEL, max_tokens=500, messages=HELLO)


@pytest.fixture(scope="module")
def narrow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerStage]:
    """A compatible server and a gateway with room for a single turn, for which others wait a moment."""
    room = {"GPTOSS_MAX_CONCURRENCY": "1", "GPTOSS_QUEUE_TIMEOUT": "0.5"}
    with server_stage(tmp_path_factory.mktemp("home"), **room) as stage:
        yield stage


@pytest.fixture
def over_a_server(narrow_server: ServerStage) -> Iterator[Anthropic]:
    with Anthropic(base_url=narrow_server.base_url, api_key="none", max_retries=0, timeout=30) as client:
        yield client


@pytest.mark.parametrize(
    ("status", "kind", "type_"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (402, anthropic.PaymentRequiredError, "billing_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (413, anthropic.ContentTooLargeError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.ServiceUnavailableError, "overloaded_error"),
        (504, anthropic.GatewayTimeoutError, "timeout_error"),
        (529, anthropic.ServiceUnavailableError, "overloaded_error"),
    ],
)
def test_the_class_of_every_refusal_of_a_server(
    narrow_server: ServerStage, over_a_server: Anthropic, status: int, kind: type[Exception], type_: str
) -> None:
    narrow_server.play(Refusal(status, retry_after=9 if status == 429 else None))
    with pytest.raises(anthropic.APIStatusError) as failed:
        over_a_server.messages.create(model=MODEL, max_tokens=500, messages=HELLO)
    assert type(failed.value) is kind
    assert failed.value.type == type_
    assert failed.value.request_id


def test_no_room_and_no_answer_in_time(narrow_server: ServerStage, over_a_server: Anthropic) -> None:
    narrow_server.play(Held("One at a time."))
    ask: Any = {"model": MODEL, "max_tokens": 500, "messages": HELLO}
    with over_a_server.messages.stream(**ask) as held:
        assert next(iter(held.text_stream))
        with pytest.raises(anthropic.OverloadedError):
            over_a_server.messages.create(**ask)
    with pytest.raises(anthropic.APITimeoutError):
        over_a_server.with_options(timeout=0.5).messages.create(**ask)


def test_an_answer_that_breaks_in_the_middle(narrow_server: ServerStage, over_a_server: Anthropic) -> None:
    narrow_server.play(Broken("Half an answer"))
    with (
        pytest.raises(anthropic.APIStatusError) as broken,
        over_a_server.messages.stream(model=MODEL, max_tokens=500, messages=HELLO) as stream,
    ):
        stream.until_done()
    assert (broken.value.status_code, broken.value.type) == (200, "api_error")


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"max_tokens": -1}, anthropic.BadRequestError),
        ({"extra_headers": {"host": "elsewhere.example"}}, anthropic.PermissionDeniedError),
        ({"model": "gpt-9"}, anthropic.NotFoundError),
        ({"messages": [{"role": "user", "content": "word and more " * 60_000}]}, anthropic.BadRequestError),
    ],
)
def test_failures_of_the_request(sdk: Anthropic, more: Any, kind: Any) -> None:
    with pytest.raises(kind) as failed:
        sdk.messages.create(**{"model": MODEL, "max_tokens": 500, "messages": HELLO, **more})
    assert failed.value.request_id


def test_a_key_is_needed_where_there_are_some(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS="the-right-key-0123456789")
    with Anthropic(base_url=running.base_url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError):
            client.messages.create(model=MODEL, max_tokens=500, messages=HELLO)
        with pytest.raises(anthropic.NotFoundError):
            client.with_options(api_key="the-right-key-0123456789").get("/v1/messages/none", cast_to=object)
