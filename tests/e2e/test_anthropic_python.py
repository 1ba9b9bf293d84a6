"""The official ``anthropic`` SDK for Python against the gateway: messages, tools, counting, errors."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, beta_tool
from pydantic import BaseModel

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


def test_an_answer_in_a_form(site: Site, sdk: Anthropic) -> None:
    site.simulator.always(Answer('{"name": "Paris"}'))
    parsed = sdk.messages.parse(model=MODEL, max_tokens=500, messages=HELLO, output_format=City)
    assert parsed.parsed_output == City(name="Paris")


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


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"max_tokens": -1}, anthropic.BadRequestError),
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
