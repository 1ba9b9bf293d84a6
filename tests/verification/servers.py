"""Servers that know the cases: a good one, and some of which each has one flaw."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from gptoss_api.core.turn import AssistantMessage
from gptoss_api.text.schema_sample import sample
from gptoss_api.verification.cases import Asked, ExpectedCall, ExpectedForm, ExpectedText, plan
from tests.backends.server import Backend, backend_thread
from tests.backends.shapes import SHAPES, Answer
from tests.upstreams.chatkit.scripted import Asked as Request
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import Json, sse

Flaw = Callable[[Answer], Answer]

# How much is thought at each effort, in characters.
THOUGHTS = {"low": 60, "medium": 200, "high": 900}


def key_of(messages: list[Any]) -> str:
    """What tells the samples apart: what the user said, what a tool did, and what was thought before it."""
    said = [message.get("content") for message in messages if message["role"] in ("user", "tool")]
    return "\n".join(filter(None, [*said, *(message.get("reasoning") for message in messages)]))


def known() -> dict[str, Asked]:
    """What is asked by the plans of up to 20 turns for each area, by its text."""
    found = {}
    for probe in plan(20):
        asked = probe.asked()
        texts = [message.text for message in asked.messages]
        thoughts = [message.reasoning for message in asked.messages if isinstance(message, AssistantMessage)]
        found["\n".join(filter(None, texts + thoughts))] = asked
    return found


def good_answer(asked: Asked, effort: str) -> Answer:
    reasoning = "Let me think. " * (THOUGHTS[effort] // 14)
    match asked.expected:
        case ExpectedCall(tools, name, arguments) if name:
            (tool,) = (tool for tool in tools if tool.name == name)
            whole = {**sample(tool.parameters or {}), **arguments}
            return Answer(reasoning, "", ((name, json.dumps(whole)),), "tool_calls")
        case ExpectedCall(text=text) | ExpectedText(text):
            return Answer(reasoning, f"It is {text}." if text else "Seven.")
        case ExpectedForm(schema):
            return Answer(reasoning, json.dumps(sample(schema)))


def tokens(*texts: str) -> int:
    return sum(map(len, texts)) // 4


def reply(answer: Answer, made: Answer, body: Json) -> Reply:
    """The answer as vLLM writes it, with the usage of what the model ``made``."""
    spoken = (made.reasoning, made.content, *(f"{name} {text}" for name, text in made.calls))
    usage = {
        "prompt_tokens": tokens(json.dumps(body["messages"]), json.dumps(body.get("tools", ""))) + 60,
        "completion_tokens": tokens(*spoken) + 10,
        "completion_tokens_details": {"reasoning_tokens": tokens(made.reasoning)},
    }
    *events, done = SHAPES["vllm"].events(replace(answer, usage=False))
    return Reply([sse(*events, {"id": "c", "object": "x", "choices": [], "usage": usage}, done)])


def no_flaw(answer: Answer) -> Answer:
    return answer


def drops_reasoning(answer: Answer) -> Answer:
    return replace(answer, reasoning="")


def breaks_tool_json(answer: Answer) -> Answer:
    """As Python would write it, which is no JSON."""
    return replace(answer, calls=tuple((name, repr(json.loads(text))) for name, text in answer.calls))


def ignores_effort(answer: Answer) -> Answer:
    return replace(answer, reasoning="Let me think. " * 14)


FLAWS: dict[str, Flaw] = {
    "good": no_flaw,
    "silent": drops_reasoning,
    "sloppy": breaks_tool_json,
    "stubborn": ignores_effort,
}


def knowing_backend(flaw: Flaw = no_flaw) -> Backend:
    cases = known()
    backend = Backend("vllm")

    def answer(request: Request) -> Reply:
        body = request.body
        asked = cases.get(key_of(body["messages"]))
        made = good_answer(asked, body.get("reasoning_effort", "medium")) if asked else Answer()
        return reply(flaw(made), made, body)

    backend.reply = answer
    return backend


def configured(**addresses: str) -> str:
    """The value of ``GPTOSS_UPSTREAMS`` for servers by their names."""
    return json.dumps([{"name": name, "kind": "vllm", "url": url} for name, url in addresses.items()])


@contextmanager
def four_servers() -> Iterator[dict[str, str]]:
    """The addresses of a server without a flaw and of one with each, by their names."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(backend_thread(knowing_backend(flaw))) for name, flaw in FLAWS.items()
        }
