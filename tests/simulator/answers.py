"""What the simulator can be told to answer: the text, the trouble, and how the bytes are cut.

An :class:`Answer` is played as a transcript of steps. Named marks stand between the parts of a
transcript; ``Answer.at`` puts further steps at them, which is how keep-alives, notices, errors and
broken connections are made. An :class:`HttpReply` is an answer that is no event stream at all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .transcript import Transcript

Dialect = Literal["old", "new"]

Mark = Literal[
    "headers",  # the response headers are out, no event yet
    "created",  # after thread.created and its keep-alive
    "opened",  # after the echoed user message
    "thinking",  # the reasoning item is announced
    "reasoned",  # the reasoning item is done
    "message",  # the assistant item is announced
    "half",  # after half of the deltas (after the first, where there are only one or two)
    "deltas",  # after the last delta
    "part_done",
    "done",  # the assistant item is done: the answer is complete
    "end",  # after the title
]


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event with this JSON object."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that go out as they are."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Comment:
    text: str = "keep-alive"


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing for so many seconds (real ones: the simulator's ``speed`` does not apply)."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """End the response here in good order; the rest of the transcript is not sent."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Break the connection here: in the middle of an HTTP chunk, with a TCP reset if asked."""

    reset: bool = False
    mid_chunk: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """Send nothing more and keep the connection open until the client leaves."""


@dataclass(frozen=True, slots=True)
class At:
    """A mark of the transcript; sends nothing."""

    mark: Mark


Step = Event | Raw | Comment | Pause | Close | Abort | Stall | At


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a transcript's bytes travel.

    ``group`` events leave in one write (0: the whole transcript at once). ``cut`` then splits what
    is written into pieces of so many bytes (1: byte by byte; 0: not split; ``"random"``: 1 to 40
    bytes, seeded), each an HTTP chunk of its own. ``pause`` is in seconds between pieces.
    """

    group: int = 1
    cut: int | Literal["random"] = 0
    newline: Literal["\n", "\r\n", "\r"] = "\n"
    space: bool = True
    bom: bool = False
    gzip: bool = False
    final_blank_line: bool = True
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the model and what happens while it is sent.

    ``reasoning`` are the blocks of thought (empty: no reasoning item at all). ``recap_only`` sends
    the reasoning item with nothing but its recap. ``deltas`` cuts the text by hand; ``full_text`` is
    what the closing events claim, where it differs from the deltas. ``pace`` is in seconds between
    deltas, ``think`` before the reasoning starts. ``dialect`` answers in the other dialect than
    was asked in. ``script`` replaces the whole transcript. ``set_cookies`` are values of
    ``Set-Cookie`` headers; ``grant_session`` makes the server issue and from then on demand that
    session.
    """

    text: str = ""
    reasoning: Sequence[str] = ()
    recap_only: bool = False
    deltas: Sequence[str] | None = None
    full_text: str | None = None
    title: str | None = None
    pace: float = 0.0
    think: float = 0.0
    at: Mapping[Mark, Sequence[Step]] = field(default_factory=dict)
    delivery: Delivery = Delivery()
    dialect: Dialect | None = None
    script: "Callable[[Transcript, Answer], Iterator[Step]] | None" = None
    set_cookies: Sequence[str] = ()
    grant_session: str | None = None


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A plain HTTP response. ``delay`` is in seconds before it is sent."""

    status: int
    body: bytes | str = b""
    content_type: str | None = "application/json"
    headers: Sequence[tuple[str, str]] = ()
    delay: float = 0.0


Reply = Answer | HttpReply

ERROR_TEXT = "An error occurred when generating a response."
SIGN_IN_TITLE = "Sign in to continue"
SIGN_IN_TEXT = "Sign in with Hugging Face to start chatting with gpt-oss"


def error_event(**fields: Any) -> Event:
    """An ``error`` event; without fields, the public SDK's for an exception in the app."""
    return Event({"type": "error", **(fields or {"code": "stream.error", "allow_retry": True})})
