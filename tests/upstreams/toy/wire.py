"""The events of a toy: ``{"say": text}``, ``{"over": true}``, ``{"error": words}``."""

from collections.abc import Sequence

import msgspec

from gptoss_api.core.errors import GatewayError, UpstreamEmpty, UpstreamFailure, UpstreamIncomplete
from gptoss_api.core.events import Event, Finished, TextDelta


class ToyEvent(msgspec.Struct):
    say: str = ""
    over: bool = False
    error: str = ""


_decode = msgspec.json.Decoder(ToyEvent).decode


class ToyWire:
    """Reads one answer; see :class:`gptoss_api.upstreams.reading.Wire`."""

    # After the last event nothing is worth waiting for.
    patience = None
    carried = 0

    def __init__(self) -> None:
        self.failure: GatewayError | None = None
        self.done = False
        self._spoke = False

    @property
    def answered(self) -> bool:
        return self.done

    def feed(self, payloads: Sequence[bytes]) -> list[Event]:
        events: list[Event] = []
        for payload in payloads:
            if self.failure is not None or self.done:
                break
            try:
                event = _decode(payload)
            except msgspec.MsgspecError:
                self.failure = UpstreamIncomplete("The toy sent an event that cannot be read. Ask again.")
                break
            if event.error:
                self.failure = UpstreamFailure(f"The toy broke: {event.error}")
            if event.say:
                self._spoke = True
                events.append(TextDelta(event.say))
            self.done = event.over
        return events

    def feed_rest(self, payloads: Sequence[bytes]) -> list[Event]:
        return [] if self.done else self.feed(payloads)

    def finish(self) -> list[Event]:
        if self.failure is not None:
            raise self.failure
        if self.done:
            return [Finished("stop")]
        if self._spoke:
            raise UpstreamIncomplete("The toy ended the answer before it was complete.")
        raise UpstreamEmpty("The toy ended the answer before it began.")
