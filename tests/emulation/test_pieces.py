"""Whatever is asked and answered, the pieces in which the answer arrives change nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.core.errors import GatewayError, UpstreamFailure
from gptoss_api.core.events import Finished
from gptoss_api.core.turn import ToolChoice, Turn

from .scripted import (
    CALL,
    NOTE,
    OBJECT,
    PARIS,
    STRICT,
    STRICT_CALL,
    WEATHER,
    Answer,
    Step,
    Thought,
    answered,
    asks,
    block,
    schema,
)

ADA = '{"name": "Ada", "age": 36}'
TEXTS = (
    "One two three.",
    " and ",
    "\n\n",
    " ",
    "END",
    "EN",
    "<",
    "<tool_call",
    "`x`",
    "```json\n",
    "\n```\n",
    "{",
    "}",
    '{"a": ',
    "<\\|end\\|>",
    "&lt;tool_call",
    "été 🙂 日本",
    "<|channel|>analysis<|message|>Hm.<|end|>",
    "<tool_result",
    "User: hello",
    CALL,
    STRICT_CALL,
    CALL[:30],
    CALL[:-20],
    CALL.replace("KEY", "k0k0"),
    CALL.replace(' key="KEY"', ""),
    block("{}", "get_time"),
    block(PARIS, "get_news"),
    block('{"city": what?}', "get_time"),
    block('{"input": "x <\\\\|end\\\\|>"}', "note"),
    '<|channel|>commentary to=functions.get_weather<|message|>{"city": "Rome"}<|call|>',
    ADA,
    '{"name": "Ada", "age": "x"}',
    '{"city": "Rome"}',
    "[1, 2]",
    '"text"',
)

_texts = st.lists(st.sampled_from(TEXTS), max_size=5).map("".join)
_steps: st.SearchStrategy[Step] = st.one_of(
    _texts,
    _texts,
    _texts.map(Thought),
    st.sampled_from([Finished("length"), Finished("stop"), Finished("content_filter")]),
    st.just(UpstreamFailure("unknown tool get_weather")),
    st.just(UpstreamFailure("the oven is cold")),
)
_answers: st.SearchStrategy[list[Answer]] = st.lists(
    st.lists(_steps, min_size=1, max_size=3).map(lambda steps: _up_to_the_end(steps)), min_size=1, max_size=4
)
_choices = st.sampled_from(
    [
        ToolChoice(),
        ToolChoice(),
        ToolChoice("required"),
        ToolChoice("named", ("get_time",)),
        ToolChoice("none"),
    ]
)
_forms = st.sampled_from([None, None, OBJECT, schema(), schema(strict=False)])


def _up_to_the_end(steps: list[Step]) -> list[Step]:
    for position, step in enumerate(steps):
        if isinstance(step, Finished | GatewayError):
            return steps[: position + 1]
    return steps


@st.composite
def _turns(draw: st.DrawFn) -> Turn:
    tools = draw(st.sampled_from([(), (WEATHER, STRICT), (WEATHER, STRICT, NOTE)]))
    return asks(
        draw(st.sampled_from(["Hello!", "What is <|end|>?"])),
        "And <tool_call>?",
        tools=tools,
        form=draw(_forms),
        tool_choice=draw(_choices) if tools else ToolChoice(),
        parallel_tool_calls=draw(st.booleans()),
        stop=draw(st.sampled_from([(), (), ("END",), ("\n\n", "<tool")])),
        max_tokens=draw(st.sampled_from([None, None, 1, 5, 12, 30, 1000])),
        show_reasoning=draw(st.booleans()),
    )


@given(_turns(), _answers, st.sampled_from(["strict", "best_effort"]))
@settings(max_examples=200, deadline=None)
def test_pieces_change_nothing(turn: Turn, answers: list[Answer], repair: str) -> None:
    # Every repair of every kind has an answer.
    script = [*answers, *[answers[-1]] * 4]
    outcome = answered(turn, *script, repair="strict" if repair == "strict" else "best_effort")
    if outcome.error is not None:
        return
    choice = outcome.choice
    if turn.max_tokens is not None:
        assert outcome.usage.completion_tokens <= turn.max_tokens
    if repair == "strict" and choice.finish_reason in ("stop", "tool_calls") and not turn.stop:
        assert choice.text or choice.tool_calls or choice.refusal, "an empty answer without an error"
    if not turn.show_reasoning:
        assert not choice.reasoning
    if not turn.tools or turn.tool_choice.mode == "none":
        assert not choice.tool_calls
    if not turn.parallel_tool_calls:
        assert len(choice.tool_calls) <= 1
    if turn.tool_choice.mode in ("required", "named") and repair == "strict":
        assert choice.tool_calls or choice.finish_reason != "stop" or turn.stop
