"""Raw HTTP to a gateway: what the tests need to say that no client library would."""

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import RunningGateway

CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        body = self.json()
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"]
        assert "Traceback" not in body["error"]["message"]
        error: dict[str, Any] = body["error"]
        return error


def ask(
    gateway: RunningGateway,
    method: str,
    path: str,
    body: bytes | dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    connection = http.client.HTTPConnection(str(urlsplit(gateway.base_url).netloc), timeout=30)
    try:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, path, data, headers or {})
        return Reply(connection.getresponse())
    finally:
        connection.close()


def connect(gateway: RunningGateway) -> socket.socket:
    url = urlsplit(gateway.base_url)
    assert url.hostname is not None
    assert url.port is not None
    return socket.create_connection((url.hostname, url.port), timeout=30)


def head_of(path: str, length: int | None, *lines: str) -> bytes:
    """The head of a POST; ``length`` is that of the body, unless a line says otherwise."""
    announced = [] if length is None else [f"content-length: {length}"]
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: localhost", *announced, *lines, "", ""]).encode()


def request_bytes(path: str, body: dict[str, Any], *lines: str) -> bytes:
    data = json.dumps(body).encode()
    return head_of(path, len(data), "content-type: application/json", *lines) + data


def read_until(connection: socket.socket, marker: bytes) -> bytes:
    """What arrives up to and including ``marker``, or all there is."""
    seen = bytearray()
    while marker not in seen:
        piece = connection.recv(65536)
        if not piece:
            break
        seen += piece
    return bytes(seen)


def read_reply(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one response with a ``content-length``; the connection stays where it ends."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, bytes(head)
        head += byte
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = bytearray()
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(head.split(b" ", 2)[1]), bytes(body)
