"""Every failure raises the class of the official SDK that an application catches for it."""

import time
from typing import Any

import pytest
from openai import (
    APIError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    PermissionDeniedError,
    RateLimitError,
)
from openai.types.chat import ChatCompletionChunk

from tests.conftest import Site, StartGateway
from tests.simulator import ERROR_TEXT, Answer, HttpReply, Simulator, Stall
from tests.simulator.scenarios import TEXT

from .sdk import MODEL, async_client, client, hello, said

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


# AuthenticationError


@pytest.mark.parametrize("key", ["sk-wrong", ""], ids=["wrong", "none"])
def test_a_wrong_key_of_the_gateway(simulator: Simulator, gateway: StartGateway, key: str) -> None:
    running = gateway(simulator, GPTOSS_API_KEYS="sk-right")
    with client(running, key=key or "none", retries=2) as sdk, pytest.raises(AuthenticationError) as caught:
        sdk.chat.completions.create(
            model=MODEL, messages=hello(), extra_headers={} if key else {"authorization": ""}
        )
    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "invalid_request_error"
    assert caught.value.response.headers["www-authenticate"] == "Bearer"
    assert "sk-wrong" not in str(caught.value)
    assert simulator.requests == []
    with client(running, key="sk-right") as sdk:
        assert sdk.chat.completions.create(model=MODEL, messages=hello()).choices[0].finish_reason == "stop"


@streamed_or_not
def test_a_missing_login_is_not_tried_again(site: Site, patient_sdk: OpenAI, stream: Any) -> None:
    site.simulator.always("s08_login_card")
    with pytest.raises(AuthenticationError) as caught:
        patient_sdk.chat.completions.create(model=MODEL, messages=hello(), stream=stream)
    assert (caught.value.type, caught.value.code) == ("authentication_error", "upstream_login_required")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "gptoss-api login" in caught.value.message
    assert len(site.simulator.requests) == 1


# NotFoundError


def test_an_unknown_model(site: Site, sdk: OpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        sdk.chat.completions.create(model="gpt-4o", messages=hello())
    assert (caught.value.type, caught.value.code) == ("invalid_request_error", "model_not_found")
    with pytest.raises(NotFoundError) as caught:
        sdk.models.retrieve("gpt-4o")
    assert caught.value.code == "model_not_found"
    assert site.simulator.requests == []


def test_what_is_not_offered(sdk: OpenAI) -> None:
    for ask in (
        lambda: sdk.images.generate(prompt="a cat"),
        lambda: sdk.files.list(),
        lambda: sdk.chat.completions.retrieve("chatcmpl-1"),
    ):
        with pytest.raises(NotFoundError) as caught:
            ask()
        assert (caught.value.type, caught.value.code) == ("invalid_request_error", "not_found")


# BadRequestError


@streamed_or_not
@pytest.mark.parametrize(
    ("wrong", "param", "code"),
    [
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "integer_below_min_value"),
        ({"n": 1000}, "n", "integer_above_max_value"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort", "invalid_value"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": "hello"}, "messages", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].type",
            "unsupported_value",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_parameter_is_a_bad_request_and_never_unprocessable(
    site: Site, sdk: OpenAI, wrong: dict[str, Any], param: str, code: str, stream: bool
) -> None:
    with pytest.raises(BadRequestError) as caught:
        sdk.chat.completions.create(**{"model": MODEL, "messages": hello(), "stream": stream, **wrong})
    assert (caught.value.type, caught.value.param, caught.value.code) == (
        "invalid_request_error",
        param,
        code,
    )
    assert site.simulator.requests == []


def test_a_prompt_that_is_too_long(site: Site, sdk: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        sdk.chat.completions.create(model=MODEL, messages=hello("word " * 140_000))
    assert caught.value.code == "context_length_exceeded"
    assert "131072" in caught.value.message
    assert site.simulator.requests == []


# PermissionDeniedError and the other statuses below 500


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("host", "rebound.example", "host_not_allowed"),
        ("origin", "https://page.example", "origin_not_allowed"),
    ],
)
def test_a_web_page_that_may_not_use_the_gateway(
    site: Site, patient_sdk: OpenAI, header: str, value: str, code: str
) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        patient_sdk.chat.completions.create(model=MODEL, messages=hello(), extra_headers={header: value})
    assert (caught.value.type, caught.value.code) == ("permission_error", code)
    assert site.simulator.requests == []


def test_a_wrong_method(sdk: OpenAI) -> None:
    with pytest.raises(APIStatusError) as caught:
        sdk.post("/models", cast_to=object)
    assert (caught.value.status_code, caught.value.code) == (405, "method_not_allowed")


def test_a_body_that_is_too_large(sdk: OpenAI) -> None:
    with pytest.raises(APIStatusError) as caught:
        sdk.chat.completions.create(model=MODEL, messages=hello("x" * 9_000_000))
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")


# RateLimitError


@streamed_or_not
def test_a_limit_of_the_upstream(site: Site, sdk: OpenAI, stream: Any) -> None:
    site.simulator.always("s17_json_429")
    with pytest.raises(RateLimitError) as caught:
        sdk.chat.completions.create(model=MODEL, messages=hello(), stream=stream)
    assert (caught.value.type, caught.value.code) == ("rate_limit_error", "upstream_rate_limited")
    assert caught.value.response.headers["retry-after"] == "7"


def test_the_client_waits_as_long_as_the_upstream_asks(site: Site) -> None:
    """More than the gateway waits by itself, and more than the SDK's own pause of half a second."""
    limited = HttpReply(429, '{"error":"Too many requests"}', headers=[("retry-after", "3")])
    site.simulator.script(limited, "s01_happy_path")
    began = time.monotonic()
    with client(site.gateway, retries=1) as sdk:
        completion = sdk.chat.completions.create(model=MODEL, messages=hello())
    assert completion.choices[0].message.content == TEXT
    assert 3 <= time.monotonic() - began < 6
    assert len(site.simulator.requests) == 2


# InternalServerError


@streamed_or_not
@pytest.mark.parametrize(
    ("scenario", "status", "code"),
    [
        ("s10_error_before_text", 502, "upstream_error"),
        ("s14_empty_stream", 502, "upstream_empty"),
        ("s17_html_502", 502, "upstream_error"),
        ("s17_html_503", 503, "upstream_unavailable"),
    ],
)
def test_a_broken_upstream(
    site: Site, sdk: OpenAI, scenario: str, status: int, code: str, stream: Any
) -> None:
    site.simulator.always(scenario)
    with pytest.raises(InternalServerError) as caught:
        sdk.chat.completions.create(model=MODEL, messages=hello(), stream=stream)
    assert (caught.value.status_code, caught.value.type, caught.value.code) == (status, "api_error", code)
    assert caught.value.request_id


def test_what_the_upstream_said_is_in_the_message(site: Site, sdk: OpenAI) -> None:
    site.simulator.always("s10_error_before_text")
    with pytest.raises(InternalServerError, match=ERROR_TEXT):
        sdk.chat.completions.create(model=MODEL, messages=hello())


def test_an_upstream_that_recovers_is_not_noticed(site: Site, patient_sdk: OpenAI) -> None:
    """One retry is the gateway's own, the next the SDK's."""
    site.simulator.script("s10_error_before_text", "s17_html_502", "s01_happy_path")
    completion = patient_sdk.chat.completions.create(model=MODEL, messages=hello())
    assert completion.choices[0].message.content == TEXT
    assert len(site.simulator.requests) == 3


def test_an_upstream_that_falls_silent(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator, GPTOSS_IDLE_TIMEOUT="0.3")
    simulator.always(Answer(TEXT, at={"opened": [Stall()]}))
    with client(running) as sdk, pytest.raises(InternalServerError) as caught:
        sdk.chat.completions.create(model=MODEL, messages=hello())
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")


# APITimeoutError


@streamed_or_not
def test_a_client_that_gives_up_waiting_stops_the_upstream(site: Site, stream: Any) -> None:
    site.simulator.always(Answer(TEXT, at={"opened": [Stall()]}))
    with client(site.gateway, timeout=0.3) as sdk, pytest.raises(APITimeoutError):
        sdk.chat.completions.create(model=MODEL, messages=hello(), stream=stream)
    site.simulator.wait_until(lambda: site.simulator.last.outcome == "abandoned")
    assert len(site.simulator.requests) == 1


def test_a_client_that_gives_up_in_the_middle_stops_the_upstream(site: Site) -> None:
    site.simulator.always(Answer(TEXT, at={"half": [Stall()]}))
    with client(site.gateway, timeout=0.3) as sdk:
        stream = sdk.chat.completions.create(model=MODEL, messages=hello(), stream=True)
        with pytest.raises(APITimeoutError):
            list(stream)
    site.simulator.wait_until(lambda: site.simulator.last.outcome == "abandoned")


# APIError in the middle of a stream


@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("s10_error_after_text", "upstream_error"),
        ("s11_eof_mid_text", "upstream_incomplete"),
        ("s11_abort_mid_text", "upstream_incomplete"),
    ],
)
def test_a_stream_that_breaks_raises_after_what_was_delivered(
    site: Site, patient_sdk: OpenAI, scenario: str, code: str
) -> None:
    site.simulator.always(scenario)
    chunks: list[ChatCompletionChunk] = []
    stream = patient_sdk.chat.completions.create(model=MODEL, messages=hello(), stream=True)
    with pytest.raises(APIError) as caught:
        chunks.extend(stream)
    assert type(caught.value) is APIError
    assert (caught.value.type, caught.value.code) == ("api_error", code)
    assert said(chunks)
    assert TEXT.startswith(said(chunks))
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)
    assert len(site.simulator.requests) == 1


def test_the_stream_helper_raises_too(site: Site, sdk: OpenAI) -> None:
    site.simulator.always("s10_error_after_text")
    with (
        pytest.raises(APIError, match=ERROR_TEXT),
        sdk.chat.completions.stream(model=MODEL, messages=hello()) as stream,
    ):
        stream.until_done()


async def test_the_async_client_raises_the_same(site: Site) -> None:
    site.simulator.script("s08_login_card", "s10_error_after_text")
    async with async_client(site.gateway) as sdk:
        with pytest.raises(AuthenticationError):
            await sdk.chat.completions.create(model=MODEL, messages=hello())
        stream = await sdk.chat.completions.create(model=MODEL, messages=hello(), stream=True)
        with pytest.raises(APIError, match=ERROR_TEXT):
            _ = [chunk async for chunk in stream]
