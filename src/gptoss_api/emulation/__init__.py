"""Gives a text-only upstream whole conversations, tools, structured output and limits."""
