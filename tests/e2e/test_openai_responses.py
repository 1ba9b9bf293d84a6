"""The Responses API through the official ``openai`` SDK, over the simulated website."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types.responses import ResponseItemList
from pydantic import BaseModel

from tests.conftest import RunningGateway, Site, StartGateway, running_gateway
from tests.dialects.strict import check_event, check_response, strictly
from tests.simulator import Abort, Answer, Pause, Simulator, Stall
from tests.simulator.agent import Agent, Call

from .sdk import MODEL, client

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Current weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def openai(site: Site) -> Iterator[OpenAI]:
    with client(site.gateway) as made:
        yield made


def post(
    gateway: RunningGateway, body: dict[str, Any], path: str = "/v1/responses", **headers: str
) -> httpx.Response:
    return httpx.post(f"{gateway.base_url}{path}", json=body, headers=headers, timeout=30)


def settled(openai: OpenAI, response_id: str) -> Any:
    """The response once it is no longer worked on."""
    deadline = time.monotonic() + 20
    while (response := openai.responses.retrieve(response_id)).status in ("queued", "in_progress"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return response


class TestCreating:
    def test_a_response_is_valid_to_the_letter(self, site: Site) -> None:
        site.simulator.script(Answer("Hello there.", reasoning=["They greet."]))
        reply = post(site.gateway, {"model": MODEL, "input": "Hi", "instructions": "Be kind.", "user": "u"})
        assert reply.status_code == 200
        assert reply.headers["x-gptoss-upstream"] == "gpt-oss.com"
        response = check_response(reply.json())
        assert response.output_text == "Hello there."
        assert [item.type for item in response.output] == ["reasoning", "message"]
        assert response.instructions == "Be kind."
        assert response.usage is not None
        assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
        assert response.usage.output_tokens_details.reasoning_tokens > 0
        assert "Be kind." in site.simulator.last.text

    def test_create_and_stream_helpers(self, site: Site, openai: OpenAI) -> None:
        site.simulator.always(Answer("One two three.", reasoning=["Count."]))
        assert openai.responses.create(model=MODEL, input="Count").output_text == "One two three."
        with openai.responses.stream(model=MODEL, input="Count") as stream:
            events = list(stream)
            final = stream.get_final_response()
        assert final.output_text == "One two three."
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "One two three."
        assert [e.sequence_number for e in events] == list(range(len(events)))

    def test_every_event_on_the_wire_is_valid(self, site: Site) -> None:
        site.simulator.script(Answer("Hello there.", reasoning=["They greet."]))
        text = post(site.gateway, {"input": "Hi", "stream": True}).text
        data = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]
        for number, event in enumerate(data):
            check_event(event)
            assert event["sequence_number"] == number
        check_response(data[-1]["response"])
        assert "[DONE]" not in text

    def test_a_tool_is_called_and_its_result_answered(self, site: Site, openai: OpenAI) -> None:
        site.simulator.always(
            Agent([[Call("get_weather", {"city": "Paris"})]], lambda results: f"It is {results[0]}.")
        )
        first = openai.responses.create(model=MODEL, input="Weather in Paris?", tools=[WEATHER], store=False)
        call = first.output[-1]
        assert call.type == "function_call"
        assert json.loads(call.arguments) == {"city": "Paris"}
        second = openai.responses.create(
            model=MODEL,
            store=False,
            tools=[WEATHER],
            input=[
                {"role": "user", "content": "Weather in Paris?"},
                *(item.to_dict() for item in first.output),  # type: ignore[list-item]
                # … as the SDK's own guide does: what came out goes in again.
                {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
            ],
        )
        assert second.output_text == "It is sunny."

    def test_what_is_counted_is_what_the_answer_was_made_from(self, site: Site, openai: OpenAI) -> None:
        site.simulator.always(Answer("Hello."))
        first = openai.responses.create(model=MODEL, input="Hi", instructions="Be kind.")
        more: dict[str, Any] = {"input": "And now?", "tools": [WEATHER], "previous_response_id": first.id}
        counted = openai.responses.input_tokens.count(model=MODEL, **more)
        assert counted.object == "response.input_tokens"
        second = openai.responses.create(model=MODEL, **more)
        assert second.usage is not None
        assert counted.input_tokens == second.usage.input_tokens > 20
        with pytest.raises(NotFoundError):
            openai.responses.input_tokens.count(model=MODEL, input="x", previous_response_id="resp_0")
        assert len(site.simulator.requests) == 2

    def test_a_compacted_conversation_goes_on(self, site: Site, openai: OpenAI) -> None:
        site.simulator.always(Answer("The user likes green."))
        first = openai.responses.create(model=MODEL, input="I like green.")
        compacted = openai.responses.compact(
            model=MODEL, input="Remember that.", previous_response_id=first.id
        )
        assert compacted.object == "response.compaction"
        assert compacted.usage.output_tokens > 0
        assert [item.type for item in compacted.output] == ["message", "message", "compaction"]
        items: Any = [item.to_dict(warnings=False) for item in compacted.output]
        openai.responses.create(
            model=MODEL, input=[*items, {"role": "user", "content": "Which colour?"}], store=False
        )
        assert "<summary>\nThe user likes green.\n</summary>" in site.simulator.last.text

    def test_a_shell_is_called_and_its_output_answered(self, site: Site, openai: OpenAI) -> None:
        site.simulator.always(
            Agent([[Call("client_shell", {"commands": ["ls"]})]], lambda results: f"It is {results[0]}.")
        )
        tools: Any = [{"type": "shell", "environment": {"type": "local"}}]
        with openai.responses.stream(model=MODEL, input="What is here?", tools=tools) as stream:
            first = stream.until_done().get_final_response()
        call = first.output[-1]
        assert call.type == "shell_call"
        assert call.action.commands == ["ls"]
        output: Any = {
            "type": "shell_call_output",
            "call_id": call.call_id,
            "output": [{"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        }
        second = openai.responses.create(
            model=MODEL, tools=tools, previous_response_id=first.id, input=[output]
        )
        assert "a.txt" in second.output_text

    def test_a_namespace_comes_back_with_its_calls(self, site: Site) -> None:
        site.simulator.script(Agent([[Call("agents__spawn", {"task": "x"})]], lambda _: ""))
        tools = [
            {
                "type": "namespace",
                "name": "agents",
                "description": "Others.",
                "tools": [{"type": "function", "name": "spawn", "parameters": {"type": "object"}}],
            },
            {"type": "web_search"},
        ]
        reply = post(site.gateway, {"input": "Go", "tools": tools})
        item = check_response(reply.json()).output[-1]
        assert item.type == "function_call"
        assert (item.namespace, item.name) == ("agents", "spawn")
        assert "tools.web_search" in reply.headers["x-gptoss-ignored"].split(",")

    def test_a_typed_answer_is_parsed(self, site: Site, openai: OpenAI) -> None:
        class City(BaseModel):
            name: str
            people: int

        site.simulator.script(Answer('{"name": "Paris", "people": 2100000}'))
        parsed = openai.responses.parse(model=MODEL, input="Paris?", text_format=City)
        assert parsed.output_parsed == City(name="Paris", people=2_100_000)

    def test_sealed_reasoning_keeps_the_thought_of_a_stateless_client(
        self, site: Site, openai: OpenAI
    ) -> None:
        site.simulator.always(
            Agent(
                [[Call("get_weather", {"city": "Rome"})]], lambda _: "Fine.", thought=["The secret thought."]
            )
        )
        first = openai.responses.create(
            model=MODEL,
            input="Weather?",
            tools=[WEATHER],
            store=False,
            include=["reasoning.encrypted_content"],
        )
        thought, call = first.output
        assert thought.type == "reasoning"
        assert call.type == "function_call"
        assert thought.encrypted_content
        openai.responses.create(
            model=MODEL,
            store=False,
            tools=[WEATHER],
            # The site's own thread would remember as well.
            extra_headers={"x-gptoss-thread": "new"},
            input=[
                {"role": "user", "content": "Weather?"},
                {
                    "type": "reasoning",
                    "id": thought.id,
                    "summary": [],
                    "encrypted_content": thought.encrypted_content,
                },
                {
                    "type": "function_call",
                    # Under its own id the gateway would remember the thought by itself.
                    "call_id": "call_of_another_gateway",
                    "name": call.name,
                    "arguments": call.arguments,
                },
                {"type": "function_call_output", "call_id": "call_of_another_gateway", "output": "rain"},
            ],
        )
        assert "The secret thought." in site.simulator.last.text

    def test_a_preload_probe_is_answered_without_the_upstream(self, site: Site) -> None:
        for path in ("/v1/responses", "/responses"):
            reply = post(site.gateway, {"model": MODEL, "input": "", "max_output_tokens": 1}, path)
            assert reply.status_code == 200
            response = check_response(reply.json())
            assert response.status == "incomplete"
            assert response.output == []
        assert site.simulator.requests == []

    def test_a_break_in_the_middle_is_a_failed_response(self, site: Site) -> None:
        site.simulator.script(Answer("Half of it and more.", at={"half": [Abort()]}))
        text = post(site.gateway, {"input": "Hi", "stream": True}).text
        last = json.loads(text.strip().split("data: ")[-1])
        check_event(last)
        assert last["type"] == "response.failed"
        assert last["response"]["status"] == "failed"

    def test_an_error_before_the_answer_has_its_own_status(self, site: Site, openai: OpenAI) -> None:
        with pytest.raises(BadRequestError) as caught:
            openai.responses.create(model=MODEL, input="Hi", temperature=5)
        assert caught.value.param == "temperature"

    def test_a_conversation_that_is_too_long_is_refused_or_cut_as_the_client_likes(self, site: Site) -> None:
        site.simulator.always(Answer("Still here."))
        long = [{"role": "user", "content": f"turn {number} " + "word " * 9_000} for number in range(16)]
        body = {"input": [*long, {"role": "user", "content": "The newest question."}]}
        refused = post(site.gateway, body).json()["error"]
        assert (refused["code"], refused["param"]) == ("context_length_exceeded", "input")
        cut = post(site.gateway, {**body, "truncation": "auto", "instructions": "Be kind."})
        assert check_response(cut.json()).output_text == "Still here."
        assert cut.headers["x-gptoss-context"].startswith("truncation=")
        assert "turn 0 " not in site.simulator.last.text
        assert "turn 15 " in site.simulator.last.text
        assert "The newest question." in site.simulator.last.text
        assert "Be kind." in site.simulator.last.text

    def test_the_methods_of_a_path_are_named(self, site: Site) -> None:
        reply = httpx.put(f"{site.gateway.base_url}/v1/responses/resp_x", json={})
        assert reply.status_code == 405
        assert {"GET", "DELETE"} <= set(reply.headers["allow"].replace(" ", "").split(","))

    def test_a_responses_body_at_the_chat_endpoint_gets_a_chat_answer(self, site: Site) -> None:
        site.simulator.script(Agent([[Call("get_weather", {"city": "Oslo"})]], lambda _: ""))
        body = {"model": MODEL, "input": [{"role": "user", "content": "Weather?"}], "tools": [WEATHER]}
        reply = post(site.gateway, body, "/chat/completions").json()
        assert reply["object"] == "chat.completion"
        assert reply["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_weather"


class TestKeeping:
    def test_a_chain_of_responses_carries_the_conversation(self, site: Site, openai: OpenAI) -> None:
        site.simulator.script(Answer("Nice to meet you, Ann."), Answer("Ann."), Answer("You told me."))
        first = openai.responses.create(model=MODEL, input="I am Ann.", instructions="Talk like a pirate.")
        second = openai.responses.create(model=MODEL, input="Who am I?", previous_response_id=first.id)
        third = openai.responses.create(model=MODEL, input="Sure?", previous_response_id=second.id)
        assert third.output_text == "You told me."
        assert third.previous_response_id == second.id
        asked = site.simulator.last.said
        places = [asked.index(text) for text in ("I am Ann.", "Nice to meet you", "Who am I?", "Sure?")]
        assert places == sorted(places)
        assert "pirate" not in asked

    def test_it_is_fetched_as_it_was_and_deleted_for_good(self, site: Site, openai: OpenAI) -> None:
        created = openai.responses.create(model=MODEL, input="Hi", metadata={"a": "b"})
        assert openai.responses.retrieve(created.id).to_dict() == created.to_dict()
        openai.responses.delete(created.id)
        for ask in (
            openai.responses.retrieve,
            openai.responses.delete,
            openai.responses.cancel,
            openai.responses.input_items.list,
        ):
            with pytest.raises(NotFoundError):
                ask(created.id)
        with pytest.raises(NotFoundError) as caught:
            openai.responses.create(model=MODEL, input="Hi", previous_response_id=created.id)
        assert caught.value.code == "previous_response_not_found"

    def test_a_streamed_response_is_kept_too(self, site: Site, openai: OpenAI) -> None:
        with openai.responses.stream(model=MODEL, input="Hi") as stream:
            final = stream.get_final_response()
        assert openai.responses.retrieve(final.id).output_text == final.output_text

    def test_store_false_keeps_nothing(self, site: Site, openai: OpenAI) -> None:
        created = openai.responses.create(model=MODEL, input="Hi", store=False)
        with pytest.raises(NotFoundError):
            openai.responses.retrieve(created.id)

    def test_input_items_come_in_pages(self, site: Site, openai: OpenAI) -> None:
        created = openai.responses.create(
            model=MODEL,
            input=[{"role": "user", "content": f"message {number}"} for number in range(5)],
        )
        first = post_get(site.gateway, f"/v1/responses/{created.id}/input_items?limit=2&order=asc")
        strictly(ResponseItemList, first)
        assert [item["content"][0]["text"] for item in first["data"]] == ["message 0", "message 1"]
        assert first["has_more"] is True
        everything = list(openai.responses.input_items.list(created.id, limit=2))
        assert [item.to_dict()["content"][0]["text"] for item in everything] == [  # type: ignore[index]
            # … an input message's content is a list in every stored item.
            f"message {number}"
            for number in (4, 3, 2, 1, 0)
        ]

    def test_items_can_be_referred_to_by_their_ids(self, site: Site, openai: OpenAI) -> None:
        site.simulator.script(Answer("The answer is 42."), Answer("Yes."))
        first = openai.responses.create(model=MODEL, input="What is it?")
        message = first.output[-1]
        openai.responses.create(
            model=MODEL,
            input=[
                {"type": "item_reference", "id": message.id or ""},
                {"role": "user", "content": "Really?"},
            ],
        )
        assert "The answer is 42." in site.simulator.last.text

    def test_keys_do_not_see_each_others_responses(self, simulator: Simulator, gateway: StartGateway) -> None:
        running = gateway(simulator, GPTOSS_API_KEYS="ann-key,bob-key")
        with client(running, key="ann-key") as ann, client(running, key="bob-key") as bob:
            created = ann.responses.create(model=MODEL, input="Mine")
            assert ann.responses.retrieve(created.id).id == created.id
            with pytest.raises(NotFoundError):
                bob.responses.retrieve(created.id)
            with pytest.raises(NotFoundError):
                bob.responses.create(model=MODEL, input="Go on", previous_response_id=created.id)

    def test_a_restart_between_two_responses_loses_nothing(
        self, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        home = tmp_path_factory.mktemp("home")
        simulator.script(Answer("Nice to meet you, Ann."), Answer("You are Ann."))
        with running_gateway(home, simulator) as running, client(running) as openai:
            first = openai.responses.create(model=MODEL, input="I am Ann.")
        with running_gateway(home, simulator) as running, client(running) as openai:
            second = openai.responses.create(model=MODEL, input="Who am I?", previous_response_id=first.id)
        assert second.output_text == "You are Ann."
        assert "I am Ann." in simulator.last.said


class TestInTheBackground:
    def test_it_is_polled_to_its_end(self, site: Site, openai: OpenAI) -> None:
        site.simulator.script(Answer("Done.", at={"message": [Pause(0.2)]}))
        created = openai.responses.create(model=MODEL, input="Work", background=True)
        assert created.status in ("queued", "in_progress")
        check_response(created.to_dict())
        assert settled(openai, created.id).output_text == "Done."

    def test_a_dropped_stream_is_taken_up_without_losing_an_event(self, site: Site, openai: OpenAI) -> None:
        site.simulator.script(
            Answer("One two three four five.", reasoning=["Count."], at={"half": [Pause(0.3)]})
        )
        seen = []
        with openai.responses.create(model=MODEL, input="Count", background=True, stream=True) as stream:
            for event in stream:
                seen.append(event)
                if event.type == "response.output_text.delta":
                    break
        first = seen[0]
        assert first.type == "response.created"
        while seen[-1].type != "response.completed":
            # Drop the line after every third event: while it runs, and from the store afterwards.
            with openai.responses.retrieve(
                first.response.id, stream=True, starting_after=seen[-1].sequence_number
            ) as rest:
                seen += [event for event, _ in zip(rest, range(3), strict=False)]
        assert [event.sequence_number for event in seen] == list(range(len(seen)))
        text = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
        assert text == "One two three four five."
        for event in seen:
            check_event(event.to_dict())

    def test_it_is_cancelled_and_the_upstream_let_go(self, site: Site, openai: OpenAI) -> None:
        site.simulator.script(Answer("Half of it and more.", at={"half": [Stall()]}))
        created = openai.responses.create(model=MODEL, input="Work", background=True)
        site.simulator.wait_until(lambda: site.simulator.requests)
        cancelled = openai.responses.cancel(created.id)
        assert cancelled.status == "cancelled"
        site.simulator.wait_until(lambda: site.simulator.last.outcome == "abandoned")
        assert openai.responses.cancel(created.id).status == "cancelled"
        assert openai.responses.retrieve(created.id).status == "cancelled"

    def test_deleting_it_ends_it(self, site: Site, openai: OpenAI) -> None:
        site.simulator.script(Answer("Half of it and more.", at={"half": [Stall()]}))
        created = openai.responses.create(model=MODEL, input="Work", background=True)
        site.simulator.wait_until(lambda: site.simulator.requests)
        openai.responses.delete(created.id)
        site.simulator.wait_until(lambda: site.simulator.last.outcome == "abandoned")
        with pytest.raises(NotFoundError):
            openai.responses.retrieve(created.id)

    def test_a_failure_is_told_when_it_is_fetched(self, site: Site, openai: OpenAI) -> None:
        site.simulator.always("s10_error_before_text")
        created = openai.responses.create(model=MODEL, input="Work", background=True)
        failed = settled(openai, created.id)
        assert failed.status == "failed"
        assert failed.error.code == "server_error"
        check_response(failed.to_dict())

    def test_what_was_answered_at_once_cannot_be_cancelled_or_streamed_again(
        self, site: Site, openai: OpenAI
    ) -> None:
        created = openai.responses.create(model=MODEL, input="Hi")
        with pytest.raises(BadRequestError):
            openai.responses.cancel(created.id)
        with pytest.raises(BadRequestError):
            openai.responses.retrieve(created.id, stream=True)

    def test_a_running_response_cannot_be_continued(self, site: Site, openai: OpenAI) -> None:
        site.simulator.script(Answer("Half of it and more.", at={"half": [Stall()]}))
        created = openai.responses.create(model=MODEL, input="Work", background=True)
        with pytest.raises(BadRequestError, match="can be continued"):
            openai.responses.create(model=MODEL, input="More", previous_response_id=created.id)
        openai.responses.cancel(created.id)


class TestTextCompletions:
    def test_prompts_are_completed_whole_and_streamed(self, site: Site, openai: OpenAI) -> None:
        site.simulator.always(lambda request: Answer(f"<{request.text}>"))
        whole = openai.completions.create(model=MODEL, prompt=["a", "b"], n=2)
        assert [choice.text for choice in whole.choices] == ["<a>", "<a>", "<b>", "<b>"]
        assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
        chunks = list(
            openai.completions.create(
                model=MODEL, prompt=["a", "b"], stream=True, stream_options={"include_usage": True}
            )
        )
        texts = ["", ""]
        for chunk in chunks:
            for choice in chunk.choices:
                texts[choice.index] += choice.text
        assert texts == ["<a>", "<b>"]
        assert chunks[-1].usage is not None


def post_get(gateway: RunningGateway, path: str) -> Any:
    return httpx.get(f"{gateway.base_url}{path}", timeout=30).json()


class TestCodexCatalogue:
    def test_codex_gets_its_own_list_and_others_the_usual_one(self, site: Site) -> None:
        catalogue = post_get(site.gateway, "/v1/models?client_version=0.169.0")
        assert [model["slug"] for model in catalogue["models"]] == ["gpt-oss-120b", "gpt-oss-20b"]
        assert post_get(site.gateway, "/v1/models")["object"] == "list"
