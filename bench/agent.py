"""Requests as coding agents send them: a long system prompt, tools with schemas, a history of results."""

import json
from typing import Any, Final, Literal

from .load import Answer

Api = Literal["chat", "responses", "messages", "ollama"]

# Where each client API takes requests, and what stands before a delta of its streams.
PATHS: Final[dict[Api, str]] = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "ollama": "/api/chat",
}
NEEDLES: Final[dict[Api, str]] = {
    "chat": '"content":"',
    "responses": '"output_index":1,"content_index":0,"delta":"',
    "messages": '"type":"text_delta","text":"',
    "ollama": '"content":"',
}

SIZE: Final = 76_000

_RULES = (
    "Read a file before you change it. Prefer small edits over rewriting whole files. Run the tests that "
    "cover what you changed and say what they printed. Never invent output that you have not seen. "
)
_CODE = (
    "def handle(request, store, now=None):\n"
    '    """Answer one request from the store, or say why not."""\n'
    "    entry = store.get(request.key)\n"
    "    if entry is None or entry.expires <= (now or clock()):\n"
    "        return Miss(request.key, reason=\"expired\" if entry else 'unknown')\n"
    "    return Hit(request.key, entry.value, age=now - entry.created)\n\n"
)
_TOOLS = (
    "read_file",
    "write_file",
    "edit_file",
    "list_folder",
    "find_files",
    "search_text",
    "run_command",
    "run_tests",
    "open_page",
    "git_status",
    "git_diff",
    "ask_user",
)


def agent_body(answer: Answer, api: Api = "chat") -> bytes:
    """A streamed request of about :data:`SIZE` bytes whose last message asks for ``answer``."""
    turns = 0
    while len(body := json.dumps(_request(turns, answer, api)).encode()) < SIZE:
        turns += 1
    return body


def tools_body(answer: Answer, *, tools: bool) -> bytes:
    """The example request of the original project with an agent's tools, or without any."""
    request: dict[str, Any] = {
        "model": "gpt-oss-120b",
        "stream": True,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": answer.prompt},
        ],
    }
    if tools:
        request["tools"] = [_chat_tool(name) for name in _TOOLS]
    return json.dumps(request).encode()


def _request(turns: int, answer: Answer, api: Api) -> dict[str, Any]:
    match api:
        case "chat":
            return _chat_request(turns, answer)
        case "responses":
            return _responses_request(turns, answer)
        case "messages":
            return _messages_request(turns, answer)
        case "ollama":
            return _ollama_request(turns, answer)


_MODEL: Final = {"model": "gpt-oss-120b", "stream": True}
_SYSTEM: Final = "You are a coding agent. " + _RULES * 40
_TASK: Final = "The cache answers with entries that have expired. Find out why."
_SAID: Final = "I look at the next part of the cache."


def _arguments(number: int) -> dict[str, Any]:
    return {"path": f"src/cache/part_{number}.py", "offset": 1, "limit": 400}


def _chat_request(turns: int, answer: Answer) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": _TASK},
    ]
    for number in range(turns):
        function = {"name": "read_file", "arguments": json.dumps(_arguments(number))}
        call = {"id": f"call_{number:04d}", "type": "function", "function": function}
        messages += (
            {"role": "assistant", "content": _SAID, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": _CODE * 4},
        )
    messages.append({"role": "user", "content": answer.prompt})
    return {**_MODEL, "messages": messages, "tools": [_chat_tool(name) for name in _TOOLS]}


def _responses_request(turns: int, answer: Answer) -> dict[str, Any]:
    items: list[dict[str, Any]] = [{"role": "user", "content": _TASK}]
    for number in range(turns):
        call_id = f"call_{number:04d}"
        said = {"type": "output_text", "text": _SAID, "annotations": []}
        items += (
            {"type": "message", "role": "assistant", "content": [said]},
            {
                "type": "function_call",
                "call_id": call_id,
                "name": "read_file",
                "arguments": json.dumps(_arguments(number)),
            },
            {"type": "function_call_output", "call_id": call_id, "output": _CODE * 4},
        )
    items.append({"role": "user", "content": answer.prompt})
    tools = [{"type": "function", **_tool(name)} for name in _TOOLS]
    return {**_MODEL, "store": False, "instructions": _SYSTEM, "input": items, "tools": tools}


def _messages_request(turns: int, answer: Answer) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": _TASK}]
    for number in range(turns):
        call_id = f"toolu_{number:04d}"
        use = {"type": "tool_use", "id": call_id, "name": "read_file", "input": _arguments(number)}
        result = {"type": "tool_result", "tool_use_id": call_id, "content": _CODE * 4}
        messages += (
            {"role": "assistant", "content": [{"type": "text", "text": _SAID}, use]},
            {"role": "user", "content": [result]},
        )
    asked = {"type": "text", "text": answer.prompt}
    messages.append({"role": "user", "content": [asked]})
    tools = [
        {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
        for tool in map(_tool, _TOOLS)
    ]
    return {**_MODEL, "max_tokens": 32_000, "system": _SYSTEM, "messages": messages, "tools": tools}


def _ollama_request(turns: int, answer: Answer) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": _TASK},
    ]
    for number in range(turns):
        call = {"function": {"name": "read_file", "arguments": _arguments(number)}}
        messages += (
            {"role": "assistant", "content": _SAID, "tool_calls": [call]},
            {"role": "tool", "tool_name": "read_file", "content": _CODE * 4},
        )
    messages.append({"role": "user", "content": answer.prompt})
    return {**_MODEL, "messages": messages, "tools": [_chat_tool(name) for name in _TOOLS]}


def _chat_tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": _tool(name)}


def _tool(name: str) -> dict[str, Any]:
    properties = {
        "path": {"type": "string", "description": "Path relative to the root of the project. " + _RULES},
        "pattern": {"type": "string", "description": "Regular expression in the syntax of Python."},
        "mode": {"type": "string", "enum": ["fast", "careful"], "description": _RULES},
        "limit": {"type": "integer", "minimum": 1, "maximum": 5000, "description": "Most lines to return."},
        "where": {
            "type": "array",
            "items": {"type": "object", "properties": {"glob": {"type": "string"}}, "required": ["glob"]},
            "description": "Folders and patterns that are looked at.",
        },
    }
    return {
        "name": name,
        "description": f"{name.replace('_', ' ').capitalize()} in the project. {_RULES}{_RULES}",
        "parameters": {"type": "object", "properties": properties, "required": ["path"]},
    }
