"""Conversations that go on in the upstream thread that knows them."""

from .conversations import Conversation, Conversations
from .heads import ThreadHead, ThreadLimits
from .reasoning import REASONING_TTL, ReasoningCache, missing_thoughts, touches_thoughts
from .under_way import Notes, UnderWay

__all__ = [
    "REASONING_TTL",
    "Conversation",
    "Conversations",
    "Notes",
    "ReasoningCache",
    "ThreadHead",
    "ThreadLimits",
    "UnderWay",
    "missing_thoughts",
    "touches_thoughts",
]
