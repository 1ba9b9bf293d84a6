"""A request as coding agents send it: a long system prompt, tools with schemas, a history of results."""

import json
from typing import Any

from .load import Answer

SIZE = 76_000

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


def agent_body(answer: Answer) -> bytes:
    """A streamed chat request of about :data:`SIZE` bytes whose last message asks for ``answer``."""
    turns: list[dict[str, Any]] = []
    while True:
        body = json.dumps(_request(turns, answer)).encode()
        if len(body) >= SIZE:
            return body
        turns += _turn(len(turns) // 2)


def _request(turns: list[dict[str, Any]], answer: Answer) -> dict[str, Any]:
    return {
        "model": "gpt-oss-120b",
        "stream": True,
        "messages": [
            {"role": "system", "content": "You are a coding agent. " + _RULES * 40},
            {"role": "user", "content": "The cache answers with entries that have expired. Find out why."},
            *turns,
            {"role": "user", "content": answer.prompt},
        ],
        "tools": [_tool(name) for name in _TOOLS],
    }


def _turn(number: int) -> list[dict[str, Any]]:
    arguments = json.dumps({"path": f"src/cache/part_{number}.py", "offset": 1, "limit": 400})
    function = {"name": "read_file", "arguments": arguments}
    call = {"id": f"call_{number:04d}", "type": "function", "function": function}
    return [
        {"role": "assistant", "content": "I look at the next part of the cache.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call_{number:04d}", "content": _CODE * 4},
    ]


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
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name.replace('_', ' ').capitalize()} in the project. {_RULES}{_RULES}",
            "parameters": {"type": "object", "properties": properties, "required": ["path"]},
        },
    }
