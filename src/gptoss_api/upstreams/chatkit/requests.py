"""The requests of both ChatKit dialects.

Source: docs/design/gpt-oss-com.md, "Requests" and "Requests of the SDK".
"""

from typing import Any, Final, Literal

import msgspec

from ... import __version__
from ...core.turn import Effort, Turn

Dialect = Literal["old", "new"]

ORIGIN: Final = "https://gpt-oss.com"
# OpenAI's own default where a client does not choose; the page's is "high".
DEFAULT_EFFORT: Final[Effort] = "medium"

_encode: Final = msgspec.json.Encoder().encode


def encode_body(turn: Turn, text: str, dialect: Dialect) -> bytes:
    """The body that sends ``text``, to the turn's thread if it has one."""
    thread = turn.thread
    content = [{"type": "input_text", "text": text}]
    params: dict[str, Any]
    if dialect == "old":
        params = {"input": {"text": text, "content": content, "quoted_text": "", "attachments": []}}
        if thread is None:
            return _encode({"op": "threads.create", "params": params})
        params["threadId"] = thread.id
        return _encode({"op": "threads.addMessage", "params": params})
    params = {
        "input": {
            "content": content,
            "attachments": [],
            "quoted_text": "",
            "inference_options": {"model": turn.model},
        }
    }
    if thread is None:
        return _encode({"type": "threads.create", "params": params, "metadata": {}})
    params["thread_id"] = thread.id
    return _encode({"type": "threads.add_user_message", "params": params, "metadata": {}})


def request_headers(turn: Turn, cookie: str) -> dict[str, str]:
    """The headers of a turn; they choose model and effort anew each time."""
    headers = {
        "accept": "text/event-stream",
        "content-type": "application/json",
        "origin": ORIGIN,
        "referer": f"{ORIGIN}/",
        "user-agent": f"gptoss-api/{__version__}",
        "x-selected-model": turn.model,
        "x-reasoning-effort": turn.effort or DEFAULT_EFFORT,
        "x-show-reasoning": "true" if turn.show_reasoning else "false",
    }
    if cookie:
        headers["cookie"] = cookie
    return headers
