"""Tells a model's text from its tool calls while it streams (emulation dossier, sections 3 and 4)."""

from .contract import (
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
