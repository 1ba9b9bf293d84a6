"""What an upstream is asked for, and what the gateway does itself."""

from typing import Any

import pytest
from msgspec.structs import replace

from gptoss_api.core.events import Started
from gptoss_api.core.turn import AssistantMessage, Message, OutputFormat, Tool, ToolChoice, UserMessage
from gptoss_api.emulation.answer.spec import AnswerSpec
from gptoss_api.upstreams.base import Capabilities

from .rendering import make_plan as planned
from .scripted import OBJECT, WEATHER, asks, schema

ALL = Capabilities(history=True, tools=True, json_object=True, json_schema=True, stop=True, max_tokens=True)
CHAT: list[Message] = [UserMessage("a"), AssistantMessage("b"), UserMessage("c")]


def test_an_upstream_that_can_do_everything_gets_the_turn_as_it_is() -> None:
    turn = asks(*CHAT, tools=[WEATHER], stop=("x",), max_tokens=5)
    plan = planned(turn, ALL)
    assert plan.upstream_turn == turn
    assert (plan.emulated, plan.ignored) == ((), ())
    # A server that ignores it is cut all the same.
    assert plan.spec == AnswerSpec(turn, tool_names=("get_weather",), stop=("x",), sends_stop=True)


def test_a_form_is_told_in_words_too_and_checked_in_any_case() -> None:
    turn = asks(*CHAT, tools=[WEATHER], form=schema())
    plan = planned(turn, ALL)
    *conversation, told = plan.upstream_turn.messages
    assert plan.upstream_turn == replace(turn, messages=(*CHAT, told))
    assert conversation == CHAT
    assert told.text.startswith("# Response Formats\n\n## person\n\n{")
    assert plan.spec == AnswerSpec(turn, tool_names=("get_weather",), checks_format=True)
    assert plan.emulated == ()
    verbatim = planned(turn, replace(ALL, verbatim=True))
    assert (verbatim.upstream_turn, verbatim.spec.checks_format) == (turn, False)


@pytest.mark.parametrize(
    ("lacking", "settings", "emulated"),
    [
        ("stop", {"stop": ("x",)}, ("stop",)),
        ("max_tokens", {"max_tokens": 5}, ("max_tokens",)),
        ("history", {}, ("history",)),
        ("tools", {"tools": (WEATHER,)}, ("history", "tools")),
        ("json_object", {"output_format": OBJECT}, ("json_object",)),
        ("json_schema", {"output_format": schema()}, ("json_schema",)),
    ],
)
def test_what_the_upstream_lacks_is_emulated(
    lacking: str, settings: dict[str, Any], emulated: tuple[str, ...]
) -> None:
    lacks: dict[str, Any] = {lacking: False}
    capabilities = Capabilities(
        **{name: getattr(ALL, name) for name in ALL.__struct_fields__ if name not in lacks}, **lacks
    )
    plan = planned(asks(*CHAT, **settings), capabilities)
    assert plan.emulated == emulated
    asked = plan.upstream_turn
    assert (asked.tools, asked.output_format, asked.stop, asked.max_tokens) == ((), OutputFormat(), (), None)
    assert planned(asks(*CHAT, **settings), ALL).emulated == ()


def test_tools_that_are_not_wanted_need_no_emulation() -> None:
    turn = asks(*CHAT, tools=[WEATHER], tool_choice=ToolChoice("none"))
    assert planned(turn, Capabilities(history=True)).emulated == ()


def test_options_without_effect_are_named() -> None:
    turn = asks(options={"temperature": 0.5, "seed": 7})
    plan = planned(turn, Capabilities(options=frozenset({"seed"})))
    assert plan.ignored == ("temperature",)
    assert plan.upstream_turn.options == {"seed": 7}


def test_the_client_is_told() -> None:
    plan = planned(asks(*CHAT, stop=("x",), options={"seed": 7}), Capabilities())
    told = plan.announce(Started("site", "gpt-oss-120b", thread_id="t"), ("empty", "tools"))
    assert told == Started(
        "site",
        "gpt-oss-120b",
        thread_id="t",
        emulated=("history", "stop"),
        ignored=("seed",),
        repairs=2,
        repaired=("empty", "tools"),
    )


def test_one_choice_at_a_time() -> None:
    plan = planned(asks(n=3), ALL)
    assert (plan.upstream_turn.n, plan.emulated) == (1, ("n",))


def test_a_pattern_that_cannot_be_checked_is_named_where_it_would_have_been() -> None:
    parameters = {"type": "object", "properties": {"a": {"pattern": r"^\h$"}}}
    strict = Tool("f", parameters=parameters, strict=True)
    assert planned(asks(tools=[strict]), Capabilities()).ignored == ("pattern",)
    assert planned(asks(tools=[strict]), ALL).ignored == ()
    assert planned(asks(tools=[strict], tool_choice=ToolChoice("required")), ALL).ignored == ("pattern",)
    assert planned(asks(tools=[Tool("f", parameters=parameters)]), Capabilities()).ignored == ()
