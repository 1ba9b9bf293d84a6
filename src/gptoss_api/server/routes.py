"""Which handler answers a request: by its path, then by its method."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from ..core.errors import MethodNotAllowed, NotFound
from .exchange import Exchange

Handler = Callable[[Exchange], Awaitable[None]]

_PARAMETER: Final = re.compile(r"\\{(\w+)(:path)?\\}")
_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})


class Routes:
    """The handlers of ``endpoints``: method, path, handler.

    In a path ``{id}`` stands for one segment, ``{id:path}`` for any number of them. Of several paths that
    fit a fixed one comes first, then the earliest. What answers ``GET`` answers ``HEAD``.
    """

    def __init__(self, endpoints: Iterable[tuple[str, str, Handler]]) -> None:
        self._paths: dict[str, dict[str, Handler]] = {}
        for method, path, handler in endpoints:
            handlers = self._paths.setdefault(path, {})
            handlers.setdefault(method, handler)
            if method == "GET":
                handlers.setdefault("HEAD", handler)
        # Those that need no look at anything else.
        self.fixed: Final = {
            (method, path): handler
            for path, handlers in self._paths.items()
            if "{" not in path
            for method, handler in handlers.items()
        }
        self._patterns = [(_pattern(path), handlers) for path, handlers in self._paths.items() if "{" in path]

    @property
    def served(self) -> set[tuple[str, str]]:
        """Method and path of each."""
        return {(method, path) for path, handlers in self._paths.items() for method in handlers}

    def find(self, method: str, path: str) -> tuple[Handler, Mapping[str, str]]:
        """The handler and what the path's parameters stand for.

        Raises:
            MethodNotAllowed: where the path is answered for other methods only.
            NotFound: where it is not.
        """
        found: Mapping[str, Handler] | None = self._paths.get(path)
        parameters = _NO_PARAMETERS
        if found is None or "{" in path:
            found, parameters = self._fitting(method, path)
        handler = found.get(method)
        if handler is None:
            shown, allow = path[:200], tuple(sorted(found))
            if not found:
                raise NotFound(f"Unknown path: {method} {shown}. GET / lists the endpoints of this gateway.")
            raise MethodNotAllowed(
                f"{method} is not allowed on {shown}; use {' or '.join(allow)}.", allow=allow
            )
        return handler, parameters

    def template(self, path: str) -> str:
        """The endpoint's path, with the names of its parameters, that ``path`` fits; "" if none does."""
        if path in self._paths:
            return path
        return next((form for form in self._paths if "{" in form and _pattern(form).fullmatch(path)), "")

    def _fitting(self, method: str, path: str) -> tuple[Mapping[str, Handler], Mapping[str, str]]:
        nearest: Mapping[str, Handler] = {}
        for pattern, handlers in self._patterns:
            if match := pattern.fullmatch(path):
                if method in handlers:
                    return handlers, match.groupdict()
                nearest = nearest or handlers
        return nearest, _NO_PARAMETERS


def _pattern(path: str) -> re.Pattern[str]:
    def group(parameter: re.Match[str]) -> str:
        return f"(?P<{parameter[1]}>{'.*' if parameter[2] else '[^/]+'})"

    return re.compile(_PARAMETER.sub(group, re.escape(path)))
