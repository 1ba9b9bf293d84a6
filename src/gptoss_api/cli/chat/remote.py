"""A gateway that runs already, over HTTP."""

import http.client
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ... import __version__
from ...config.values import is_key
from ...core.errors import GatewayError
from ...text.sse import SseDecoder
from .conversation import Conversation
from .source import Failed, Heard

# Seconds without a byte, of a gateway that sends a comment into every silence; and for a short answer.
_SILENCE: Final = 900.0
_SHORT: Final = 30.0
_PIECE: Final = 65_536
_LONGEST: Final = 1 << 20
# Characters of what somebody else has to say, which is shown on one line.
_SAID: Final = 500
# What is no answer of a gateway, or none at all.
_UNHEARD: Final = (OSError, http.client.HTTPException, msgspec.DecodeError, RecursionError, GatewayError)


class _Delta(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Told(Struct):
    notes: list[str] | None = None


class _Chunk(Struct):
    """What is read of a chunk of a stream of Chat Completions."""

    error: Any = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    x_gptoss: _Told | None = None
    choices: list[_Choice] | None = None


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


class Remote:
    """The gateway at ``url``, which has no ``/v1``; ``key`` is "" where none is known."""

    def __init__(self, url: str, key: str, upstream: str) -> None:
        self.key = key
        self._url = url
        self._upstream = upstream

    @property
    def where(self) -> str:
        return f"{self._url} ({self._upstream})" if self._upstream else self._url

    def ask(self, conversation: Conversation, heard: Heard) -> None:
        """See :class:`.source.Source`."""
        body = {
            "model": conversation.model,
            "messages": conversation.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if conversation.effort is not None:
            body["reasoning_effort"] = conversation.effort
        connection = self._connection(_SILENCE)
        try:
            connection.request(
                "POST", self._path("/chat/completions"), msgspec.json.encode(body), self._headers
            )
            response = connection.getresponse()
            if response.status != 200:
                raise _refusal(response)
            heard.upstream = response.headers.get("x-gptoss-upstream", "")
            for chunk in _chunks(response):
                _hear(chunk, heard)
                if heard.screen.gone:
                    return
        except _UNHEARD as error:
            raise self._broken(error) from None
        finally:
            connection.close()
        if not heard.finish_reason:
            raise Failed("The answer broke off before its end. Ask again with /retry.")

    def models(self) -> list[str]:
        """See :class:`.source.Source`."""
        connection = self._connection(_SHORT)
        try:
            connection.request("GET", self._path("/models"), headers=self._headers)
            response = connection.getresponse()
            if response.status != 200:
                raise _refusal(response)
            listed = msgspec.json.decode(response.read(_LONGEST), type=_Models)
            return [model.id for model in listed.data]
        except _UNHEARD as error:
            raise self._broken(error) from None
        finally:
            connection.close()

    def close(self) -> None:
        """Holds nothing between two questions."""

    @property
    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json", "user-agent": f"gptoss-api-chat/{__version__}"}
        if not self.key:
            return headers
        if not is_key(self.key):
            # Not shown: it may be a key and something pasted after it.
            raise Failed(
                "The API key has a space, a line break or a letter that no key has. Copy it again.",
                wants_key=True,
            )
        return headers | {"authorization": f"Bearer {self.key}"}

    def _path(self, path: str) -> str:
        return f"{urlsplit(self._url).path}/v1{path}"

    def _connection(self, patience: float) -> http.client.HTTPConnection:
        parts = urlsplit(self._url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=patience)

    def _broken(self, error: Exception) -> Failed:
        said = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        return Failed(f"The gateway at {self._url} cannot be heard: {_line(said) or type(error).__name__}.")


def _chunks(response: http.client.HTTPResponse) -> Iterator[_Chunk]:
    decoder, chunks = SseDecoder(), msgspec.json.Decoder(_Chunk)
    while piece := response.read1(_PIECE):
        for payload in decoder.feed(piece):
            if payload != b"[DONE]":
                yield chunks.decode(payload)


def _hear(chunk: _Chunk, heard: Heard) -> None:
    if chunk.error is not None:
        raise Failed(_said(chunk.error))
    heard.model = chunk.model or heard.model
    heard.usage = chunk.usage or heard.usage
    if chunk.x_gptoss is not None:
        heard.notes = chunk.x_gptoss.notes or []
    for choice in chunk.choices or ():
        delta = choice.delta or _Delta()
        # Clients read one or the other, so both may be there.
        heard.think(delta.reasoning or delta.reasoning_content or "")
        heard.answer(delta.content or delta.refusal or "")
        heard.finish_reason = choice.finish_reason or heard.finish_reason


def _refusal(response: http.client.HTTPResponse) -> Failed:
    wants_key = response.status == http.client.UNAUTHORIZED
    try:
        error = msgspec.json.decode(response.read(_LONGEST))["error"]
        return Failed(_said(error), wants_key=wants_key)
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError):
        return Failed(f"The answer has status {response.status} and does not say why.", wants_key=wants_key)


def _said(error: Any) -> str:
    """What an ``error`` of any shape has to say."""
    message = error.get("message") if isinstance(error, dict) else error
    said = _line(message) if isinstance(message, str) else ""
    return said or "The answer is an error that does not say why."


def _line(text: str) -> str:
    return " ".join(text[:_SAID].split())
