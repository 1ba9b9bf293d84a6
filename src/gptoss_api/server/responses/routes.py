"""Responses that exist already: fetched, followed, cancelled, deleted, and their input listed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from ...core.errors import InvalidRequest, NotFound, StateUnavailable
from ...dialects.base import SERVER_SENT_EVENTS
from ...dialects.fields import Fields
from ...dialects.openai_errors import error_object
from ...dialects.responses import error_event
from ...loop import beside
from ..exchange import ClientStream, Exchange
from ..turns import Serving
from .background import DEAD_AFTER, BackgroundRuns, Run
from .conversation import page, read_chain
from .stored import RUNNING, StoredResponse, StoredResponses, now

# How often it is looked whether another process has finished a response that is followed or stopped here.
_LOOK_SECONDS: Final = 0.5
# How long a client waits for another process to stop: one that lives does so within a second.
_STOP_SECONDS: Final = 5.0
_END: Final = b"\n\n"
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}


class ResponseRoutes:
    """Everything under ``/v1/responses/{id}``, as bound handlers."""

    def __init__(self, stored: StoredResponses, runs: BackgroundRuns, serving: Serving) -> None:
        self._stored = stored
        self._runs = runs
        self._serving = serving

    async def retrieve(self, exchange: Exchange) -> None:
        caller, response_id = _whose(exchange)
        query = _query(exchange)
        starting_after = query.integer("starting_after", -1)
        if query.boolean("stream"):
            events = await self._events(
                caller, response_id, 0 if starting_after is None else starting_after + 1
            )
            await self._follow(events, exchange)
            return
        run = self._runs.get(caller, response_id)
        if run is not None and run.stream.final:
            # Who sees that it has ended may go on with it.
            await run.wait()
        if run is not None and not (run.ended and run.stored):
            exchange.respond_json(200, run.snapshot())
            return
        stored = _settled(await self._stored.get(caller, response_id))
        exchange.respond_json(200, bytes(stored.response))

    async def delete(self, exchange: Exchange) -> None:
        caller, response_id = _whose(exchange)
        await self._stop(caller, response_id)
        await self._stored.delete(caller, response_id)
        self._runs.forget(caller, response_id)
        gone = {"id": response_id, "object": "response", "deleted": True}
        exchange.respond_json(200, msgspec.json.encode(gone))

    async def cancel(self, exchange: Exchange) -> None:
        caller, response_id = _whose(exchange)
        stored = await self._stop(caller, response_id)
        if not stored.background:
            raise InvalidRequest(
                "Only a response that was made with background set to true can be cancelled.",
                param="response_id",
            )
        exchange.respond_json(200, bytes(stored.response))

    async def list_input_items(self, exchange: Exchange) -> None:
        caller, response_id = _whose(exchange)
        query = _query(exchange)
        limit = query.integer("limit", 1, 100)
        order = query.choice("order", ("asc", "desc"))
        stored = await self._stored.get(caller, response_id)
        items = await beside(stored.size, stored.input_items)
        if stored.chain:
            _, before, _ = await read_chain(self._stored, caller, stored.chain[-1])
            items = before + items
        listed = page(items, after=query.string("after"), limit=limit or 20, newest_first=order != "asc")
        exchange.respond_json(200, await beside(stored.size, msgspec.json.encode, listed))

    async def _stop(self, caller: str, response_id: str) -> StoredResponse:
        """Ends what works on a response, in this process or another; gives its record as it is then.

        The record of a process that died may say for a while that it runs.

        Raises:
            NotFound: for an id that is unknown or another caller's.
            StateUnavailable: where that cannot be known now.
        """
        run = self._runs.get(caller, response_id)
        if run is not None:
            run.cancel()
            await run.wait()
            if not run.stored:
                return replace(run.record(), response=Raw(run.snapshot()))
        stored = _settled(await self._stored.get(caller, response_id))
        if stored.status in RUNNING:
            await self._stored.request_cancel(caller, response_id)
        deadline = now() + _STOP_SECONDS
        while stored.status in RUNNING and now() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            stored = _settled(await self._stored.get(caller, response_id))
        return stored

    async def _events(self, caller: str, response_id: str, start: int) -> AsyncIterator[bytes]:
        run = self._runs.get(caller, response_id)
        if run is not None:
            if start > len(run.events):
                raise _beyond(start, len(run.events))
            return _to_the_end(run, start)
        if not (await self._stored.get(caller, response_id)).background:
            raise InvalidRequest(
                "Only a response that was made with background set to true can be streamed again.",
                param="stream",
            )
        events = await self._stored.events(caller, response_id)
        if events is not None and start > (count := events.count(_END)):
            raise _beyond(start, count)
        return self._stored_events(caller, response_id, start)

    async def _stored_events(self, caller: str, response_id: str, start: int) -> AsyncIterator[bytes]:
        """The events of a response that ended, or that another process will end."""
        while (events := await self._stored.events(caller, response_id)) is None:
            if (why := await self._no_events(caller, response_id)) is not None:
                # They may have come since they were looked for.
                if (events := await self._stored.events(caller, response_id)) is not None:
                    break
                said = {"message": why, "type": "server_error", "param": None, "code": "server_error"}
                yield error_event(said, start)
                return
            await asyncio.sleep(_LOOK_SECONDS)
        every = events.split(_END)[:-1]
        if start > len(every):
            yield error_event(error_object(_beyond(start, len(every))), start)
            return
        yield _END.join(every[start:] or every[-1:]) + _END

    async def _no_events(self, caller: str, response_id: str) -> str | None:
        """Why there will be no events; ``None`` as long as there may be some."""
        try:
            stored = await self._stored.get(caller, response_id)
        except StateUnavailable:
            return None
        except NotFound as gone:
            return gone.message
        if _settled(stored).status in RUNNING:
            return None
        return _DIED if stored.status in RUNNING else _NO_EVENTS

    async def _follow(self, events: AsyncIterator[bytes], exchange: Exchange) -> None:
        stream = ClientStream(exchange, SERVER_SENT_EVENTS, self._serving.keep_alive)
        await stream.relay(events)


async def _to_the_end(run: Run, start: int) -> AsyncIterator[bytes]:
    """The rest of the stream. Who has seen all of it gets the last event again, which tells of the end."""
    told = False
    async for data in run.follow(start):
        told = True
        yield data
    if not told:
        yield run.events[-1]


def _beyond(start: int, count: int) -> InvalidRequest:
    return InvalidRequest(
        f"The stream of this response has no event number {start - 1} to go on after: it has {count} so far, "
        "and the first is number 0.",
        param="starting_after",
    )


_DIED: Final = "The process that worked on this response ended before it was complete. Ask again."
_NO_EVENTS: Final = "The events of this response are no longer kept. Fetch the response itself."


def _settled(stored: StoredResponse) -> StoredResponse:
    """The response as it is: one whose process died has failed, whatever its record says."""
    if stored.status not in RUNNING or now() - stored.beat < DEAD_AFTER:
        return stored
    response: dict[str, Any] = msgspec.json.decode(stored.response)
    response |= {"status": "failed", "error": {"code": "server_error", "message": _DIED}}
    return replace(stored, response=Raw(msgspec.json.encode(response)), status="failed")


def _whose(exchange: Exchange) -> tuple[str, str]:
    """Who asks, and for which response."""
    record = exchange.record
    record.dialect = "responses"
    response_id: str = exchange.parameters["id"]
    return record.caller, response_id


def _query(exchange: Exchange) -> Fields:
    """The query parameters as the members of an object, numbers and booleans as such."""
    members: dict[str, Any] = {}
    for name, text in parse_qsl(exchange.query.decode("latin-1")):
        if name in ("limit", "starting_after"):
            members[name] = int(text) if text.removeprefix("-").isdecimal() and len(text) < 18 else text
        elif name == "stream":
            members[name] = _TRUTH.get(text.lower(), text)
        else:
            members[name] = text
    return Fields(members)
