"""The gateway in front of the official ChatKit server SDK, newest and oldest usable version."""

from collections.abc import Iterator

import pytest

from tests.chatkit_sdk.environment import NEWEST, OLDEST, running
from tests.conftest import RunningGateway, running_gateway

from .chat import ask

# The first run may have to install the oldest SDK.
pytestmark = pytest.mark.timeout(600)

THOUGHT = "The user wrote something. I will repeat it."

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module", params=[NEWEST, OLDEST], ids=lambda version: f"sdk_{version}")
def sdk_gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    with (
        running(request.param) as url,
        running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_CHATKIT_URL=url) as gateway,
    ):
        yield gateway


@streamed_or_not
def test_chat(sdk_gateway: RunningGateway, stream: bool) -> None:
    outcome = ask(sdk_gateway.base_url, "Grüße\nund “mehr” 🙂", stream=stream)
    assert (outcome.status, outcome.error) == (200, None)
    assert outcome.text == "Message 1: Grüße\nund “mehr” 🙂"
    assert outcome.reasoning == THOUGHT
    assert outcome.finish_reason == "stop"
    assert outcome.done is stream


@streamed_or_not
def test_conversation(sdk_gateway: RunningGateway, stream: bool) -> None:
    first = ask(sdk_gateway.base_url, "My name is Ada.", stream=stream)
    conversation = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "Who am I?"},
    ]
    second = ask(sdk_gateway.base_url, conversation, stream=stream)
    assert (second.status, second.error) == (200, None)
    # Either the app's own thread is continued or the history is part of the prompt it repeats.
    assert second.text.startswith("Message 2:") or "My name is Ada." in second.text
    assert second.text.endswith("Who am I?")


@streamed_or_not
def test_an_exception_in_the_app_is_an_upstream_error(sdk_gateway: RunningGateway, stream: bool) -> None:
    outcome = ask(sdk_gateway.base_url, "raise", stream=stream)
    assert outcome.status == 502
    assert outcome.error is not None
    assert (outcome.error["type"], outcome.error["code"]) == ("api_error", "upstream_error")


@streamed_or_not
def test_a_refusal_of_the_app_is_passed_on_in_its_words(sdk_gateway: RunningGateway, stream: bool) -> None:
    outcome = ask(sdk_gateway.base_url, "refuse", stream=stream)
    assert outcome.status in (429, 502)
    assert outcome.error is not None
    assert "You hit a limit of the app" in outcome.error["message"]


def test_an_exception_after_the_first_word_ends_the_stream_with_an_error(sdk_gateway: RunningGateway) -> None:
    outcome = ask(sdk_gateway.base_url, "raise late", stream=True)
    assert outcome.text.startswith("Message 1: ")
    assert outcome.error is not None
    assert outcome.error["code"] == "upstream_error"
    assert outcome.finish_reason is None
    assert not outcome.done


@streamed_or_not
def test_a_sign_in_card_is_a_login_error(sdk_gateway: RunningGateway, stream: bool) -> None:
    outcome = ask(sdk_gateway.base_url, "card", stream=stream)
    assert outcome.status == 401
    assert outcome.error is not None
    assert outcome.error["code"] == "upstream_login_required"
