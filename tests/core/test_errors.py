"""The tree of failures is the one that its page draws, and holds meaning only."""

import inspect
import re

from gptoss_api.core import errors
from gptoss_api.core.errors import GatewayError


def tree(kind: type[GatewayError] = GatewayError, depth: int = 1) -> list[str]:
    lines = ["    " * depth + kind.__name__]
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            lines += tree(child, depth + 1)
    return lines


def test_the_module_begins_with_its_tree() -> None:
    drawn = re.search(r"::\n\n(.*?)\n\n", errors.__doc__ or "", re.S)
    assert drawn
    assert drawn[1].split("\n") == tree()


def test_an_error_says_nothing_of_http_or_of_one_client_api() -> None:
    for name in dir(errors):
        kind = getattr(errors, name)
        if inspect.isclass(kind) and issubclass(kind, GatewayError):
            assert not {"status", "type", "code", "default_code"} & set(dir(kind)), kind
