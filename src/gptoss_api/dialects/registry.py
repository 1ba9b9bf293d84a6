"""The client APIs of the gateway: the one list that routes, pages and descriptions are made of."""

from collections.abc import Callable
from typing import Final

from .base import Dialect, DialectSettings
from .chat import ChatDialect
from .completions import CompletionsDialect
from .messages import MessagesDialect
from .models import ModelsDialect
from .ollama import OllamaDialect
from .responses import ResponsesDialect

DIALECTS: Final[list[Callable[[DialectSettings], Dialect]]] = [
    ModelsDialect.configured,
    ChatDialect.configured,
    CompletionsDialect.configured,
    ResponsesDialect.configured,
    MessagesDialect.configured,
    OllamaDialect.configured,
]


def registered(settings: DialectSettings | None = None) -> list[Dialect]:
    """The dialects of the list, in its order, with default settings unless given."""
    return [make(settings or DialectSettings()) for make in DIALECTS]
