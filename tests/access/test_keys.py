"""API keys: who may in, and that nothing tells a key."""

import pytest

from gptoss_api.access import ApiKeys
from gptoss_api.core.errors import InvalidApiKey
from gptoss_api.dialects.openai_errors import openai_error

KEYS = ApiKeys(["first-key-1234", "second-key-5678"])


def test_without_keys_everyone_is_nobody_in_particular() -> None:
    keys = ApiKeys([])
    assert not keys.required
    assert keys.authenticate({}) == ""
    assert keys.authenticate({"authorization": "Bearer anything"}) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer second-key-5678"},
        {"authorization": "bearer   second-key-5678  "},
        {"x-api-key": "second-key-5678"},
        {"authorization": "Bearer placeholder", "x-api-key": "second-key-5678"},
        {"authorization": "Bearer second-key-5678", "x-api-key": "placeholder"},
    ],
)
def test_a_right_key_in_either_header_names_its_caller(headers: dict[str, str]) -> None:
    caller = KEYS.authenticate(headers)
    assert caller == KEYS.authenticate({"x-api-key": "second-key-5678"})
    assert caller != KEYS.authenticate({"x-api-key": "first-key-1234"})
    assert "second" not in caller
    assert len(caller) == 12


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Basic Zmlyc3Qta2V5LTEyMzQ="}]
)
def test_a_missing_key_is_said_to_be_missing(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidApiKey, match="didn't provide"):
        KEYS.authenticate(headers)


@pytest.mark.parametrize(
    "key",
    [
        "wrong",
        "first-key-123",
        "first-key-12345",
        "FIRST-KEY-1234",
        "first-key-1234,second-key-5678",
        "\xff\xfe",
    ],
)
def test_a_wrong_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidApiKey, match="Incorrect") as refused:
        KEYS.authenticate({"authorization": f"Bearer {key}"})
    assert key not in refused.value.message
    assert openai_error(refused.value).status == 401
    assert refused.value.should_retry is False


def test_no_key_is_kept_in_memory_as_it_is() -> None:
    assert "first-key-1234" not in repr(KEYS._callers)
