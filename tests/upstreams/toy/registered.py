"""Registers the protocol of the toy, for pytest (``-p``): a row, what makes its upstream, and a script."""

from gptoss_api.core.servers import SERVER_KINDS, ServerKind
from gptoss_api.gateway.building import PROTOCOLS, UpstreamParts
from gptoss_api.upstreams.client import UpstreamClient
from tests.upstreams.chatkit.transcripts import sse
from tests.upstreams.contract import SCRIPTS

from .requests import ToyRequests


def toy(parts: UpstreamParts) -> UpstreamClient:
    url = parts.entry.url or parts.kind.url
    requests = ToyRequests(parts.http, parts.entry.name, url, parts.key(), idle_timeout=parts.idle_timeout)
    return UpstreamClient(requests, parts.admission, total_timeout=parts.total_timeout)


class ToyScript:
    def begin(self, kind: ServerKind, text: str) -> bytes:
        return sse({"say": text})

    def end(self, kind: ServerKind, text: str) -> bytes:
        return sse({"over": True})


SERVER_KINDS["toy"] = ServerKind(
    "toy",
    "The toy",
    "http://127.0.0.1:49/v1",
    key_variables=("TOY_API_KEY",),
    key_step="Set TOY_API_KEY to a key from the toy shop.",
    protocol="toy",
)
PROTOCOLS["toy"] = toy
SCRIPTS["toy"] = ToyScript()
