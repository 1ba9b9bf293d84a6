"""What gpt-oss.com's refusals mean: cards, error events and HTTP answers become our own errors.

Only the login card is documented (docs/design/gpt-oss-com.md, "Sign-in card"). The other wordings are
precautions, so an unknown one is an upstream failure that quotes the site briefly. The model's text is never
searched.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ...core.errors import (
    GatewayError,
    InsufficientQuota,
    ThreadLost,
    UpstreamChallenge,
    UpstreamFailure,
    UpstreamForbidden,
    UpstreamLoginRequired,
    UpstreamRateLimited,
)
from ...core.program import command
from ...core.redaction import Redactor
from ..refusals import (
    LOOKS,
    beginning,
    excerpt,
    failure_of_status,
    is_web_page,
    message_in,
    message_in_json,
    page_title,
    wait_in_words,
)

LOGIN_STEP: Final = (
    f"Run '{command()} login', which says what to copy from a browser that is logged in at "
    "https://gpt-oss.com, or set GPTOSS_COOKIE to its cookies user_id and session and start again."
)

_SIGN_IN: Final = re.compile(r"\b(?:sign|log)(?:ging)?[ -]?in\b|\blogin\b", re.I)
_NOT_SIGNED_IN: Final = re.compile(
    r"\bnot (?:authenticated|logged in|signed in)\b|\bunauthenticated\b|\bunauthori[sz]ed\b"
    r"|\b(?:session|login|token) (?:has |is )?expired\b"
    r"|\b(?:invalid|expired) (?:session|token|credentials)\b",
    re.I,
)
_HUGGING_FACE: Final = re.compile(r"\bhugging ?face\b", re.I)
_RATE_LIMIT: Final = re.compile(
    r"\brate[ _-]?limit|\btoo many (?:requests|messages)\b|\blimit(?:ed)? (?:is |was |has been )?"
    r"(?:reached|exceeded|hit)\b"
    r"|\b(?:hit|reached|exceeded) (?:a|the|your|our) (?:\w+ ){0,3}(?:limit|quota)\b",
    re.I,
)
_CREDITS: Final = re.compile(
    r"\bcredits?\b.{0,80}\b(?:exhausted|depleted|exceeded|used up|left|purchase)\b"
    r"|\b(?:depleted|exceeded|exhausted|used up)\b.{0,80}\bcredits?\b|\binsufficient[ _]quota\b",
    re.I | re.S,
)
_CHALLENGE: Final = re.compile(r"captcha|just a moment|verify (?:that )?you are (?:a )?human|challenge", re.I)
_NO_THREAD: Final = re.compile(
    r"\bthread\b.{0,60}\b(?:not found|unknown|does not exist|no longer)\b"
    r"|\b(?:unknown|no such|invalid)\b.{0,10}\bthread\b|\bnot found\b.{0,20}\bthread\b",
    re.I | re.S,
)


def login_required() -> UpstreamLoginRequired:
    return UpstreamLoginRequired(
        f"gpt-oss.com wants a login, or the one it was given has expired. {LOGIN_STEP}"
    )


def failure_of_card(texts: list[str], redact: Redactor = LOOKS) -> GatewayError:
    """What a card shown in place of an answer means; ``texts`` are its words, top to bottom.

    ``redact`` knows the secrets that the site may repeat, as it does for the other failures here.
    """
    text = beginning(" ".join(texts), redact)
    if _SIGN_IN.search(text):
        return login_required()
    if (known := _known_meaning(text, text)) is not None:
        return known
    if _HUGGING_FACE.search(text):
        return login_required()
    shown = excerpt(text)
    failure = UpstreamFailure(
        f"gpt-oss.com showed a card instead of an answer: {shown}"
        if shown
        else "gpt-oss.com showed a card without text instead of an answer."
    )
    failure.retryable = False
    return failure


def failure_of_error_event(event: Mapping[str, Any], redact: Redactor = LOOKS) -> GatewayError:
    """An ``error`` event in any spelling: ``message``, ``error``, ``detail``, ``code``, ``allow_retry``."""
    message = beginning(message_in(event), redact)
    code = event.get("code")
    words = f"{beginning(code, redact)} {message}" if isinstance(code, str) else message
    failure = _known_meaning(words, message)
    if failure is None and _SIGN_IN.search(message):
        failure = login_required()
    if failure is None:
        shown = excerpt(message)
        failure = UpstreamFailure(
            f"gpt-oss.com could not answer: {shown}"
            if shown
            else "gpt-oss.com failed while it generated the answer and gave no reason."
        )
    if False in (event.get("allow_retry"), event.get("allowRetry")):
        failure.retryable = False
        failure.should_retry = False
    return failure


def failure_of_response(
    status: int,
    content_type: str,
    body: bytes,
    *,
    retry_after: float | None = None,
    location: str = "",
    redact: Redactor = LOOKS,
) -> GatewayError:
    """An HTTP answer that is no event stream; ``retry_after`` is in seconds, as the site gave it."""
    text = body.decode("utf-8", "replace")
    is_page = is_web_page(content_type, text)
    message = beginning(page_title(text) if is_page else message_in_json(text), redact)
    shown = excerpt(message)
    said = f"HTTP {status}: {shown}" if shown else f"HTTP {status}"
    if status == 401 or (300 <= status < 400 and re.search(r"login|auth|huggingface\.co", location, re.I)):
        return login_required()
    if is_page and status in (200, 401, 403, 429, 503) and _CHALLENGE.search(text[:20_000]):
        challenge = UpstreamChallenge(
            f"gpt-oss.com answered with a browser check ({said}), which the gateway cannot pass.",
            retry_after=retry_after,
        )
        challenge.should_retry = False
        return challenge
    if (
        named := failure_of_status(status, "gpt-oss.com", f" ({said}).", retry_after=retry_after)
    ) is not None:
        return named
    if status == 402:
        return InsufficientQuota(f"The account at gpt-oss.com has no credits left ({said}).")
    if not is_page and status < 500:
        if (known := _known_meaning(message, message)) is not None:
            known.retry_after = known.retry_after if retry_after is None else retry_after
            return known
        if _SIGN_IN.search(message):
            return login_required()
    if status == 403:
        return UpstreamForbidden(f"gpt-oss.com refused the request ({said}).")
    what = "a web page" if is_page else "something else"
    failure = UpstreamFailure(
        f"gpt-oss.com answered with {what} instead of an event stream ({said}).", retry_after=retry_after
    )
    failure.retryable = status >= 500
    return failure


def _known_meaning(text: str, message: str) -> GatewayError | None:
    """The failure that ``text`` names; ``message`` is the part of it that a client may see."""
    shown = excerpt(message) or "no reason given"
    if _RATE_LIMIT.search(text):
        return UpstreamRateLimited(
            f"gpt-oss.com is limiting requests: {shown}", retry_after=wait_in_words(message)
        )
    if _CREDITS.search(text):
        return InsufficientQuota(f"The account at gpt-oss.com has no credits left: {shown}")
    if _NOT_SIGNED_IN.search(text):
        return login_required()
    if _NO_THREAD.search(text):
        return ThreadLost(f"gpt-oss.com no longer knows the conversation: {shown}")
    return None


def unreadable_login(reason: str) -> str:
    """What is wrong with a login that is kept and cannot be read, and what mends it."""
    return f"The file that keeps the login at gpt-oss.com is of no use: {reason}. {LOGIN_STEP}"
