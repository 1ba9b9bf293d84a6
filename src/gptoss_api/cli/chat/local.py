"""The same gateway in this process, with no port open."""

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any, TypeVar

from ...config import Settings
from ...core.catalog import ModelAliases, find_model
from ...core.errors import GatewayError
from ...core.events import (
    Events,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    Usage,
    UsageReported,
)
from ...core.turn import AssistantMessage, Effort, InstructionMessage, Message, Turn, UserMessage
from ...gateway import Gateway
from ...loop import Flow
from .conversation import Conversation
from .source import Failed, Heard

T = TypeVar("T")

_EFFORTS: dict[str, Effort] = {"low": "low", "medium": "medium", "high": "high"}


class Local:
    """A gateway of its own, made of ``settings``; it works while it is asked.

    Raises:
        ConfigError: for settings that only show to be wrong when they are used.
    """

    def __init__(self, settings: Settings) -> None:
        self._aliases = ModelAliases(dict(settings.aliases))
        self._runner = asyncio.Runner()
        self._gateway = self._runner.run(_opened(settings))

    @property
    def where(self) -> str:
        selection = self._gateway.selection
        return f"{selection.names}: {selection.because}"

    def ask(self, conversation: Conversation, heard: Heard) -> None:
        """See :class:`.source.Source`."""
        self._run(self._gateway.answer(self._turn(conversation), _Ear(heard)))

    def models(self) -> list[str]:
        """See :class:`.source.Source`."""
        return [model.id for model in self._run(self._gateway.models())]

    def close(self) -> None:
        self._runner.run(self._gateway.close())
        self._runner.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._runner.run(work)
        except GatewayError as error:
            raise Failed(error.message) from None

    def _turn(self, conversation: Conversation) -> Turn:
        try:
            model = find_model(self._aliases.resolve(conversation.model)).id
        except GatewayError as error:
            raise Failed(error.message) from None
        messages: list[Message] = [InstructionMessage(conversation.system)] if conversation.system else []
        messages += [
            UserMessage(said.text) if said.role == "user" else AssistantMessage(text=said.text)
            for said in conversation.said
        ]
        return Turn(
            model,
            tuple(messages),
            effort=_EFFORTS.get(conversation.effort or ""),
            request_id=f"req_{secrets.token_hex(16)}",
            weight=sum(len(said.text) for said in conversation.said),
        )


async def _opened(settings: Settings) -> Gateway:
    return Gateway(settings)


class _Ear:
    """Takes the events of one answer."""

    def __init__(self, heard: Heard) -> None:
        self.flow = Flow()
        self._heard = heard

    def feed(self, events: Events) -> bool:
        heard = self._heard
        for event in events:
            match event:
                case Started():
                    heard.model, heard.upstream = event.model, event.upstream
                case ReasoningDelta():
                    heard.think(event.text)
                case TextDelta() | RefusalDelta():
                    heard.answer(event.text)
                case Finished():
                    heard.finish_reason = event.reason
                    heard.notes += event.notes
                case UsageReported():
                    heard.usage = _usage(event.usage)
                case _:
                    pass
        return not heard.screen.gone


def _usage(usage: Usage) -> dict[str, object]:
    """In the shape of Chat Completions."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
