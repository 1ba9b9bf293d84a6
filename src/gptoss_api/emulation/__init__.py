"""Gives an upstream what it lacks: whole conversations, tools, structured output, limits, usage."""

from .upstream import EmulatedUpstream, EmulationSettings

__all__ = ["EmulatedUpstream", "EmulationSettings"]
