"""What the errors of OpenAI-compatible servers mean, in whatever form they come.

A string, an object, a flat body, a list of validation errors, a web page, an event inside a stream: all
become our own errors and keep their meaning (docs/design/servers.md, "Errors").
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...core.errors import (
    ContextLengthExceeded,
    EndpointMissing,
    GatewayError,
    InsufficientQuota,
    ModelNotFound,
    PermissionDenied,
    PromptTooLong,
    RefusedByUpstream,
    UnparsedByUpstream,
    UpstreamChallenge,
    UpstreamFailure,
    UpstreamLoginRequired,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from ...core.redaction import Redactor
from ...core.servers import ServerKind
from ...text.loose_json import Unreadable, decode_loosely, joined
from ..refusals import (
    LOOKS,
    beginning,
    excerpt,
    failure_of_status,
    is_web_page,
    message_in,
    page_title,
    wait_in_words,
)

# Longer than for a web site: validation messages name the field at their end.
_EXCERPT_LENGTH: Final = 400

# What servers answer at a path that they do not have.
NO_ENDPOINT: Final = frozenset({404, 405, 501})

_CONTEXT: Final = re.compile(
    r"context[ _]length|context[ _]window|context size|exceed_context_size|maximum context"
    r"|prompt is too long|too many (?:input )?tokens|input (?:tokens|length).{0,40}exceed"
    r"|longer than the model's|tokens.{0,40}must be <=",
    re.I,
)
_NUMBER: Final = r"(\d[\d,_]{0,12})"
# The forms in which servers say how long the prompt was and how long it may be.
_PROMPT_TOKENS: Final = (
    re.compile(rf"requested {_NUMBER} tokens", re.I),
    re.compile(rf"resulted in {_NUMBER} tokens", re.I),
    re.compile(rf"\({_NUMBER} tokens\)", re.I),
    re.compile(rf"{_NUMBER} tokens >", re.I),
    re.compile(rf"contains? (?:at least )?{_NUMBER} (?:input )?tokens", re.I),
    re.compile(rf"{_NUMBER} input tokens", re.I),
)
_LIMITS: Final = (
    re.compile(rf"context (?:length|window|size) (?:is|of) (?:only )?{_NUMBER}", re.I),
    re.compile(rf"context size \({_NUMBER} tokens\)", re.I),
    re.compile(rf"> {_NUMBER} maximum", re.I),
    re.compile(rf"maximum (?:of|is) {_NUMBER}", re.I),
    re.compile(rf"model's (?:maximum )?(?:context length|limit) \({_NUMBER}", re.I),
)
_QUOTA: Final = re.compile(
    r"insufficient[_ ](?:quota|credits?|balance|funds)"
    r"|\bcredits?\b.{0,80}\b(?:depleted|exceeded|exhausted|left)"
    r"|\b(?:depleted|exceeded|exhausted)\b.{0,80}\bcredits?\b"
    r"|requires more credits|payment required|exceeded your current quota",
    re.I | re.S,
)
_RATE_LIMIT: Final = re.compile(r"rate[ _-]?limit|too many requests|quota of \d+ api requests", re.I)
_NO_MODEL: Final = re.compile(
    r"model_not_(?:found|supported)|no such model|unknown model|invalid model|not a valid model"
    r"|\bmodel\b.{0,120}(?:not found|does not exist|not supported|is not available|not loaded)",
    re.I | re.S,
)
# A server that lost its place in what the model wrote (docs/design/servers.md, "Known faults"). The second
# line and the first half of the third are every message of openai-harmony's parser.
_PARSE_FAILURE: Final = re.compile(
    r"harmony|unexpected tokens? remaining|message header|error parsing tool call|tool_use_failed"
    r"|while expecting start token|no channel value found|unknown role:|could not decode (?:header|tokens)"
    r"|invalid token for decoding|json_validate_failed|failed to (?:generate|validate) json"
    r"|generated json does not match"
    r"|failed to parse (?:tool|input|messages|the model)|failed to call a function"
    r"|model called a tool|unknown channel|parsing failed"
    r"|model produced output that does not match",
    re.I,
)
_CHALLENGE: Final = re.compile(
    r"captcha|just a moment|error 10\d\d|error code: 10\d\d|attention required", re.I
)

# Cloudflare's answer to programs: a code and no page.
_PLAIN_CHALLENGE: Final = re.compile(r"\s*error code: 10\d\d\s*\Z", re.I)


class ErrorForm(msgspec.Struct, frozen=True):
    """The parts of an error, wherever its body keeps them. ``status`` is one that stands inside the body."""

    message: str
    code: str = ""
    type: str = ""
    param: str | None = None
    status: int | None = None
    prompt_tokens: int | None = None
    limit: int | None = None


def read_error(value: Any) -> ErrorForm:
    """An error in decoded JSON: its ``error`` member, or a flat body; also one wrapped in an array."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        value = value[0]
    inner = value.get("error") if isinstance(value, Mapping) else value
    if isinstance(inner, Mapping):
        body = inner
    elif isinstance(value, Mapping):
        body = value
    else:
        return ErrorForm(message_in(inner))
    code = body.get("code")
    param = body.get("param") or _place(body.get("detail"))
    message = message_in(body)
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(raw := metadata.get("raw"), str):
        # OpenRouter: its own words say only that the provider failed.
        message = f"{message}: {raw}"
    return ErrorForm(
        message,
        joined(code) if isinstance(code, str) else "",
        body["type"] if isinstance(body.get("type"), str) else "",
        joined(param) if isinstance(param, str) else None,
        _status(code) or _status(body.get("status")) or _status(body.get("status_code")),
        _count(body.get("n_prompt_tokens")),
        _count(body.get("n_ctx")),
    )


def failure_of_response(
    server: ServerKind,
    status: int,
    content_type: str,
    body: bytes,
    *,
    retry_after: float | None = None,
    redact: Redactor = LOOKS,
) -> GatewayError:
    """An HTTP answer that is none to the turn; ``retry_after`` is in seconds, as the server gave it.

    ``redact`` knows the secrets that the server may repeat, as it does for the other failures here.
    """
    text = body.decode("utf-8", "replace")
    if is_web_page(content_type, text) or _PLAIN_CHALLENGE.match(text):
        return _failure_of_page(server, status, text, retry_after, redact)
    try:
        form = read_error(decode_loosely(body))
    except Unreadable:
        form = ErrorForm(text)
    if not form.message:
        form = msgspec.structs.replace(form, message=text)
    return failure_of_form(server, _without_secrets(form, redact), status, retry_after=retry_after)


def failure_of_event(server: ServerKind, value: Any, redact: Redactor = LOOKS) -> GatewayError:
    """An error inside a stream."""
    form = _without_secrets(read_error(value), redact)
    return failure_of_form(server, form, form.status)


def _without_secrets(form: ErrorForm, redact: Redactor) -> ErrorForm:
    """Before it is cut to what is shown: half a secret would not be known for one."""
    return msgspec.structs.replace(
        form,
        message=beginning(form.message, redact),
        code=beginning(form.code, redact),
        type=beginning(form.type, redact),
        param=None if form.param is None else beginning(form.param, redact),
    )


def failure_of_form(
    server: ServerKind, form: ErrorForm, status: int | None, *, retry_after: float | None = None
) -> GatewayError:
    """The meaning of an error; ``status`` is the answer's or its body's, ``None`` where neither has one."""
    words = f"{form.code} {form.type} {form.message}"
    shown = excerpt(form.message, _EXCERPT_LENGTH) or (
        f"HTTP {status} without a reason" if status else "no reason given"
    )
    title = server.title
    if retry_after is None:
        retry_after = wait_in_words(form.message)
    if status == 402 or (status in (400, 403, 429) and _QUOTA.search(words)):
        return InsufficientQuota(f"The account at {title} has no credits left: {shown}")
    if status == 401:
        step = server.key_step or "Set GPTOSS_UPSTREAM_KEY, or key_env in [[upstreams]]."
        return UpstreamLoginRequired(f"{title} did not accept the key it was given: {shown} {step}")
    named = failure_of_status(status or 500, title, f": {shown}", retry_after=retry_after)
    if isinstance(named, UpstreamRateLimited):
        return named
    if _CONTEXT.search(words):
        return _too_long(form, f"{title}: {shown}")
    if _PARSE_FAILURE.search(words):
        return UnparsedByUpstream(f"{title} could not read what the model wrote: {shown}")
    if _QUOTA.search(words):
        # Inside a stream there is no status; by now these are not the model's own words.
        return InsufficientQuota(f"The account at {title} has no credits left: {shown}")
    if status in (400, 404, 422) and _NO_MODEL.search(words):
        return ModelNotFound(f"{title} does not serve the model: {shown}", param="model")
    if status == 403:
        return PermissionDenied(f"{title} refused the request: {shown} {server.key_step}".rstrip())
    if named is not None and not isinstance(named, UpstreamUnavailable):
        return named
    if status in (400, 409, 422):
        return RefusedByUpstream(
            f"{title} refused the request: {shown}",
            param=excerpt(form.param or "") or None,
            upstream_code=excerpt(form.code) or None,
        )
    if _RATE_LIMIT.search(words):
        return UpstreamRateLimited(f"{title} is limiting requests: {shown}", retry_after=retry_after)
    if named is not None:
        return named
    said = f" (HTTP {status})" if status else ""
    told = f"{title} failed{said}: {shown}"
    failure = _no_endpoint(status, told) or UpstreamFailure(told, retry_after=retry_after)
    failure.retryable = status is None or status >= 500
    return failure


def _failure_of_page(
    server: ServerKind, status: int, text: str, retry_after: float | None, redact: Redactor
) -> GatewayError:
    shown = excerpt(redact(page_title(text)))
    page = f"HTTP {status}: {shown}" if shown else f"HTTP {status}"
    if _CHALLENGE.search(text[:20_000]):
        return UpstreamChallenge(
            f"{server.title} answered with a browser check ({page}), which the gateway cannot pass."
        )
    said = f" ({page})."
    # A proxy's page for a server that it cannot reach.
    named = failure_of_status(503 if status == 502 else status, server.title, said, retry_after=retry_after)
    if named is not None:
        return named
    told = f"{server.title} answered with a web page ({page}); is the address of its API right?"
    failure = _no_endpoint(status, told) or UpstreamFailure(told)
    failure.retryable = False
    return failure


def _no_endpoint(status: int | None, told: str) -> UpstreamFailure | None:
    """That the server has nothing at this path, if that is what its status says."""
    return EndpointMissing(told) if status in NO_ENDPOINT else None


def _too_long(form: ErrorForm, said: str) -> GatewayError:
    prompt = form.prompt_tokens or _first_number(_PROMPT_TOKENS, form.message)
    limit = form.limit or _first_number(_LIMITS, form.message)
    if prompt and limit:
        return ContextLengthExceeded(prompt, limit)
    return PromptTooLong(f"The messages are too long for the model. {said}", param="messages")


def _first_number(patterns: tuple[re.Pattern[str], ...], text: str) -> int | None:
    for pattern in patterns:
        if found := pattern.search(text):
            return int(re.sub(r"[,_]", "", found[1]))
    return None


def _status(value: Any) -> int | None:
    """An HTTP status that is a number or written as one."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else None


def _place(detail: Any) -> str | None:
    """Where FastAPI's first validation error is, such as ``messages.1.reasoning``."""
    first = detail[0] if isinstance(detail, list) and detail else None
    place = first.get("loc") if isinstance(first, Mapping) else None
    if not isinstance(place, list):
        return None
    return ".".join(str(part) for part in place if part != "body")[:200] or None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
