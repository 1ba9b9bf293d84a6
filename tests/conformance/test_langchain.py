"""LangChain's standard suite for chat models, over each API that its own classes speak."""

import json
from importlib.metadata import version
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from tests.simulator.agent import Call

from .stages import Asked, Stage

SUITE = ("langchain-tests, ChatModelIntegrationTests", version("langchain-tests"))
_JOKE = {"setup": "Why did the cat sit on the computer?", "punchline": "To watch the mouse."}
# What the questions of the suite ask for, the first that is found in the conversation.
_CALLS = {
    "What is 3 + 4": Call("my_adder_tool", {"a": 3, "b": 4}),
    "magic_function(3)": Call("magic_function", {"input": 3}),
    "magic_function_no_args()": Call("magic_function_no_args"),
    "a Pirate greeting": Call("greeting_generator", {"answer_style": "pirate"}),
    "San Francisco": Call("get_weather", {"location": "San Francisco"}),
    "你好啊集团": Call("unicode_customer", {"customer_name": "你好啊集团", "description": "technology"}),
    "こんにちは株式会社": Call(
        "unicode_customer", {"customer_name": "こんにちは株式会社", "description": "Japanese"}
    ),
    "Hello!": Call("magic_function", {"input": 1}),
}


def model_of_suite(asked: Asked) -> str | list[Call]:
    """Calls what it is asked for, once; tells a joke in JSON where it has no tool for that."""
    for words, call in _CALLS.items():
        if asked.has_tools and words in asked.said and (not asked.results or "3 + 4" in words):
            return [call]
    if "joke about cats" in asked.said:
        name = "JokeDict" if "JokeDict" in asked.said else "Joke"
        return [Call(name, _JOKE)] if asked.has_tools else json.dumps(_JOKE)
    return f"So it is {asked.results[-1]}." if asked.results else "Hello there, I am well."


class _Standard(ChatModelIntegrationTests):  # type: ignore[misc]
    base_url = ""
    settings: dict[str, Any] = {}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def at_stage(self, stage: Stage) -> None:
        stage.play(model_of_suite)
        self.base_url = f"{stage.base_url}/v1"

    @property
    def chat_model_class(self) -> Any:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "gpt-oss-120b",
            "base_url": self.base_url,
            "api_key": "none",
            "stream_usage": True,
            "max_retries": 0,
        } | self.settings

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-oss-20b"

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        return {"invoke": ["reasoning_output"], "stream": ["reasoning_output"]}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)
        if not stream:
            answer: AIMessage = model.invoke("Hello")
            return answer
        first: AIMessage
        first, *rest = model.stream("Hello")
        for chunk in rest:
            first += chunk
        return first


class TestChatCompletions(_Standard):
    pass


class TestResponses(_Standard):
    settings = {"use_responses_api": True}  # noqa: RUF012


class TestMessages(_Standard):
    @property
    def chat_model_class(self) -> Any:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "gpt-oss-120b",
            "base_url": self.base_url.removesuffix("/v1"),
            "api_key": "none",
            "max_retries": 0,
        }

    @property
    def supports_json_mode(self) -> bool:
        return False

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        return {"invoke": [], "stream": []}
