"""What the server knows of one request: its id, headers, caller, and what became of it."""

import logging
import re
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from ..access import NOBODY, Reservation
from ..core.account import Meter, UpstreamTime
from ..core.errors import GatewayError, InternalError
from ..core.events import Started
from ..core.identifiers import new_identifier
from ..core.turn import Turn
from ..dialects.openai_errors import openai_error

# Ids of proxies in front of us are kept when they are harmless to log and to send back.
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")

RawHeaders = Sequence[tuple[bytes, bytes]]
# RFC 9110, section 5.5: what no field value holds.
_FORBIDDEN: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search

_log = logging.getLogger(__name__)


def new_request_id() -> str:
    return f"req_{new_identifier()[:24]}"


def id_lines(request_id: str) -> bytes:
    """The lines of a head that tell a client the id: OpenAI's read the one, Anthropic's the other."""
    identifier = request_id.encode()
    return b"x-request-id: %b\r\nrequest-id: %b\r\n" % (identifier, identifier)


class RequestRecord:
    """One request from its first header to its log line. Times are ``time.perf_counter()`` seconds.

    ``size`` are the bytes of its body and of what it refers to, ``weight`` is how much work they are, in
    characters.
    """

    __slots__ = (
        "address",
        "arrived",
        "caller",
        "dialect",
        "goes_on",
        "headers",
        "id",
        "key",
        "limit_headers",
        "meter",
        "model",
        "not_stored",
        "outcome",
        "reservation",
        "size",
        "status",
        "upstream_time",
        "weight",
    )

    def __init__(self, raw_headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.arrived = time.perf_counter()
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw_headers}
        given = self.headers.get("x-request-id", "")
        harmless = 0 < len(given) <= 128 and _ID_CHARACTERS.issuperset(given)
        self.id = given if harmless else new_request_id()
        # Whose key it is, and, where there are no keys, from where it came.
        self.caller = ""
        self.address = ""
        self.key = NOBODY
        # Where its key has limits: what is set aside for it, and what its answer's headers say of them.
        self.reservation: Reservation | None = None
        self.limit_headers: RawHeaders = ()
        self.dialect = ""
        # The model that is asked, by its canonical id, once it is.
        self.model = ""
        self.weight = 0
        self.size = 0
        self.status = 0
        self.outcome = "ok"
        # Whether its answer is worked on when it is over, and accounted for then.
        self.goes_on = False
        self.meter = Meter()
        self.upstream_time = UpstreamTime()
        # Why what the client wanted to be stored was not.
        self.not_stored = ""

    def own(self, turn: Turn) -> Turn:
        """``turn`` as this request asks it: whose it is, and whether an upstream thread may continue.

        Raises:
            ModelNotAllowed: for a model that its key may not use.
        """
        if self.key is not NOBODY:
            self.key.check_model(turn.model)
        self.model = turn.model
        headers = self.headers
        return replace(
            turn,
            caller=self.caller,
            queue=self.caller or self.address,
            request_id=self.id,
            weight=self.weight,
            new_thread=headers.get("x-gptoss-thread", "").strip().lower() == "new",
            # Official SDKs count their attempts from 0.
            comes_back=headers.get("x-stainless-retry-count", "0") != "0" or "idempotency-key" in headers,
        )

    def fail(self, error: GatewayError) -> None:
        """The log has one vocabulary for all client APIs: OpenAI's codes."""
        _, kind, code = openai_error(error)
        self.outcome = code or kind

    def bug(self) -> InternalError:
        """The failure that stands for the exception being handled, which goes into the log."""
        _log.exception("request %s failed", self.id)
        return InternalError(f"The gateway failed on this request; its log has the cause under {self.id}.")

    def answer_lines(self) -> bytes:
        """``x-gptoss-*``: who answered, and what was emulated, ignored or repaired so far."""
        meter = self.meter
        started = meter.started
        if started is None:
            return header_lines(self.limit_headers)
        lines = _answered(started.upstream, started.model, started.thread, started.emulated)
        if (
            started.ignored
            or self.limit_headers
            or started.context_edits
            or started.repeat
            or self.not_stored
            or meter.repairs
        ):
            lines += header_lines(self._particulars(started))
        return lines

    def _particulars(self, started: Started) -> list[tuple[bytes, bytes]]:
        """What is told of few answers."""
        headers: list[tuple[bytes, bytes]] = []
        if started.ignored and (ignored := _header_list(started.ignored)):
            headers.append((b"x-gptoss-ignored", ignored))
        if repairs := self.meter.repairs:
            headers.append((b"x-gptoss-repairs", b"%d" % repairs))
        headers += self.limit_headers
        if edits := started.context_edits:
            told = (f"{each.edit}={each.count}" for each in edits)
            headers.append((b"x-gptoss-context", ",".join(told).encode()))
        if started.repeat:
            headers.append((b"x-gptoss-repeat", started.repeat.encode()))
        if self.not_stored:
            headers.append((b"x-gptoss-not-stored", self.not_stored.encode()))
        return headers


@lru_cache(256)
def _answered(upstream: str, model: str, thread: str, emulated: tuple[str, ...]) -> bytes:
    """What is told of every answer, and is the same of most."""
    headers = [
        (b"x-gptoss-upstream", upstream.encode("latin-1", "replace")),
        (b"x-gptoss-model", model.encode("latin-1", "replace")),
        (b"x-gptoss-thread", thread.encode()),
    ]
    if emulated:
        headers.append((b"x-gptoss-emulated", ",".join(emulated).encode()))
    return header_lines(headers)


def header_lines(headers: RawHeaders) -> bytes:
    """The lines of a head that say these.

    Raises:
        ValueError: for a value that no field can have.
    """
    if _FORBIDDEN(b"".join([value for _, value in headers])):
        raise ValueError(f"one of the headers {[name for name, _ in headers]} cannot be sent")
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def _header_list(names: tuple[str, ...]) -> bytes:
    # Unknown fields are named by the client: only harmless ones may go into a header, and not without end.
    safe = [name for name in names if len(name) <= 64 and _ID_CHARACTERS.issuperset(name)]
    return ",".join(safe[:64]).encode()
