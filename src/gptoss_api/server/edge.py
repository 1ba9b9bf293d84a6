"""The outermost layer: request ids, Host and Origin policy, CORS, keys, and the error boundary."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from ..access import ApiKeys, HostPolicy
from ..core.errors import (
    GatewayError,
    HostNotAllowed,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OriginNotAllowed,
    RequestTimeout,
)
from .body import ClientGone
from .cors import Cors, options_headers
from .drain import Drain, shutting_down
from .exchange import send_json
from .request import RequestRecord, id_headers
from .surface import Surface, is_open

# nginx's status for a client that left before its answer; only the log shows it.
CLIENT_GONE = 499

# RFC 9110, section 7.2: a name or address, and a port.
_HOST: Final = re.compile(rb"(?:\[[0-9A-Za-z:.%]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]*)(?::[0-9]*)?")


class Edge:
    """Wraps the router: what is true of every request, whatever the route."""

    def __init__(
        self,
        router: Router,
        *,
        surface: Surface,
        keys: ApiKeys,
        hosts: HostPolicy,
        cors: Cors,
        drain: Drain,
        finished: Callable[[RequestRecord, Scope], None],
    ) -> None:
        self.router = router
        self.surface = surface
        self._keys = keys
        self._hosts = hosts
        self._cors = cors
        self._drain = drain
        self._finished = finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = RequestRecord(scope["headers"])
        scope["gptoss"] = record
        scope["path"] = self.surface.canonical_path(scope["path"])
        # Starlette's router raises for unknown paths and methods only inside an application.
        scope["app"] = self
        origin = record.headers.get("origin")
        allowed_origin = self._cors.allow(origin)
        common = (*id_headers(record.id), *self._cors.response_headers(allowed_origin))

        # No coroutine of its own: every piece of a stream passes through here.
        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], *common]
            return send(message)

        try:
            self._admit(scope, record, origin, allowed_origin)
            if scope["method"] == "OPTIONS":
                await _answer_options(send_with_headers, record, allowed_origin)
            else:
                await self.router(scope, receive, send_with_headers)
        except ClientGone:
            record.status = record.status or CLIENT_GONE
            record.outcome = "client_gone"
        except asyncio.CancelledError:
            record.outcome = "cancelled"
            raise
        except GatewayError as error:
            await self._fail(error, record, scope, send_with_headers)
        except HTTPException as refusal:
            await self._fail(self._routing_error(refusal, scope), record, scope, send_with_headers)
        except Exception:
            await self._fail(record.bug(), record, scope, send_with_headers)
        finally:
            self._finished(record, scope)

    def _admit(
        self, scope: Scope, record: RequestRecord, origin: str | None, allowed_origin: str | None
    ) -> None:
        _check_host(scope)
        if not self._hosts.allowed(record.headers.get("host")):
            raise HostNotAllowed(
                "This gateway does not answer to the Host name of this request. Without API keys it answers "
                "only to loopback names; add yours to GPTOSS_ALLOWED_HOSTS or set GPTOSS_API_KEYS or "
                "GPTOSS_REQUIRE_KEYS.",
            )
        if origin is not None and allowed_origin is None and not self._keys.required:
            # A page can send a simple request without a preflight and need not read the answer to
            # spend the account; where keys are set it lacks one.
            raise OriginNotAllowed(
                "Web pages of this origin may not use this gateway. Add the origin to CORS_ORIGIN, "
                "or set GPTOSS_API_KEYS.",
            )
        if scope["method"] != "OPTIONS" and not is_open(scope["path"]):
            caller = self._keys.authenticate(record.headers)
            record.caller, record.key = caller.id, caller
            if self._drain.draining:
                raise shutting_down()

    async def _fail(self, error: GatewayError, record: RequestRecord, scope: Scope, send: Send) -> None:
        record.fail(error)
        if record.status:
            # The response has begun and cannot become another one. That it stays incomplete makes the
            # server close the connection, which is the only honest signal left.
            return
        status, headers, body = self.surface.error(error, scope, record.id)
        if "expect" in record.headers or isinstance(error, RequestTimeout) or self._drain.draining:
            # A body that was announced is not asked for any more, and a late one not waited for.
            headers = [*headers, (b"connection", b"close")]
        await send_json(send, status, body, headers)

    def _routing_error(self, refusal: HTTPException, scope: Scope) -> GatewayError:
        method, path = scope["method"], scope["path"][:200]
        purpose = self.surface.purpose(scope["path"])
        if refusal.status_code == 405:
            allow = tuple(sorted((refusal.headers or {}).get("Allow", "").split(", ")))
            said = f"{method} is not allowed on {path}; use {' or '.join(allow)}. {purpose}"
            return MethodNotAllowed(said.rstrip(), allow=allow)
        said = f"Unknown path: {method} {path}. GET / lists the endpoints of this gateway. {purpose}"
        return NotFound(said.rstrip())


def _check_host(scope: Scope) -> None:
    """Raises: InvalidRequest, where it is not clear whom the request is for (RFC 9112, section 3.2)."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if not hosts and scope["http_version"] in ("1.0", "0.9"):
        return
    if len(hosts) != 1:
        raise InvalidRequest(f"A request has one Host header; this one has {len(hosts) or 'none'}.")
    if not _HOST.fullmatch(hosts[0]):
        raise InvalidRequest("The Host header of this request is no host name.")


async def _answer_options(send: Send, record: RequestRecord, allowed_origin: str | None) -> None:
    headers = options_headers(record.headers, allowed_origin)
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
