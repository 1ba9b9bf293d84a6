"""Tools that OpenAI knows by a type of their own and that the client runs: a shell, and patches to files.

The model is offered each as a function of that name; what it calls comes back in the item that the type has
for it, and such items of a history are shown to the model as calls of the function.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ...core.errors import UpstreamSchemaMismatch
from ...core.turn import Tool
from .objects import ItemStatus


class ClientTool(Struct, frozen=True):
    """One of these tools. ``call_type`` is the type of its calls, whose ids begin with ``prefix``.

    ``member`` is where a call says what is to be done; ``wrap`` makes it of the function's arguments and
    raises :class:`ValueError`, :class:`KeyError` or :class:`TypeError` where they say nothing that can be
    done. ``own`` are members that such a call has beside it.
    """

    tool: Tool
    call_type: str
    prefix: str
    member: Literal["action", "operation"]
    wrap: Callable[[dict[str, Any]], dict[str, Any]]
    own: Mapping[str, Any] = {}

    def item(self, identifier: str, call_id: str, arguments: str, status: ItemStatus) -> dict[str, Any]:
        """The call as an item.

        Raises:
            UpstreamSchemaMismatch: where the model did not say what is to be done.
        """
        try:
            asked = self.wrap(json.loads(arguments))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UpstreamSchemaMismatch(
                f"The model called '{self.tool.name}' with arguments that say nothing that could be done. "
                "Ask again, or offer a function of your own."
            ) from None
        about = {"id": identifier, "type": self.call_type, "call_id": call_id, "status": status}
        return {**about, self.member: asked, **self.own}

    def arguments(self, asked: Mapping[str, Any]) -> str:
        """The function's arguments that stand for what an earlier call says in ``member``."""
        known = (self.tool.parameters or {})["properties"]
        members = {
            name: value for name, value in asked.items() if value and (name != "type" or name in known)
        }
        return msgspec.json.encode(members).decode()


def _function(name: str, description: str, **properties: Any) -> Tool:
    """Every argument has to be there, and no other may: so all servers take the schema for a strict one."""
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return Tool(name, description, parameters, strict=True)


def _words(value: Any) -> list[str]:
    words = [value] if isinstance(value, str) else value
    if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words)):
        raise TypeError
    return words


def _shell(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"commands": _words(arguments["commands"]), "timeout_ms": None, "max_output_length": None}


def _local_shell(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "exec", "command": _words(arguments["command"]), "env": {}}


def _patch(arguments: dict[str, Any]) -> dict[str, Any]:
    kind, path = arguments["type"], arguments["path"]
    if kind not in _OPERATIONS or not isinstance(path, str):
        raise TypeError
    operation = {"type": kind, "path": path}
    if kind == "delete_file":
        return operation
    diff = arguments["diff"]
    if not isinstance(diff, str):
        raise TypeError
    return operation | {"diff": diff}


_OPERATIONS: Final = ("create_file", "update_file", "delete_file")
_STRINGS: Final = {"type": "array", "items": {"type": "string"}}

_ALL: Final = (
    ClientTool(
        _function(
            "shell",
            "Runs commands in a shell on the user's machine.",
            commands=_STRINGS | {"description": "The commands, each run in a shell of its own."},
        ),
        "shell_call",
        "sh",
        "action",
        _shell,
        own={"environment": {"type": "local"}},
    ),
    ClientTool(
        _function(
            "local_shell",
            "Runs a command on the user's machine.",
            command=_STRINGS
            | {"description": "The program and its arguments, such as bash, -lc and a line."},
        ),
        "local_shell_call",
        "lsh",
        "action",
        _local_shell,
    ),
    ClientTool(
        _function(
            "apply_patch",
            "Creates, updates or deletes a file.",
            type={"type": "string", "enum": list(_OPERATIONS)},
            path={"type": "string", "description": "The file, relative to the root of the workspace."},
            diff={
                "type": "string",
                "description": "What changes, as hunks of a V4A diff: lines that begin with @@, a space, + "
                "or -. All lines of a new file begin with +. Empty where a file is deleted.",
            },
        ),
        "apply_patch_call",
        "apc",
        "operation",
        _patch,
    ),
)

CLIENT_TOOLS: Final = {each.tool.name: each for each in _ALL}
CLIENT_CALLS: Final = {each.call_type: each for each in _ALL}


def runs_elsewhere(tool: Mapping[str, Any]) -> bool:
    """Whether a tool of such a type is meant for a container of OpenAI's, which does not exist here."""
    environment = tool.get("environment")
    return isinstance(environment, dict) and environment.get("type") not in (None, "local")
