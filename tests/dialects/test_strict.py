"""The strict checker itself: it must be able to fail."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gptoss_api.core.result import Collector
from gptoss_api.dialects.responses import ResponsesDialect

from .events import THOUGHT_AND_TEXT
from .strict import check_response


@pytest.fixture
def answer() -> Any:
    collector = Collector()
    collector.feed(THOUGHT_AND_TEXT)
    return json.loads(ResponsesDialect().parse(b'{"input":"Hi"}', {}).render(collector))


def test_a_good_response_passes(answer: Any) -> None:
    assert check_response(answer).output_text == 'Hello "world"\n'


def test_an_unknown_field_fails(answer: Any) -> None:
    answer["output"][1]["content"][0]["colour"] = "red"
    with pytest.raises(AssertionError, match="colour"):
        check_response(answer)


def test_a_missing_field_fails(answer: Any) -> None:
    del answer["usage"]["input_tokens_details"]
    with pytest.raises(ValidationError, match="input_tokens_details"):
        check_response(answer)


def test_a_missing_optional_field_that_clients_rely_on_fails(answer: Any) -> None:
    del answer["metadata"]
    with pytest.raises(AssertionError, match="metadata"):
        check_response(answer)


def test_a_wrong_type_fails(answer: Any) -> None:
    answer["usage"]["total_tokens"] = "18"
    with pytest.raises(ValidationError, match="total_tokens"):
        check_response(answer)
