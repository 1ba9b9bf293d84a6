"""A gpt-oss.com on a real socket, for tests and for playing by hand.

In a test with an event loop, or without one::

    async with Simulator(auth="session") as sim:  # dialect="old" | "new" | "any"
        ...  # sim.url, sim.chatkit_url, sim.cookie (a Cookie header it accepts)

    with simulator_thread() as sim: ...

What it answers. By default a deterministic echo ("You said: …") with reasoning. Otherwise::

    sim.script("s08_login_card")                     # the next request gets this scenario
    sim.script(Answer("Hi", reasoning=["Hmm"]))      # …then this text
    sim.script(Answer("Hi", at={"half": [Abort()]})) # …then one that breaks in the middle
    sim.script(HttpReply(503, "<html>…", "text/html"))
    sim.script(lambda request: f"{len(request.history)} earlier turns")  # a callable; text or reply
    sim.always("s10_error_before_text")              # whenever nothing is queued
    sim.reset()                                      # back to the echo; forgets records and threads

What it was asked: ``sim.requests`` (newest: ``sim.last``), each an :class:`Exchange` with headers, op,
text, thread_id, user_id, session, model, effort, history, times, ``outcome`` and ``aborted_at``.
``await sim.wait_for(lambda: sim.last.outcome == "abandoned")`` waits (``wait_until`` without a loop).

Names and meanings of the scenarios: :data:`SCENARIOS` (``python -m tests.simulator --list``). By hand::

    python -m tests.simulator --port 9100 --dialect old --auth session --scenario s01_happy_path --speed 1
"""

from .answers import (
    ERROR_TEXT,
    SIGN_IN_TEXT,
    SIGN_IN_TITLE,
    Abort,
    Answer,
    Close,
    Comment,
    Delivery,
    Event,
    HttpReply,
    Pause,
    Raw,
    Stall,
    error_event,
)
from .scenarios import SCENARIOS, Scenario
from .server import Exchange, Limit, Simulator, Thread, simulator_thread

__all__ = [
    "ERROR_TEXT",
    "SCENARIOS",
    "SIGN_IN_TEXT",
    "SIGN_IN_TITLE",
    "Abort",
    "Answer",
    "Close",
    "Comment",
    "Delivery",
    "Event",
    "Exchange",
    "HttpReply",
    "Limit",
    "Pause",
    "Raw",
    "Scenario",
    "Simulator",
    "Stall",
    "Thread",
    "error_event",
    "simulator_thread",
]
