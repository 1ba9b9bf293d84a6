"""Conversations that go on in the upstream thread that knows them."""

from .conversations import Conversation, Conversations
from .thoughts import KEPT_SECONDS, Thoughts
from .tips import Caps, Tip

__all__ = ["KEPT_SECONDS", "Caps", "Conversation", "Conversations", "Thoughts", "Tip"]
