"""OpenAI-compatible gateway for gpt-oss-120b and gpt-oss-20b."""

__version__ = "0.1.0"
