"""What an answer's headers say of how it came about."""

from gptoss_api.core.events import ContextEdited, Started
from gptoss_api.server.request import RequestRecord


def headers_of(started: Started) -> dict[bytes, bytes]:
    record = RequestRecord(())
    record.meter.observe([started])
    lines = record.answer_lines().split(b"\r\n")[:-1]
    return {name: value for name, _, value in (line.partition(b": ") for line in lines)}


def test_what_was_left_out_of_a_conversation_is_told() -> None:
    edits = (ContextEdited("clear_thinking", 2, 30), ContextEdited("truncation", 12, 40_000))
    told = headers_of(Started("test", "gpt-oss-120b", context_edits=edits))
    assert told[b"x-gptoss-context"] == b"clear_thinking=2,truncation=12"
    assert b"x-gptoss-context" not in headers_of(Started("test", "gpt-oss-120b"))
