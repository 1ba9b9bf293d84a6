"""Every form of docs/design/servers.md, "Errors", and what each server adds to them."""

import json
from typing import Any

import pytest

from gptoss_api.core.errors import (
    ContextLengthExceeded,
    GatewayError,
    InsufficientQuota,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    RefusedByUpstream,
    RequestTooLarge,
    UnparsedByUpstream,
    UpstreamFailure,
    UpstreamLoginRequired,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.dialects.base import error_headers
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.upstreams.openai.failures import failure_of_event, failure_of_response
from gptoss_api.upstreams.openai_compatible import PROFILES
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import sse

from .server import KEY, Backend, ask, connected, json_reply, turn

HF = "huggingface"
DEPLETED = (
    "You have depleted your monthly included credits. Purchase pre-paid credits to continue using Inference "
    "Providers. Alternatively, subscribe to PRO to get 20x more included usage."
)
NO_PERMISSION = (
    "This authentication method does not have sufficient permissions to call Inference Providers on behalf "
    "of user someone"
)
NOT_SERVED = {
    "message": "The requested model 'X' is not supported by any provider you have enabled.",
    "type": "invalid_request_error",
    "param": "model",
    "code": "model_not_supported",
}
PAGE = "<!DOCTYPE html><html><head><title>Access denied | Cloudflare</title></head>error 1010</html>"

CASES: list[tuple[str, int, Any, type[GatewayError], str]] = [
    (HF, 402, {"error": DEPLETED}, InsufficientQuota, "depleted your monthly"),
    (HF, 400, {"error": NOT_SERVED}, ModelNotFound, "not supported by any provider"),
    (HF, 404, {"error": NOT_SERVED | {"code": "model_not_found"}}, ModelNotFound, "Hugging Face"),
    (
        HF,
        401,
        {"error": "Invalid credentials in Authorization header"},
        UpstreamLoginRequired,
        "Set HF_TOKEN",
    ),
    (HF, 403, {"error": NO_PERMISSION}, PermissionDenied, "sufficient permissions"),
    (HF, 429, {"error": "We had to rate limit you"}, UpstreamRateLimited, "rate limit"),
    (HF, 503, {"error": "Service unavailable"}, UpstreamUnavailable, "not available"),
    (HF, 504, {"error": "Gateway timeout"}, UpstreamTimeout, "in time"),
    ("groq", 401, {"error": {"message": "Invalid API Key"}}, UpstreamLoginRequired, "Set GROQ_API_KEY"),
    (
        "openrouter",
        401,
        {"error": {"code": 401, "message": "User not found."}},
        UpstreamLoginRequired,
        "OPENROUTER",
    ),
    (
        "openrouter",
        402,
        {"error": {"code": 402, "message": "requires more credits"}},
        InsufficientQuota,
        "credits",
    ),
    (
        "openrouter",
        502,
        {"error": {"code": 502, "message": "Bad", "metadata": {"raw": "boom"}}},
        UpstreamFailure,
        "boom",
    ),
    ("groq", 413, {"error": {"message": "Request too large"}}, RequestTooLarge, "too large"),
    ("groq", 429, {"error": {"message": "quota", "code": "insufficient_quota"}}, InsufficientQuota, "quota"),
    (
        "cerebras",
        404,
        {"message": "Model x does not exist", "code": "model_not_found"},
        ModelNotFound,
        "exist",
    ),
    (
        "cerebras",
        422,
        {"detail": [{"loc": ["body"], "msg": "field required"}]},
        RefusedByUpstream,
        "field required",
    ),
    ("ollama", 404, {"error": {"message": "model 'gpt-oss:20b' not found"}}, ModelNotFound, "Ollama"),
    (
        "generic",
        400,
        {"error": {"message": "bad", "param": "top_k", "code": "odd"}},
        RefusedByUpstream,
        "bad",
    ),
    ("generic", 408, {"error": "slow"}, UpstreamTimeout, "in time"),
    ("generic", 524, {"error": "slow"}, UpstreamTimeout, "in time"),
    ("generic", 529, {"error": "overloaded"}, UpstreamUnavailable, "not available"),
    ("generic", 503, {"error": "rate limit reached"}, UpstreamRateLimited, "limiting"),
    ("generic", 500, {"error": {"message": "CUDA error"}}, UpstreamFailure, "HTTP 500"),
    ("generic", 400, '{"error": {"message": "no such model", "load": NaN}}', ModelNotFound, "no such model"),
    ("generic", 500, '{"error": {"message": "it \\ud83d broke"}}', UpstreamFailure, "it broke"),
    ("generic", 500, "plain words", UpstreamFailure, "plain words"),
    ("generic", 500, "", UpstreamFailure, "without a reason"),
]


@pytest.mark.parametrize(("kind", "status", "body", "expected", "words"), CASES)
async def test_an_error_keeps_its_meaning(
    kind: str, status: int, body: Any, expected: type[GatewayError], words: str
) -> None:
    reply = (
        json_reply(status, body)
        if not isinstance(body, str)
        else Reply([body.encode()], status, "text/plain")
    )
    backend = Backend(kind, reply)
    async with connected(backend) as upstream:
        with pytest.raises(expected) as raised:
            await ask(upstream, turn())
    assert type(raised.value) is expected
    assert words in raised.value.message
    assert len(backend.asked) == 1


async def test_param_and_code_of_a_refusal_are_passed_on() -> None:
    error = {"message": "top_k: too small", "param": "top_k", "code": "invalid_value"}
    async with connected(Backend("vllm", json_reply(400, {"error": error}))) as upstream:
        with pytest.raises(InvalidRequest) as raised:
            await ask(upstream, turn())
    assert (raised.value.param, openai_error(raised.value).code) == ("top_k", "invalid_value")


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.parametrize(
    ("form", "numbers"),
    [
        (
            "This model's maximum context length is 131072 tokens. However, you requested 140000 tokens "
            "(139000 in the messages, 1000 in the completion).",
            (140_000, 131_072),
        ),
        (
            "This model's maximum context length is 8192 tokens, but your messages resulted in 9,001 tokens.",
            (9_001, 8_192),
        ),
        (
            "the request exceeds the available context size (8192 tokens), try increasing it",
            (8_192, 8_192),
        ),
        ("prompt is too long: 200000 tokens > 131072 maximum", (200_000, 131_072)),
        ("Please reduce the length of the messages: context_length_exceeded", None),
    ],
)
async def test_a_prompt_that_is_too_long_says_so(kind: str, form: str, numbers: Any) -> None:
    reply = json_reply(400, {"error": {"message": form, "code": "context_length_exceeded"}})
    async with connected(Backend(kind, reply)) as upstream:
        with pytest.raises(InvalidRequest) as raised:
            await ask(upstream, turn())
    failure = raised.value
    assert (openai_error(failure).status, openai_error(failure).code) == (400, "context_length_exceeded")
    if numbers:
        assert isinstance(failure, ContextLengthExceeded)
        assert (failure.prompt_tokens, failure.limit) == numbers


@pytest.mark.parametrize(
    "words",
    [
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 131073. Given: 200000 "
        "`inputs` tokens",
        "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with "
        "context length of only 4096 tokens, which is not enough.",
        "Your input exceeds the context window of this model.",
    ],
)
def test_a_prompt_that_is_too_long_is_known_by_the_words_alone(words: str) -> None:
    body = json.dumps({"error": {"message": words}}).encode()
    failure = failure_of_response(SERVER_KINDS["together"], 422, "application/json", body)
    assert (openai_error(failure).status, openai_error(failure).code) == (400, "context_length_exceeded")


def test_llama_cpp_says_the_numbers_beside_the_message() -> None:
    body = b"""{"error": {"code": 400, "message": "too big", "type": "exceed_context_size_error",
        "n_prompt_tokens": 9, "n_ctx": 8}}"""
    failure = failure_of_response(SERVER_KINDS["llamacpp"], 400, "application/json", body)
    assert isinstance(failure, ContextLengthExceeded)
    assert (failure.prompt_tokens, failure.limit) == (9, 8)


PARSE_FAILURES = [
    (500, {"error": {"message": 'unexpected tokens remaining in message header: Some("to=x")'}}),
    (500, {"error": {"message": "HarmonyError: error parsing", "type": "InternalServerError", "code": 500}}),
    (
        500,
        {"error": {"message": "error parsing tool call: raw='{\"a\": ', err=unexpected end of JSON input"}},
    ),
    (
        500,
        {
            "error": {
                "code": 500,
                "message": "Failed to parse input at pos 12: <|channel|>",
                "type": "server_error",
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "Failed to call a function.",
                "code": "tool_use_failed",
                "failed_generation": "{",
            }
        },
    ),
    (400, {"error": {"message": "Tool choice is none, but model called a tool"}}),
    (
        500,
        {
            "error": {
                "message": "The model produced output that does not match the expected peg-native format"
            }
        },
    ),
]


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.parametrize(("status", "body"), PARSE_FAILURES)
@pytest.mark.parametrize("in_stream", [False, True])
async def test_what_a_server_could_not_read_of_its_model_is_asked_for_once_more(
    kind: str, status: int, body: Any, in_stream: bool
) -> None:
    broken = Reply([sse(body)]) if in_stream else json_reply(status, body)
    backend = Backend(kind, broken)
    async with connected(backend) as upstream:
        collector, _ = await ask(upstream, turn())
    assert collector.choices[0].text == "Hello there."
    assert len(backend.asked) == 2
    stubborn = Backend(
        kind, *[Reply([sse(body)]) if in_stream else json_reply(status, body) for _ in range(3)]
    )
    async with connected(stubborn) as upstream:
        with pytest.raises(UpstreamFailure) as raised:
            await ask(upstream, turn())
    assert openai_error(raised.value).code == "upstream_parse_failed"
    assert openai_error(raised.value).status == 502
    assert len(stubborn.asked) == 2


# Every message of openai-harmony's parser (src/encoding.rs), and what servers say of JSON they enforce.
MODELS_FAULT = [
    "Unexpected token 12606 while expecting start token 200006",
    "Unexpected EOS while waiting for message header to complete",
    "channel marker present but no channel value found in header",
    "message header did not contain a role",
    "Unknown role: assistantassistant",
    "could not decode header",
    'unexpected tokens remaining in message header: Some("to=x")',
    "Invalid token for decoding: 201088",
    "Could not decode tokens: Invalid utf-8 sequence",
    {"message": "Failed to generate JSON.", "code": "json_validate_failed", "failed_generation": '{"a":'},
    {"message": "Failed to validate JSON. Please adjust your prompt."},
]


@pytest.mark.parametrize("error", MODELS_FAULT)
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_words_of_the_model_that_a_server_rejects_are_no_fault_of_the_client(
    error: Any, status: int
) -> None:
    told = {"message": error, "type": "BadRequestError", "code": 400} if isinstance(error, str) else error
    backend = Backend("generic", json_reply(status, {"error": told}))
    async with connected(backend) as upstream:
        collector, _ = await ask(upstream, turn())
        assert collector.choices[0].text == "Hello there."
        assert len(backend.asked) == 2
        backend.replies += [json_reply(status, {"error": told}) for _ in range(2)]
        with pytest.raises(UnparsedByUpstream):
            await ask(upstream, turn())


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (json_reply(200, {"detail": "Not Found"}), "The server failed: Not Found"),
        (Reply([sse({"error": {"message": "it broke"}})]), "The server failed: it broke"),
        (Reply([sse({"error": {}})]), "The server failed: no reason given"),
        (Reply([b""], 502, "text/html"), "The server is not available (HTTP 502)."),
        (Reply([b""], 404, "text/html"), "answered with a web page (HTTP 404); is"),
        (json_reply(400, [{"error": {"message": "inner", "code": 400}}]), "refused the request: inner"),
        (json_reply(200, [{"error": {"message": "inner"}}]), "The server failed: inner"),
        (Reply([b'data: [{"error": {"message": "inner"}}]\n\n']), "The server failed: inner"),
        (json_reply(400, {"error": [{"message": "inner"}]}), "refused the request: inner"),
    ],
)
async def test_a_failure_says_nothing_that_the_server_did_not(reply: Reply, said: str) -> None:
    async with connected(Backend("generic", reply)) as upstream:
        with pytest.raises(GatewayError) as raised:
            await ask(upstream, turn())
    assert said in raised.value.message


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([("retry-after-ms", "40")], "slow down"),
        ([("retry-after-ms", "40"), ("retry-after", "60")], "slow down"),
        ([("x-ratelimit-reset", "0.04")], "slow down"),
        ([], "Rate limit reached. Please try again in 40ms."),
    ],
)
async def test_a_short_wait_is_waited_for_however_it_is_told(
    headers: list[tuple[str, str]], message: str
) -> None:
    error = {"error": {"message": message, "type": "rate_limit_error"}}
    backend = Backend("generic", json_reply(429, error, *headers))
    async with connected(backend, asks_again=True) as upstream:
        collector, _ = await ask(upstream, turn())
    assert (collector.choices[0].text, len(backend.asked)) == ("Hello there.", 2)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_long_wait_is_told_to_the_client_in_whole_seconds(status: int) -> None:
    reply = json_reply(status, {"error": "slow down"}, ("retry-after-ms", "12500"))
    async with connected(Backend("generic", reply), asks_again=True) as upstream:
        with pytest.raises(GatewayError) as raised:
            await ask(upstream, turn())
    assert (b"retry-after", b"13") in error_headers(raised.value)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_failure_that_may_pass_is_asked_for_once_more(status: int) -> None:
    backend = Backend("vllm", json_reply(status, {"error": "busy"}))
    async with connected(backend, asks_again=True) as upstream:
        collector, _ = await ask(upstream, turn())
    assert collector.choices[0].text == "Hello there."
    assert len(backend.asked) == 2
    stubborn = Backend("vllm", *[json_reply(status, {"error": "busy"}) for _ in range(3)])
    async with connected(stubborn, asks_again=True) as upstream:
        with pytest.raises(GatewayError):
            await ask(upstream, turn())
    assert len(stubborn.asked) == 2


@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_nothing_is_asked_again_after_the_first_byte(pause: float) -> None:
    """Also where the failure came in the same read: what happens must not depend on the network."""
    events = list(Backend("vllm").shape.events(Backend("vllm").answer))[:4]
    error = {"error": {"message": "HarmonyError", "code": 500}}
    reply = Reply([sse(*events), pause, sse(error)]) if pause else Reply([sse(*events, error)])
    backend = Backend("vllm", reply)
    async with connected(backend) as upstream:
        with pytest.raises(UpstreamFailure):
            await ask(upstream, turn())
    assert len(backend.asked) == 1


@pytest.mark.parametrize(
    ("status", "page", "code", "retryable"),
    [
        (403, PAGE, "upstream_challenge", False),
        (200, PAGE, "upstream_challenge", False),
        (200, "<html><title>Welcome</title></html>", "upstream_error", False),
        (403, "error code: 1010", "upstream_challenge", False),
        (502, "<html><title>502 Bad Gateway</title></html>", "upstream_unavailable", True),
        (504, "<html><title>504 Gateway Time-out</title></html>", "upstream_timeout", False),
        (408, "<html><title>408 Request Timeout</title></html>", "upstream_timeout", False),
        (413, "<html><title>413 Request Entity Too Large</title></html>", "request_too_large", False),
        (524, "<html><title>524: A timeout occurred</title></html>", "upstream_timeout", False),
        (529, "<html><title>Overloaded</title></html>", "upstream_unavailable", True),
    ],
)
async def test_a_web_page_is_no_answer(status: int, page: str, code: str, retryable: bool) -> None:
    backend = Backend("together", Reply([page.encode()], status, "text/html"))
    async with connected(backend) as upstream:
        with pytest.raises(GatewayError) as raised:
            await ask(upstream, turn())
    assert (openai_error(raised.value).code, raised.value.retryable) == (code, retryable)
    assert "Together" in raised.value.message


async def test_a_field_that_a_server_refuses_is_left_out_from_then_on() -> None:
    backend = Backend("groq")
    asked = turn(options={"vendor_extra": 1, "temperature": 0.5})
    async with connected(backend) as upstream:
        for _ in range(2):
            collector, _ = await ask(upstream, asked)
            assert collector.choices[0].text == "Hello there."
    assert ["vendor_extra" in a.body for a in backend.asked] == [True, False, False]
    assert all(a.body["temperature"] == 0.5 for a in backend.asked)


async def test_the_place_of_a_validation_error_names_the_refused_field() -> None:
    detail = [{"loc": ["body", "vendor_extra"], "msg": "Extra inputs are not permitted", "type": "extra"}]
    backend = Backend("generic", json_reply(422, {"detail": detail}))
    async with connected(backend) as upstream:
        await ask(upstream, turn(options={"vendor_extra": 1}))
    assert ["vendor_extra" in a.body for a in backend.asked] == [True, False]


async def test_a_refusal_of_something_else_is_passed_on() -> None:
    reply = json_reply(400, {"error": {"message": "unsupported value for messages: temperature-like words"}})
    backend = Backend("vllm", reply)
    async with connected(backend) as upstream:
        with pytest.raises(InvalidRequest):
            await ask(upstream, turn(options={"seed": 1}))
    assert len(backend.asked) == 1


async def test_a_key_is_sent_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    backend = Backend("openrouter", json_reply(401, {"error": {"message": f"Incorrect key: {KEY}"}}))
    async with connected(backend) as upstream:
        with pytest.raises(UpstreamLoginRequired) as raised:
            await ask(upstream, turn())
        health = await upstream.health()
    assert backend.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in raised.value.message + health.detail + caplog.text
    assert not health.ready


@pytest.mark.parametrize("in_stream", [False, True])
async def test_what_servers_repeat_of_keys_and_headers_is_not_passed_on(
    in_stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = "header-value-0123"
    error = {"error": {"message": f"odd request: {KEY} {hidden}"}}
    backend = Backend("groq", Reply([sse(error)]) if in_stream else json_reply(500, error))
    async with connected(backend, headers={"x-api-key": hidden}) as upstream:
        with pytest.raises(UpstreamFailure, match="odd request") as raised:
            await ask(upstream, turn())
        health = await upstream.health()
    shown = raised.value.message + health.detail + caplog.text
    assert KEY not in shown
    assert hidden not in shown


@pytest.mark.parametrize("in_stream", [False, True])
async def test_no_half_of_a_key_is_shown_where_a_long_message_is_cut(
    in_stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for gap in (370, 385, 395, 470, 485):
        error = {"error": {"message": f"odd request {'-' * gap} {KEY}"}}
        backend = Backend("groq", Reply([sse(error)]) if in_stream else json_reply(500, error))
        async with connected(backend) as upstream:
            with pytest.raises(UpstreamFailure, match="odd request") as raised:
                await ask(upstream, turn())
        assert KEY[:4] not in raised.value.message + caplog.text


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, UpstreamRateLimited),
        ({"error": {"code": 402, "message": "no more"}}, InsufficientQuota),
        ({"error": {"code": 503, "message": "no more"}}, UpstreamUnavailable),
        ({"error": {"code": "rate_limit_exceeded", "message": "slow down"}}, UpstreamRateLimited),
        ({"error": "You exceeded your current quota"}, InsufficientQuota),
        ({"error": DEPLETED}, InsufficientQuota),
        ({"error": {"code": "429", "message": "slow down"}}, UpstreamRateLimited),
        ({"error": {"status": 429, "message": "slow down"}}, UpstreamRateLimited),
        ({"error": 'error parsing tool call: raw=\'{"x":"no credits left"}\''}, UnparsedByUpstream),
        ({"error": {}}, UpstreamFailure),
        ({"error": ["odd"]}, UpstreamFailure),
    ],
)
def test_an_error_inside_a_stream_says_its_kind(event: Any, expected: type[GatewayError]) -> None:
    assert type(failure_of_event(SERVER_KINDS["openrouter"], event)) is expected
