"""OpenAI's words for every failure: one table, without gaps."""

import json

from gptoss_api.core import errors
from gptoss_api.core.errors import (
    GatewayError,
    InvalidApiKey,
    MethodNotAllowed,
    Overloaded,
    RefusedByUpstream,
)
from gptoss_api.dialects.openai_errors import OPENAI_ERRORS, error_response, openai_error


def every_error(kind: type[GatewayError] = GatewayError) -> set[type[GatewayError]]:
    ours = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return {kind}.union(*map(every_error, ours))


def test_every_failure_is_in_the_table_by_itself() -> None:
    assert set(OPENAI_ERRORS) == every_error()


def test_a_failure_that_is_not_is_told_as_what_it_is_a_kind_of() -> None:
    class Odd(Overloaded):
        pass

    assert openai_error(Odd("later")) == OPENAI_ERRORS[Overloaded]


def test_a_server_that_refused_a_request_is_quoted_with_its_own_code() -> None:
    assert openai_error(RefusedByUpstream("no", upstream_code="top_k_small")).code == "top_k_small"
    assert openai_error(RefusedByUpstream("no")) == (400, "invalid_request_error", None)


def test_a_failed_request_is_answered_with_all_four_members_and_what_http_has_to_say() -> None:
    status, headers, body = error_response(Overloaded("Full.", retry_after=1.2), "req_1")
    assert (status, dict(headers)) == (503, {b"retry-after": b"2"})
    assert json.loads(body) == {
        "error": {"message": "Full.", "type": "api_error", "param": None, "code": "overloaded"}
    }
    _, headers, _ = error_response(InvalidApiKey("Who?"), "req_1")
    assert dict(headers) == {b"x-should-retry": b"false", b"www-authenticate": b"Bearer"}
    _, headers, _ = error_response(MethodNotAllowed("No.", allow=("GET", "HEAD")), "req_1")
    assert dict(headers) == {b"allow": b"GET, HEAD"}
