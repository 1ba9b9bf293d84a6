"""A gateway without its HTTP side, clients that keep a conversation, and a model that calls tools."""

import json
import re
from collections.abc import Callable
from typing import Any, Self

from msgspec.structs import replace

from gptoss_api.core.events import Started, Usage
from gptoss_api.core.result import Choice, Collector
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    Tool,
    ToolResultMessage,
    Turn,
    UserMessage,
)
from gptoss_api.emulation.upstream import EmulatedUpstream, EmulationSettings
from gptoss_api.state import GuardedStore
from gptoss_api.text.tokens import Tokens
from gptoss_api.threads import Conversations, Notes, ReasoningCache, ThreadLimits
from gptoss_api.upstreams.admission import Admission
from gptoss_api.upstreams.chatkit import ChatKitUpstream, Credentials
from gptoss_api.upstreams.http import HttpClient
from tests.pulled import opened
from tests.simulator import Answer as Reply
from tests.simulator import Exchange, Simulator

TOKENS = Tokens()
SEARCH = Tool(
    "search",
    "Searches the notes.",
    {"type": "object", "properties": {"query": {"type": "string"}, "limit": {"type": "number"}}},
)
GUIDE = InstructionMessage("You are a guide.")


class Inside:
    """The emulation over the website, as one process of a gateway has it."""

    def __init__(
        self,
        site: Simulator,
        store: GuardedStore,
        *,
        cookie: str | None = None,
        limits: ThreadLimits | None = None,
        threads: bool = True,
        places: int = 50,
        pause: float = 0.0,
        notes: Notes | None = None,
    ) -> None:
        self.site = site
        self.store = store
        self.conversations = Conversations(store, limits or ThreadLimits(), pause=pause, notes=notes)
        self.reasoning = ReasoningCache(store)
        self._http = HttpClient(trust_env=False)
        self._chatkit = ChatKitUpstream(
            self._http,
            Admission(places, 50 if places > 1 else 0),
            Credentials.parse(cookie or site.cookie),
            url=site.chatkit_url,
            idle_timeout=5.0,
            total_timeout=20.0,
        )
        self.upstream = EmulatedUpstream(
            self._chatkit,
            TOKENS,
            EmulationSettings(secret=b"of the tests"),
            conversations=self.conversations if threads else None,
            reasoning=self.reasoning,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.settled()
        await self.upstream.close()
        await self._http.close()

    async def settled(self) -> None:
        """Until everything is in the store."""
        await self.conversations.close()
        await self.reasoning.close()

    async def answer(self, turn: Turn) -> "Answer":
        collector = Collector()
        async with opened(self.upstream, turn) as batches:
            async for batch in batches:
                collector.feed(batch)
        assert collector.started is not None
        assert collector.usage is not None
        return Answer(collector.choices[0], collector.started, collector.usage)


class Answer:
    def __init__(self, choice: Choice, started: Started, usage: Usage) -> None:
        self.choice = choice
        self.started = started
        self.usage = usage

    @property
    def thread(self) -> str:
        return self.started.thread

    @property
    def text(self) -> str:
        return self.choice.text

    @property
    def message(self) -> AssistantMessage:
        """As an OpenAI client sends it back: without the reasoning."""
        return AssistantMessage(self.choice.text, tool_calls=tuple(self.choice.tool_calls))


class Client:
    """One conversation; ``settings`` are those of every :class:`Turn`."""

    def __init__(self, inside: Inside, *messages: Message, **settings: Any) -> None:
        self.inside = inside
        self.messages: list[Message] = list(messages)
        self.settings = {"model": "gpt-oss-120b", **settings}

    def turn(self, **changes: Any) -> Turn:
        return Turn(messages=tuple(self.messages), **{**self.settings, **changes})

    async def say(self, text: str, **changes: Any) -> Answer:
        self.messages.append(UserMessage(text))
        return await self.go_on(**changes)

    async def give(self, *results: str, **changes: Any) -> Answer:
        """The results of the last answer's calls."""
        last = self.messages[-1]
        assert isinstance(last, AssistantMessage)
        self.messages += [
            ToolResultMessage(text, call.id) for text, call in zip(results, last.tool_calls, strict=True)
        ]
        return await self.go_on(**changes)

    async def go_on(self, **changes: Any) -> Answer:
        answer = await self.inside.answer(self.turn(**changes))
        self.messages.append(answer.message)
        return answer

    def change(self, index: int, **changes: Any) -> None:
        self.messages[index] = replace(self.messages[index], **changes)


_KEY = re.compile(r'<tool_call key="([a-z2-7]+)"')


def key_of(asked: Exchange) -> str:
    """The key that the newest prompt of the thread names."""
    texts = [said for said, _ in asked.history] + [asked.text]
    keys: list[str] = [key for text in texts for key in _KEY.findall(text)]
    return keys[-1]


def block(asked: Exchange, name: str, **arguments: Any) -> str:
    """A tool call as the model was taught to write it."""
    return f'<tool_call key="{key_of(asked)}" name="{name}">\n{json.dumps(arguments)}\n</tool_call>'


def calling(name: str = "search", **arguments: Any) -> Callable[[Exchange], str]:
    return lambda asked: block(asked, name, **arguments)


def count(asked: Exchange) -> str:
    """Answers with how much of the conversation the thread saw."""
    return f"turn {len(asked.history) + 1}"


def says(text: str) -> Reply:
    return Reply(text=text)
