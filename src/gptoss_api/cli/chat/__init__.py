"""``gptoss-api chat``: a conversation in the terminal, or one question and its answer."""

from .command import command

__all__ = ["command"]
