"""Raw HTTP to a gateway: what the tests need to say that no client library would."""

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import RunningGateway

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


def request_bytes(path: str, body: dict[str, Any], host: str = "127.0.0.1") -> bytes:
    data = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n"
    ).encode() + data


def read_until(connection: socket.socket, marker: bytes) -> bytes:
    """What arrives up to and including ``marker``, or all there is."""
    seen = bytearray()
    while marker not in seen:
        piece = connection.recv(65536)
        if not piece:
            break
        seen += piece
    return bytes(seen)
