"""Clients that look at when what arrives, which libraries do not tell."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CHAT = "/v1/chat/completions"
OLLAMA = "/api/chat"
# The marker of an event in every answer of the simulator here.
WORD = b"word "


@dataclass(slots=True)
class Arrival:
    """An answer as it came: the moments at which words came, and everything in one piece."""

    moments: list[float] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)

    @property
    def words(self) -> int:
        return self.text.count(WORD)

    @property
    def status(self) -> int:
        return int(self.text.split(b" ", 2)[1]) if self.text else 0

    @property
    def whole(self) -> bool:
        """Whether it ended as a stream does, and not in the middle."""
        return self.text.endswith(b"\r\n0\r\n\r\n") and (
            b"data: [DONE]" in self.text or b'"done":true' in self.text
        )


def body(path: str, text: str = "Hello", **more: object) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": "gpt-oss-20b", "messages": [{"role": "user", "content": text}]}
    return {**asked, "stream": True, **more} if path in (CHAT, OLLAMA) else asked


def request(path: str, content: Mapping[str, Any], *, close: bool = False) -> bytes:
    data = json.dumps(content).encode()
    ending = "connection: close\r\n" if close else ""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{ending}"
    return f"{head}content-length: {len(data)}\r\n\r\n".encode() + data


async def connect(base_url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(base_url)
    assert address.hostname is not None
    return await asyncio.open_connection(address.hostname, address.port, limit=1 << 20)


async def stream(base_url: str, path: str = CHAT, **more: object) -> Arrival:
    """One answer, read to its end."""
    reader, writer = await connect(base_url)
    arrival = Arrival()
    loop = asyncio.get_running_loop()
    try:
        writer.write(request(path, body(path, **more), close=True))  # type: ignore[arg-type]
        while part := await reader.read(65536):
            arrival.moments += [loop.time()] * part.count(WORD)
            arrival.text += part
    except ConnectionError:
        # What came before says that it is incomplete.
        pass
    finally:
        writer.close()
    return arrival


async def reply(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, content: Mapping[str, Any]
) -> int:
    """The status of an answer whose length is announced, on a connection that stays."""
    writer.write(request(path, content))
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        ),
        None,
    )
    if length is not None:
        await reader.readexactly(length)
    else:
        while (size := int(await reader.readline(), 16)) >= 0:
            await reader.readexactly(size + 2)
            if not size:
                break
    return int(head.split(b" ", 2)[1])
