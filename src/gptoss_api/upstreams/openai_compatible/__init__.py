"""Every server of gpt-oss that speaks OpenAI's Chat Completions, each with a profile of its own."""

from ..openai.server import Server
from .client import ChatServer, OpenAICompatibleUpstream
from .profiles import PROFILES, Profile

__all__ = ["PROFILES", "ChatServer", "OpenAICompatibleUpstream", "Profile", "Server"]
