"""Every server of gpt-oss that speaks OpenAI's Chat Completions, each with a profile of its own."""

from ..openai.server import Server
from .client import OpenAICompatibleUpstream
from .profiles import PROFILES, Profile

__all__ = ["PROFILES", "OpenAICompatibleUpstream", "Profile", "Server"]
