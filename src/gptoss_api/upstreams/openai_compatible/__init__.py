"""Every server of gpt-oss that speaks OpenAI's Chat Completions, each with a profile of its own."""

from .client import OpenAICompatibleUpstream, Server
from .profiles import PROFILES, Profile

__all__ = ["PROFILES", "OpenAICompatibleUpstream", "Profile", "Server"]
