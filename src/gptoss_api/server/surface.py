"""Every path of the gateway, and whose it is: the pages of its own, and the endpoints of the dialects."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from .. import __version__
from ..core.errors import GatewayError
from ..dialects.base import Connect, Dialect, ErrorResponse, Headers
from ..dialects.openai_errors import error_response

INDEX: Final = "/"
# Where Claude Code looks whether anybody is there, before it has a key.
HELLO: Final = "/api/hello"
# What people and programs try first at an address that they do not know: each is another page by that name.
BASE: Final = "/v1"
HEALTH: Final = "/health"
ICON: Final = "/favicon.ico"
# The page for people, and the files that belong to it.
PAGE: Final = "/ui"
PAGE_FILES: Final = "/ui/{file:path}"
# The gateway's own pages.
PAGES: Final = (
    INDEX,
    BASE,
    PAGE,
    PAGE_FILES,
    "/healthz",
    HEALTH,
    "/readyz",
    HELLO,
    "/metrics",
    "/openapi.json",
    "/docs",
    ICON,
)
# What was found out about the upstreams.
VERIFY: Final = "/admin/verify"
# What administers the gateway.
_ADMIN: Final = "/admin"
ADMIN: Final = ("/admin/keys", "/admin/usage", "/admin/requests", VERIFY)
RELOAD: Final = "/admin/reload"
# What a key is told about itself.
OWN_USAGE: Final = "/v1/usage"
# What the page shows: of all to administrators, and to everybody on this machine where there are no keys.
REPORT: Final = "/v1/usage/report"
STATUS: Final = "/v1/status"
# Those of the API that are no dialect's.
OWN: Final = (OWN_USAGE, REPORT, STATUS)
# What answers without a key. What a stranger sees there is decided by each of them.
OPEN: Final = frozenset(PAGES) - {BASE}

_VERSION: Final = "/v1"
_SLASHES: Final = re.compile("//+")


class Surface:
    """What is served where; the order of ``dialects`` is that of the lists."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self.dialects = tuple(dialects)
        endpoints = [endpoint for dialect in dialects for endpoint in dialect.endpoints]
        self.listed: Final = (
            f"GET {INDEX}",
            *(f"{endpoint.method} {endpoint.shown_path}" for endpoint in endpoints),
            *(f"GET {page.replace(':path', '')}" for page in (*PAGES, *OWN, *ADMIN) if page != INDEX),
            f"POST {RELOAD}",
        )
        self.websockets: Final = frozenset(
            endpoint.path for endpoint in endpoints if isinstance(endpoint.operation, Connect)
        )
        # The fixed beginnings of the paths, the longest first.
        self._stems = sorted(
            {
                endpoint.path.partition("/{")[0]: dialect
                for dialect in reversed(dialects)
                for endpoint in dialect.endpoints
            }.items(),
            key=lambda stem: -len(stem[0]),
        )
        self._roots = _roots(dialects)
        # First segments behind the version: clients with a base URL that lacks it find them all the same.
        self._segments = frozenset(
            path.split("/")[2]
            for path in (*OWN, *(endpoint.path for endpoint in endpoints))
            if path.startswith(f"{_VERSION}/")
        )
        # Fixed paths that are canonical and for everybody with a key: those of nearly all requests.
        self.plain: Final = frozenset(
            path
            for path in (endpoint.path for endpoint in endpoints)
            if "{" not in path
            and path == self.canonical_path(path)
            and not is_open(path)
            and not administers(path)
        )
        # The same as requests name them.
        self.targets: Final = {path.encode(): path for path in self.plain}

    def canonical_path(self, path: str) -> str:
        """The route a path means: single slashes, none at the end, one ``/v1`` before names of the API."""
        path = _SLASHES.sub("/", "/" + path.strip("/"))
        while path.startswith(f"{_VERSION}{_VERSION}/"):
            path = path[len(_VERSION) :]
        if path[1:].split("/", 1)[0] in self._segments:
            path = _VERSION + path
        return path

    def owner(self, path: str) -> Dialect | None:
        """Whose a request is: the dialect that has an endpoint at its canonical path, or nearest above.

        A first segment under which only one dialect has endpoints is that dialect's as a whole; ``/v1`` is
        nobody's.
        """
        for stem, dialect in self._stems:
            if path == stem or path.startswith(f"{stem}/"):
                return dialect
        return self._roots.get(_root(path))

    def owner_name(self, path: str) -> str:
        """The name of the dialect whose ``path`` is, "" where it is nobody's."""
        owner = self.owner(path)
        return owner.name if owner is not None else ""

    def error(self, error: GatewayError, path: str, headers: Headers, request_id: str) -> ErrorResponse:
        """What a failed request is answered, in the shape of its owner; without one, in OpenAI's."""
        owner = self.owner(path)
        if owner is None:
            return error_response(error, request_id)
        return owner.error(error, request_id, headers)

    def purpose(self, path: str) -> str:
        """What is done at a canonical path, or nearest above, as sentences; "" where there is nothing."""
        for stem, dialect in self._stems:
            if path == stem or path.startswith(f"{stem}/"):
                return _purposes(dialect.package).get(stem, "")
        return ""

    def openapi(self) -> bytes:
        """The OpenAPI 3.1 document as JSON: the gateway's own part and that of every dialect."""
        return _composed(tuple(dict.fromkeys(dialect.package for dialect in self.dialects)))


def _root(path: str) -> str:
    return f"/{path[1:].partition('/')[0]}"


def _roots(dialects: Sequence[Dialect]) -> dict[str, Dialect]:
    """The first segments of paths that belong to one dialect alone."""
    owners: dict[str, set[Dialect]] = {}
    for dialect in dialects:
        for endpoint in dialect.endpoints:
            owners.setdefault(_root(endpoint.path), set()).add(dialect)
    return {
        root: next(iter(found))
        for root, found in owners.items()
        if len(found) == 1 and root not in (_VERSION, INDEX)
    }


def is_open(path: str) -> bool:
    """Whether a canonical path is for everybody; every other one, also one that is not there, needs a key."""
    return path in OPEN or path.startswith(f"{PAGE}/")


def administers(path: str) -> bool:
    """Whether a canonical path is for keys of administrators alone, also where no keys are required."""
    return path == _ADMIN or path.startswith(f"{_ADMIN}/")


@cache
def _purposes(package: str) -> dict[str, str]:
    """What is done at each path that a dialect describes."""
    return {
        path: " ".join(
            f"{method.upper()} {path}: {operation['summary']}. {operation.get('description', '')}".strip()
            for method, operation in operations.items()
        )
        for path, operations in _fragment(package)["paths"].items()
    }


@cache
def _composed(packages: tuple[str, ...]) -> bytes:
    document = _fragment("gptoss_api.web")
    document["info"]["version"] = __version__
    for part in map(_fragment, packages):
        _add(document["paths"], part["paths"])
        for kind, components in part.get("components", {}).items():
            _add(document["components"].setdefault(kind, {}), components)
    return msgspec.json.encode(document)


def _fragment(package: str) -> dict[str, Any]:
    part: dict[str, Any] = msgspec.json.decode((files(package) / "openapi.json").read_bytes())
    return part


def _add(members: dict[str, Any], more: dict[str, Any]) -> None:
    """Raises: ValueError, for a name that is taken by something else."""
    for name, value in more.items():
        if members.setdefault(name, value) != value:
            raise ValueError(f"two descriptions of {name}")
