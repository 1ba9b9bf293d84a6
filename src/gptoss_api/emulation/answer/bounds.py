"""How long an answer may get before it is taken for one that never ends."""

from typing import Final

from ...core.errors import UpstreamFailure

# Every token of a model's window, each as long as the longest one there is: nothing honest is longer.
MAX_ANSWER: Final = 131_072 * 128

# What is held back to be checked as a whole. The same window holds about half a million characters of JSON.
MAX_HELD: Final = 2 * 1024 * 1024


def endless() -> UpstreamFailure:
    """The failure of an answer that is longer than ``MAX_ANSWER`` characters."""
    failure = UpstreamFailure("The upstream's answer does not end: it is longer than a model can write.")
    failure.retryable = False
    return failure
