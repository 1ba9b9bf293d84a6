"""Every server of gpt-oss that speaks OpenAI's Chat Completions, each with a profile of its own."""

from .client import OpenAICompatibleUpstream
from .profiles import PROFILES, Profile
from .requests import Server

__all__ = ["PROFILES", "OpenAICompatibleUpstream", "Profile", "Server"]
