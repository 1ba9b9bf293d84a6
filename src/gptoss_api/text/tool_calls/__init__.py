"""Tells a model's text from its tool calls while it streams.

Source: docs/design/emulation.md, "Forms of a call", "Foreign forms" and "The streaming parser".
"""

from .events import (
    CallArgs,
    CallEnd,
    CallStart,
    Cancel,
    Content,
    DeclaredTool,
    ParserConfig,
    ParserEvent,
    Problem,
    ProblemCode,
    Reasoning,
)
from .parser import ToolCallParser

__all__ = [
    "CallArgs",
    "CallEnd",
    "CallStart",
    "Cancel",
    "Content",
    "DeclaredTool",
    "ParserConfig",
    "ParserEvent",
    "Problem",
    "ProblemCode",
    "Reasoning",
    "ToolCallParser",
]
