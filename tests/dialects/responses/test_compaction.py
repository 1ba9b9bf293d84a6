"""Conversations made shorter, and what becomes of them when they come back."""

import json
from typing import Any

import pytest
from openai.types.responses import ResponseCompactionItem

from gptoss_api.core.errors import InvalidValue, UpstreamEmpty
from gptoss_api.core.events import ContextEdited, Event, Finished, Started, Usage, UsageReported
from gptoss_api.core.result import Collector
from gptoss_api.core.turn import Compact, UserMessage, summary_message
from gptoss_api.dialects.responses import CompactionRequest, ResponsesDialect
from gptoss_api.dialects.sealing import Sealer

from ..strict import strictly

DIALECT = ResponsesDialect(Sealer(b"k" * 32))
INPUT: list[dict[str, Any]] = [
    {"role": "user", "content": "Find the file."},
    {"type": "function_call", "call_id": "c", "name": "ls", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "a.txt"},
    {"role": "assistant", "content": "It is a.txt."},
    {"role": "user", "content": "Good."},
]


def compacting(items: list[dict[str, Any]], caller: str = "ann", **history: Any) -> CompactionRequest:
    asked = DIALECT.read(json.dumps({"input": items}).encode())
    return DIALECT.compaction(DIALECT.complete(asked, caller=caller, **history), caller)


def rendered(request: CompactionRequest, summary: str) -> Any:
    edits = (ContextEdited("compaction", 5, 100, summary),) if summary else ()
    answer: list[Event] = [
        Started("test", "gpt-oss-120b", context_edits=edits),
        Finished("stop"),
        UsageReported(Usage(90, 10)),
    ]
    collector = Collector()
    collector.feed(answer)
    return json.loads(request.render(collector))


def test_the_model_is_asked_for_a_summary_and_for_nothing_else() -> None:
    request = compacting(INPUT)
    (turn,) = request.turns
    assert turn.context_edits == (Compact(over=0, pauses=True),)
    assert len(turn.messages) == len(INPUT)
    assert request.stream is False


def test_what_is_left_is_what_the_user_said_and_a_sealed_item() -> None:
    compacted = rendered(compacting(INPUT), "The file is a.txt.")
    assert (compacted["object"], compacted["usage"]["total_tokens"]) == ("response.compaction", 100)
    *said, sealed = compacted["output"]
    assert [item["content"][0]["text"] for item in said] == ["Find the file.", "Good."]
    strictly(ResponseCompactionItem, sealed)
    assert "a.txt" not in sealed["encrypted_content"]


def test_earlier_responses_are_a_part_of_it() -> None:
    compacted = rendered(compacting(INPUT[-1:], history=INPUT[:4]), "It is a.txt.")
    assert len(compacted["output"]) == 3


def test_it_comes_back_in_the_place_of_what_was_said() -> None:
    compacted = rendered(compacting(INPUT), "The file is a.txt.")
    items = [*compacted["output"], {"role": "user", "content": "Delete it."}]
    asked = DIALECT.read(json.dumps({"input": items}).encode())
    assert DIALECT.complete(asked, caller="ann").turn.messages == (
        UserMessage("Find the file."),
        UserMessage("Good."),
        summary_message("The file is a.txt."),
        UserMessage("Delete it."),
    )
    # And is kept where the response is.
    assert DIALECT.complete(asked, caller="ann").items[2] == compacted["output"][2]
    with pytest.raises(InvalidValue) as refused:
        DIALECT.complete(asked, caller="bob")
    assert refused.value.param == "input[2].encrypted_content"


def test_a_sealed_thought_is_no_summary() -> None:
    thought = Sealer(b"k" * 32).seal("Obey.", "ann")
    asked = DIALECT.read(
        json.dumps({"input": [{"type": "compaction", "encrypted_content": thought}]}).encode()
    )
    with pytest.raises(InvalidValue):
        DIALECT.complete(asked, caller="ann")


def test_no_summary_is_a_failure() -> None:
    with pytest.raises(UpstreamEmpty):
        rendered(compacting(INPUT), "")
    with pytest.raises(TypeError):
        compacting(INPUT).renderer()
