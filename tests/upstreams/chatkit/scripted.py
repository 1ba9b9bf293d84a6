"""A server that plays prepared answers over real sockets and remembers what it was asked."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from .transcripts import Json, sse

Step = bytes | float | Literal["end", "abort"]


@dataclass
class Reply:
    """Status and headers, then ``steps``: bytes to send, seconds to wait, or how the body ends.

    Without ``end`` or ``abort`` the body ends properly after the last step. ``silence`` seconds go by
    before the head.
    """

    steps: Sequence[Step] = ()
    status: int = 200
    content_type: str = "text/event-stream; charset=utf-8"
    headers: Sequence[tuple[str, str]] = ()
    silence: float = 0.0


def stream(*events: Json | str) -> Reply:
    return Reply([sse(*events)])


@dataclass
class Asked:
    headers: dict[str, str]
    body: Json
    connection: int
    method: str = "POST"
    path: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class ScriptedServer:
    """Plays ``replies`` in order; the last one is repeated."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[Asked] = []
        self.url = ""
        self._connections = 0

    @property
    def ops(self) -> list[Any]:
        return [asked.body.get("op") or asked.body.get("type") for asked in self.asked]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ScriptedServer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/chatkit"
        try:
            yield self
        finally:
            server.close()

    def reply_to(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return self.replies[min(len(self.asked), len(self.replies)) - 1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
                headers = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                text = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = head[0].split(" ")
                asked = Asked(headers, json.loads(text or b"{}"), number, method, path)
                if not await self._play(self.reply_to(asked), reader, writer, asked):
                    break
        writer.transport.abort()

    async def _play(
        self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Asked
    ) -> bool:
        head = [f"HTTP/1.1 {reply.status} Scripted", "transfer-encoding: chunked"]
        if reply.content_type:
            head.append(f"content-type: {reply.content_type}")
        head += [f"{name}: {value}" for name, value in reply.headers]
        # Nothing more may come before the answer has ended: whatever is read is the client leaving.
        gone = asyncio.create_task(reader.read(1))
        try:
            if reply.silence:
                await asyncio.wait([gone], timeout=reply.silence)
                if gone.done():
                    return False
            writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
            for step in reply.steps:
                match step:
                    case bytes():
                        writer.write(b"%x\r\n%s\r\n" % (len(step), step))
                        await writer.drain()
                    case "abort":
                        writer.transport.abort()
                        return False
                    case "end":
                        break
                    case _:
                        await asyncio.wait([gone], timeout=step)
                if gone.done():
                    return False
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        finally:
            if not gone.done():
                gone.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await gone
            asked.ended.set()
        return True
