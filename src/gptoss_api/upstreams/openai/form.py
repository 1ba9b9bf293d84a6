"""Whether a server is asked for an answer as a whole or as a stream, and how what it sends is read."""

import logging
import re
from typing import Final

from ...core.errors import GatewayError, InvalidRequest
from ...core.turn import Turn
from ..base import log_fields
from ..clock import TurnClock
from ..http import HttpResponse
from ..reading import AnswerReader, BodyReader, StreamReader, WholeWire
from .server import ServerAccess

_STREAM: Final = re.compile(r"\bstream(?:ing|ed)?\b", re.I)

_log = logging.getLogger(__name__)


class AnswerForm:
    """The form of the answer to one turn: ``whole``, or a stream.

    A server that may have ``refused`` to give it whole is asked for a stream; where that helped, so is it
    from then on (:meth:`keep`).
    """

    __slots__ = ("_access", "_turn", "refused", "whole")

    def __init__(self, access: ServerAccess, turn: Turn) -> None:
        self._access = access
        self._turn = turn
        self.whole = access.whole_answers and not turn.streamed
        self.refused = False

    def reader(self, response: HttpResponse, wire: WholeWire, clock: TurnClock) -> AnswerReader:
        """What reads the answer, which may come otherwise than it was asked for."""
        content_type = (response.headers.get("content-type") or "").lower()
        if "event-stream" not in content_type if self.whole else "json" in content_type:
            return BodyReader(response, wire, clock)
        return StreamReader(response, wire, clock, self._access.idle_timeout)

    def is_refused(self, failure: GatewayError) -> bool:
        """Whether ``failure`` may be about this form; then the other is asked for from here on."""
        if not self.whole or not isinstance(failure, InvalidRequest):
            return False
        if not _STREAM.search(f"{failure.message} {failure.param or ''}"):
            return False
        self.whole, self.refused = False, True
        return True

    def keep(self) -> None:
        """An answer has come in this form after the other was ``refused``: it is asked for from now on."""
        if self._access.whole_answers:
            self._access.whole_answers = False
            _log.warning(
                "%s gives no whole answers: it is asked for streams from now on",
                self._access.server.title,
                extra=log_fields(self._turn.request_id),
            )
