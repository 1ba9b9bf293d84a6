"""A conversation made shorter: what the user said, and one sealed item for everything else.

The summary is the model's (``core.turn.Compact``). The client keeps it, and sends it back in place of what it
stands for.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ...core.errors import UpstreamEmpty
from ...core.result import Collector
from ...core.turn import Compact, Turn
from .objects import encode, new_response_id, usage_object

# Whatever the conversation's length, and no answer beside the summary.
_NOW: Final = (Compact(over=0, pauses=True),)


def summary_owner(caller: str) -> str:
    """For whom a summary is sealed: no thought of the same caller opens as one."""
    return f"{caller}\0compaction"


class CompactionRequest(Struct):
    """A parsed request; see :class:`gptoss_api.dialects.base.DialectRequest`.

    ``said`` are the items of the user's messages, ``seal`` seals the summary.
    """

    turns: tuple[Turn, ...]
    said: tuple[dict[str, Any], ...]
    seal: Callable[[str], str]

    @classmethod
    def of(
        cls, turn: Turn, items: tuple[dict[str, Any], ...], seal: Callable[[str], str]
    ) -> "CompactionRequest":
        """``turn`` has the whole conversation, ``items`` are all of its items."""
        said = tuple(item for item in items if item.get("role") == "user")
        return cls((replace(turn, context_edits=_NOW),), said, seal)

    @property
    def stream(self) -> bool:
        return False

    def renderer(self) -> Any:
        """There is none: a summary is given whole."""
        raise TypeError("a compaction is not streamed")

    def render(self, result: Collector) -> bytes:
        """The compacted conversation as JSON.

        Raises:
            UpstreamEmpty: when the model gave no summary.
        """
        edits = result.started.context_edits if result.started is not None else ()
        summary = "".join(edit.summary for edit in edits)
        if not summary or result.usage is None:
            raise UpstreamEmpty("The model gave no summary of the conversation. Ask again.")
        identifier = new_response_id()
        sealed = {
            "id": f"cmp_{identifier.removeprefix('resp_')}0000",
            "type": "compaction",
            "encrypted_content": self.seal(summary),
        }
        return encode(
            {
                "id": identifier,
                "object": "response.compaction",
                "created_at": int(time.time()),
                "output": [*self.said, sealed],
                "usage": usage_object(result.usage),
            }
        )
