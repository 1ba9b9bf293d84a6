"""Every server of gpt-oss that speaks OpenAI's Responses API and nothing else."""

from .requests import ResponsesServer

__all__ = ["ResponsesServer"]
