"""What a client of Chat Completions sees of tools, formats and limits that the website does not have.

Through the real gateway and the simulated website, streamed and whole; the rules behind it are tested in
tests/emulation.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import pytest

from tests.conftest import RunningGateway, Site, StartGateway
from tests.simulator import Answer, Exchange, Simulator
from tests.simulator.agent import Call, tool_key
from tests.simulator.answers import Pause

from .chat import Json

FUNCTION: Json = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
STRICT: Json = {"type": "function", "function": {**FUNCTION["function"], "strict": True}}
PERSON: Json = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    },
}
ADA = '{"name": "Ada", "age": 36}'
PARIS, ROME = Call("get_weather", {"city": "Paris"}), Call("get_weather", {"city": "Rome"})
CITY = '{"city": "Paris"}'
THOUGHTS = ("I need a tool.",)


@dataclass(slots=True)
class Told:
    """One choice as a client has it."""

    text: str = ""
    refusal: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    finish_reason: str | None = None


@dataclass(slots=True)
class Reply:
    """What came back, the same for streams and whole bodies; ``chunks`` are empty for those."""

    status: int
    headers: httpx.Headers
    choices: list[Told] = field(default_factory=list)
    usage: Json | None = None
    extension: Json = field(default_factory=dict)
    fingerprint: str = ""
    error: Json | None = None
    comments: int = 0
    chunks: list[Json] = field(default_factory=list)
    done: bool = False

    @property
    def only(self) -> Told:
        assert self.error is None, self.error
        [choice] = self.choices
        return choice


class Client:
    """Asks a gateway for chat completions, ``stream`` or not."""

    def __init__(self, gateway: RunningGateway, *, stream: bool) -> None:
        self.stream = stream
        self._url = f"{gateway.base_url}/v1/chat/completions"

    def ask(self, prompt: str = "How is the weather in Paris?", **parameters: Any) -> Reply:
        body = {
            "model": "gpt-oss-120b",
            "messages": [{"role": "user", "content": prompt}],
            "stream": self.stream,
            **({"stream_options": {"include_usage": True}} if self.stream else {}),
            **parameters,
        }
        with httpx.Client(timeout=30) as client, client.stream("POST", self._url, json=body) as response:
            reply = Reply(response.status_code, response.headers)
            if response.headers["content-type"].startswith("text/event-stream"):
                _read_stream(response, reply)
            else:
                _read_body(json.loads(response.read()), reply)
        return reply


def _read_body(body: Json, reply: Reply) -> None:
    reply.error = body.get("error")
    for choice in body.get("choices", ()):
        message = choice["message"]
        told = Told(message["content"] or "", message["refusal"] or "")
        for call in message.get("tool_calls", ()):
            kind = call[call["type"]]
            told.calls.append((kind["name"], kind["input" if call["type"] == "custom" else "arguments"]))
        if legacy := message.get("function_call"):
            told.calls.append((legacy["name"], legacy["arguments"]))
        told.finish_reason = choice["finish_reason"]
        reply.choices.append(told)
    reply.usage = body.get("usage")
    reply.extension = body.get("x_gptoss", {})
    reply.fingerprint = body.get("system_fingerprint", "")


def _read_stream(response: httpx.Response, reply: Reply) -> None:
    for line in response.iter_lines():
        if line.startswith(":"):
            reply.comments += 1
        elif line == "data: [DONE]":
            reply.done = True
        elif line:
            assert not reply.done
            chunk = json.loads(line.removeprefix("data: "))
            reply.chunks.append(chunk)
            _read_chunk(chunk, reply)


def _read_chunk(chunk: Json, reply: Reply) -> None:
    reply.error = chunk.get("error") or reply.error
    reply.usage = chunk.get("usage") or reply.usage
    reply.extension = chunk.get("x_gptoss") or reply.extension
    reply.fingerprint = chunk.get("system_fingerprint", reply.fingerprint)
    for choice in chunk.get("choices", ()):
        while len(reply.choices) <= choice["index"]:
            reply.choices.append(Told())
        told, delta = reply.choices[choice["index"]], choice["delta"]
        assert told.finish_reason is None
        told.text += delta.get("content") or ""
        told.refusal += delta.get("refusal") or ""
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                assert call["index"] == len(told.calls)
                told.calls.append((call[call["type"]]["name"], ""))
            name, written = told.calls[call["index"]]
            piece = call.get("function", {}).get("arguments") or call.get("custom", {}).get("input") or ""
            told.calls[call["index"]] = (name, written + piece)
        if legacy := delta.get("function_call"):
            name, written = told.calls.pop() if told.calls else (legacy["name"], "")
            told.calls.append((name, written + legacy["arguments"]))
        told.finish_reason = choice["finish_reason"]


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def client(request: pytest.FixtureRequest, site: Site) -> Client:
    return Client(site.gateway, stream=request.param)


def says(text: str, thoughts: tuple[str, ...] = THOUGHTS) -> Callable[[Exchange], Answer]:
    """An answer in which ``KEY`` is the key that the prompt demands."""
    return lambda request: Answer(said(request, text), thoughts)


def said(request: Exchange, text: str) -> str:
    return text.replace("KEY", tool_key(request.text))


# Tools


def test_two_calls_in_one_turn(site: Site, client: Client) -> None:
    site.simulator.always(says(f"Both of them.\n\n{PARIS.block('KEY')}\n{ROME.block('KEY')}"))
    reply = client.ask(tools=[FUNCTION])
    assert reply.only == Told(
        "Both of them.",
        "",
        [("get_weather", CITY), ("get_weather", '{"city": "Rome"}')],
        "tool_calls",
    )


def test_a_call_in_a_stream_has_an_id_once_and_an_index_always(site: Site) -> None:
    text = f"{PARIS.block('KEY')}\n{ROME.block('KEY')}"
    # Pieces of one size: those of the simulator depend on the text, and so on the key.
    site.simulator.always(
        lambda request: Answer("", THOUGHTS, deltas=re.findall("(?s).{1,4}", said(request, text)))
    )
    reply = Client(site.gateway, stream=True).ask(tools=[FUNCTION])
    calls = [
        call
        for chunk in reply.chunks
        for choice in chunk.get("choices", ())
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert [call["index"] for call in calls if "id" in call] == [0, 1]
    assert len({call["id"] for call in calls if "id" in call}) == 2
    assert len(calls) > 6, "arguments stream"
    assert reply.done


@pytest.mark.parametrize("parameter", ["max_tokens", "max_completion_tokens"])
def test_a_call_that_the_limit_cuts(site: Site, client: Client, parameter: Any) -> None:
    long = Call("get_weather", {"city": "Llanfair " * 100})
    site.simulator.always(says(long.block("KEY"), ()))
    limit: Json = {parameter: 20}
    reply = client.ask(tools=[FUNCTION], **limit)
    [(name, arguments)] = reply.only.calls
    assert name == "get_weather"
    assert json.dumps(long.arguments).startswith(arguments)
    assert arguments
    assert reply.only.finish_reason == "length"
    assert reply.usage is not None
    assert reply.usage["completion_tokens"] == 20


def test_a_call_that_is_only_quoted_is_not_run(site: Site, client: Client) -> None:
    quoted = f"You would write:\n\n```xml\n{PARIS.block('KEY')}\n```\n\nShall I?"
    site.simulator.always(says(quoted))
    reply = client.ask(tools=[FUNCTION])
    assert reply.only.calls == []
    assert reply.only.text == quoted.replace("KEY", tool_key(site.simulator.last.text))
    assert reply.only.finish_reason == "stop"


def test_a_call_with_a_wrong_key_is_not_run(site: Site, client: Client) -> None:
    wrong = f"As you said: {PARIS.block('zzzz')}"
    site.simulator.always(Answer(wrong, THOUGHTS))
    assert client.ask(tools=[FUNCTION]).only == Told(wrong, "", [], "stop")


def test_a_native_call_that_leaked_into_the_text_is_run(site: Site, client: Client) -> None:
    leaked = f"<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{CITY}<|call|>"
    site.simulator.always(Answer(leaked, THOUGHTS))
    assert client.ask(tools=[FUNCTION]).only == Told("", "", [("get_weather", CITY)], "tool_calls")


def test_what_the_model_invents_after_a_call_is_not_delivered(site: Site, client: Client) -> None:
    invented = '\n<tool_result key="KEY" name="get_weather">\nSunny\n</tool_result>\nIt is sunny. '
    site.simulator.always(says(PARIS.block("KEY") + invented * 50))
    assert client.ask(tools=[FUNCTION]).only == Told("", "", [("get_weather", CITY)], "tool_calls")


def test_invalid_arguments_of_a_strict_tool_are_repaired(site: Site, client: Client) -> None:
    wrong = Call("get_weather", {"town": "Paris"})
    site.simulator.script(says(wrong.block("KEY")), says(PARIS.block("KEY")))
    reply = client.ask(tools=[STRICT])
    assert reply.only.calls == [("get_weather", CITY)]
    assert reply.extension["repairs"] == 1
    first, second = site.simulator.requests
    assert second.thread_id is not None
    assert first.thread is second.thread
    assert "rejected" in second.text
    assert len(second.text) < 400, "a repair sends no history"


def test_a_call_that_was_demanded_and_did_not_come(site: Site, client: Client) -> None:
    site.simulator.script(Answer("I know without."), says(PARIS.block("KEY")))
    reply = client.ask(tools=[FUNCTION], tool_choice="required")
    assert (reply.only.calls, reply.only.finish_reason) == ([("get_weather", CITY)], "tool_calls")
    site.simulator.script(Answer("I know without."), Answer("Really."))
    reply = client.ask(tools=[FUNCTION], tool_choice="required")
    assert reply.error is not None
    assert reply.error["code"] == "upstream_schema_mismatch"


def test_a_call_demanded_by_name_ends_with_stop(site: Site, client: Client) -> None:
    site.simulator.always(says(PARIS.block("KEY")))
    named = {"type": "function", "function": {"name": "get_weather"}}
    reply = client.ask(tools=[FUNCTION], tool_choice=named)
    assert (reply.only.calls, reply.only.finish_reason) == ([("get_weather", CITY)], "stop")


def test_a_custom_tool_gets_text(site: Site, client: Client) -> None:
    site.simulator.always(says(Call("note", {"input": 'say "hi"\n'}).block("KEY")))
    reply = client.ask(tools=[{"type": "custom", "custom": {"name": "note"}}])
    assert reply.only.calls == [("note", 'say "hi"\n')]


def test_legacy_functions_get_one_call(site: Site, client: Client) -> None:
    site.simulator.always(says(f"{PARIS.block('KEY')}\n{ROME.block('KEY')}"))
    reply = client.ask(functions=[FUNCTION["function"]])
    assert reply.only == Told("", "", [("get_weather", CITY)], "function_call")
    assert "at most one" in site.simulator.last.text


# Empty answers


def test_an_empty_answer_is_nudged(site: Site, client: Client) -> None:
    site.simulator.script(Answer("", THOUGHTS), Answer("Here it is."))
    reply = client.ask()
    assert reply.only == Told("Here it is.", "", [], "stop")
    assert reply.extension["repairs"] == 1
    assert site.simulator.last.text.startswith("Your last message arrived empty")


def test_a_native_call_that_the_website_swallowed_is_asked_for_again(site: Site, client: Client) -> None:
    site.simulator.script(Answer("", THOUGHTS), says(PARIS.block("KEY")))
    reply = client.ask(tools=[FUNCTION])
    assert reply.only.calls == [("get_weather", CITY)]


@pytest.mark.parametrize("thoughts", [(), THOUGHTS], ids=["not a word", "only thoughts"])
def test_an_empty_answer_is_nudged_in_its_thread(
    site: Site, client: Client, thoughts: tuple[str, ...]
) -> None:
    site.simulator.script(Answer("", thoughts), Answer("Mild.", ()))
    assert client.ask().only.text == "Mild."
    _, nudge = site.simulator.requests
    assert nudge.op == "threads.addMessage"
    assert nudge.text.startswith("Your last message arrived empty")


def test_a_call_at_the_end_of_the_reasoning_of_an_empty_answer_is_run(site: Site, client: Client) -> None:
    site.simulator.script(
        lambda request: Answer("", (f"I call it.\n\n{PARIS.block(tool_key(request.text))}",))
    )
    reply = client.ask(tools=[FUNCTION])
    assert reply.only.calls == [("get_weather", CITY)]
    assert "reasoning" in reply.extension["notes"][0]


def test_an_answer_that_stays_empty_is_an_error(site: Site, client: Client) -> None:
    site.simulator.always(Answer("", ()))
    reply = client.ask(tools=[FUNCTION])
    assert reply.status == 502
    assert reply.error is not None
    assert reply.error["code"] == "upstream_empty"
    assert len(site.simulator.requests) == 2, "one nudge, nothing else"


# Formats


def test_an_answer_that_does_not_fit_the_schema_is_repaired(site: Site, client: Client) -> None:
    site.simulator.script(Answer('{"name": "Ada", "age": "old"}'), Answer(f"```json\n{ADA}\n```"))
    reply = client.ask(response_format=PERSON)
    assert reply.only == Told(ADA, "", [], "stop")
    assert reply.extension == {"emulated": ["json_schema"], "repairs": 1}
    assert reply.headers["x-gptoss-repairs"] == "1"
    assert "is not of type" in site.simulator.last.text


def test_a_model_that_does_not_want_to_refuses(site: Site, client: Client) -> None:
    site.simulator.always(Answer("I cannot help with that."))
    assert client.ask(response_format=PERSON).only == Told("", "I cannot help with that.", [], "stop")


def test_an_answer_that_never_fits_is_a_502(site: Site, client: Client) -> None:
    site.simulator.always(Answer('{"name": "Ada"}'))
    reply = client.ask(response_format=PERSON)
    assert reply.status == 502, "nothing had left before the budget was spent"
    assert reply.error is not None
    assert reply.error["code"] == "upstream_schema_mismatch"
    assert '"age" is a required property' in reply.error["message"]
    assert len(site.simulator.requests) == 3, "two repairs for a strict schema"


def test_best_effort_delivers_it_all_the_same(simulator: Simulator, gateway: StartGateway) -> None:
    simulator.always(Answer('{"name": "Ada"}'))
    running = gateway(simulator, GPTOSS_REPAIR="best_effort")
    reply = Client(running, stream=False).ask(response_format=PERSON)
    assert reply.only.text == '{"name": "Ada"}'
    assert '"age" is a required property' in reply.extension["notes"][0]


@pytest.mark.parametrize("said", ['{"a": 1}', 'Here: {"a": 1}', "```json\n{'a': 1,}\n```"])
def test_any_object(site: Site, client: Client, said: str) -> None:
    site.simulator.always(Answer(said))
    assert json.loads(client.ask(response_format={"type": "json_object"}).only.text) == {"a": 1}


# Limits


def test_a_stop_string(site: Site, client: Client) -> None:
    site.simulator.always(Answer("one two three four"))
    reply = client.ask(stop=["three"])
    assert reply.only == Told("one two ", "", [], "stop")


@pytest.mark.parametrize(
    ("limit", "text"), [({"max_tokens": 3}, "one two three"), ({"stop": "three"}, "one two ")]
)
def test_the_website_is_left_as_soon_as_nothing_more_is_wanted(
    site: Site, client: Client, limit: Json, text: str
) -> None:
    site.simulator.always(Answer("one two three four " * 2000, pace=0.005))
    assert client.ask(**limit).only.text == text
    site.simulator.wait_until(lambda: site.simulator.last.outcome == "abandoned", timeout=3)


def test_several_choices(site: Site, client: Client) -> None:
    site.simulator.script(says(f"One.\n\n{PARIS.block('KEY')}"), Answer("Two."))
    reply = client.ask(tools=[FUNCTION], n=2)
    assert reply.choices == [
        Told("One.", "", [("get_weather", CITY)], "tool_calls"),
        Told("Two.", "", [], "stop"),
    ]
    assert len(site.simulator.threads) == 2


def test_a_prompt_that_is_too_long_is_never_sent(site: Site, client: Client) -> None:
    reply = client.ask("word " * 131_072)
    assert reply.status == 400
    assert reply.error is not None
    assert reply.error["code"] == "context_length_exceeded"
    assert site.simulator.requests == []


# Honesty on the wire


def test_the_client_is_told_what_is_not_real(site: Site, client: Client) -> None:
    wrong = Call("get_weather", {"town": "Paris"})
    site.simulator.script(says(wrong.block("KEY"), ()), says(PARIS.block("KEY"), ()))
    reply = client.ask(tools=[STRICT], temperature=0.5, seed=7, stop=["x"])
    assert reply.headers["x-gptoss-emulated"] == "tools,stop"
    assert set(reply.headers["x-gptoss-ignored"].split(",")) == {"temperature", "seed"}
    assert reply.headers["x-gptoss-repairs"] == "1"
    assert reply.fingerprint == "gptoss-emulated"
    assert reply.extension["emulated"] == ["tools", "stop"]
    assert set(reply.extension["ignored"]) == {"temperature", "seed"}
    assert reply.extension["repairs"] == 1


def test_repairs_after_the_first_byte_are_told_in_the_last_chunk(site: Site) -> None:
    wrong = Call("get_weather", {"town": "Paris"})
    site.simulator.script(says(f"Words.\n\n{wrong.block('KEY')}"), says(PARIS.block("KEY")))
    reply = Client(site.gateway, stream=True).ask(tools=[STRICT])
    assert "x-gptoss-repairs" not in reply.headers
    *_, last, usage = reply.chunks
    assert last["x_gptoss"]["repairs"] == 1
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    assert usage["choices"] == []


def test_a_plain_chat_is_all_real(site: Site, client: Client) -> None:
    reply = client.ask()
    assert "x-gptoss-emulated" not in reply.headers
    assert reply.fingerprint != "gptoss-emulated"
    assert reply.extension == {}


def test_usage_is_the_same_in_both_modes(site: Site) -> None:
    site.simulator.always(says(f"One.\n\n{PARIS.block('KEY')}"))
    whole, streamed = (Client(site.gateway, stream=mode).ask(tools=[FUNCTION]) for mode in (False, True))
    assert whole.usage == streamed.usage
    assert whole.usage is not None
    assert whole.usage["completion_tokens"] > 0


def test_comments_keep_the_line_alive_while_an_answer_is_checked(
    simulator: Simulator, gateway: StartGateway
) -> None:
    """Group 61."""
    simulator.always(Answer(ADA, at={"half": [Pause(1.0)]}))
    running = gateway(simulator, GPTOSS_KEEPALIVE="0.2")
    reply = Client(running, stream=True).ask(response_format=PERSON)
    assert reply.only.text == ADA
    assert reply.comments >= 3


def test_an_error_after_comments_is_an_event(simulator: Simulator, gateway: StartGateway) -> None:
    simulator.always(Answer("{}", at={"half": [Pause(0.5)]}))
    running = gateway(simulator, GPTOSS_KEEPALIVE="0.1")
    reply = Client(running, stream=True).ask(response_format=PERSON)
    assert reply.status == 200
    assert reply.comments
    assert reply.error is not None
    assert reply.error["code"] == "upstream_schema_mismatch"
    assert not reply.done
