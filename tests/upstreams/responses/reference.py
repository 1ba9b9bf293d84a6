"""What OpenAI's reference server of the Responses API writes (``gpt_oss.responses_api``, 0.0.9).

It counts items from -1, and an item's end under the next number; calls come only when they are done; usage
has no details; the last event is no ``[DONE]``.
"""

from typing import Any, Final

Json = dict[str, Any]

MESSAGE: Final = "item_1"
THOUGHT: Final = "rs_1"
CALL: Final = "fc_1"
_RESPONSE: Final[Json] = {"id": "resp_1", "object": "response", "error": None, "incomplete_details": None}


def opening() -> list[Json]:
    response = {**_RESPONSE, "output": [], "usage": None, "status": "in_progress"}
    return [{"type": f"response.{kind}", "response": response} for kind in ("created", "in_progress")]


def delta(kind: str, text: str, item_id: str, index: int) -> Json:
    place = {"item_id": item_id, "output_index": index, "content_index": 0}
    return {"type": f"response.{kind}.delta", **place, "delta": text}


def thought(text: str) -> Json:
    return {"id": THOUGHT, "type": "reasoning", "summary": [], "content": [_part("reasoning_text", text)]}


def message(text: str) -> Json:
    part = _part("output_text", text) | {"status": "completed", "annotations": []}
    return {"id": MESSAGE, "type": "message", "role": "assistant", "content": [part], "status": "completed"}


def call(name: str, arguments: str, identifier: str = CALL) -> Json:
    about = {"id": identifier, "call_id": identifier.replace("fc", "call"), "status": "completed"}
    return {"type": "function_call", "name": name, "arguments": arguments, **about}


def added(item: Json, index: int) -> Json:
    return {"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}}


def done(item: Json, index: int) -> Json:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def thinking(*pieces: str) -> list[Json]:
    text = "".join(pieces)
    place = {"item_id": THOUGHT, "output_index": 0, "content_index": 0}
    return [
        added(thought(text), -1),
        {
            "type": "response.content_part.added",
            **place,
            "output_index": -1,
            "part": _part("reasoning_text", ""),
        },
        *(delta("reasoning_text", piece, THOUGHT, -1) for piece in pieces),
        {"type": "response.reasoning_text.done", **place, "text": text},
        {"type": "response.content_part.done", **place, "part": _part("reasoning_text", text)},
        done(thought(text), 0),
    ]


def message_begun(*pieces: str) -> list[Json]:
    place = {"item_id": MESSAGE, "output_index": 0, "content_index": 0}
    return [
        added(message(""), 0),
        {"type": "response.content_part.added", **place, "part": _part("output_text", "")},
        *(delta("output_text", piece, MESSAGE, 0) for piece in pieces),
    ]


def message_done(text: str) -> list[Json]:
    place = {"item_id": MESSAGE, "output_index": 1, "content_index": 0}
    return [
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": message(text)["content"][0]},
        done(message(text), 1),
    ]


def response(*output: Json, **members: Any) -> Json:
    usage = {"input_tokens": 68, "output_tokens": 15, "total_tokens": 83}
    return {**_RESPONSE, "output": [*output], "usage": usage, "status": "completed", **members}


def completed(*output: Json, **members: Any) -> Json:
    return {"type": "response.completed", "response": response(*output, **members)}


def _part(kind: str, text: str) -> Json:
    return {"type": kind, "text": text}
