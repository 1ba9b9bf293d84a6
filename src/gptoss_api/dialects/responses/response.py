"""A whole answer as one response object."""

from collections.abc import Callable
from typing import Any

from ...core.errors import UpstreamIncomplete
from ...core.result import Collector
from .objects import (
    Frame,
    ItemStatus,
    call_item,
    encode,
    message_item,
    reasoning_item,
    reasoning_part,
    refusal_part,
    text_part,
)
from .tools import Names


def render_response(
    result: Collector, frame: Frame, names: Names, seal: Callable[[str], str] | None = None
) -> bytes:
    """The body of a non-streaming answer: the object that ends a stream of the same answer.

    Raises:
        UpstreamIncomplete: when the answer was never finished.
    """
    choice = result.choices[0]
    if result.started is None or choice.finish_reason is None:
        raise UpstreamIncomplete("The answer ended before it was complete.")
    complete = choice.finish_reason in ("stop", "tool_calls")
    # What was cut is the last thing that was written.
    status: ItemStatus = "completed" if complete else "incomplete"
    items: list[dict[str, Any]] = []
    if choice.reasoning:
        last = not (choice.text or choice.refusal or choice.tool_calls)
        items.append(
            reasoning_item(
                frame.item_id("rs", 0),
                [reasoning_part(choice.reasoning)],
                status if last else "completed",
                seal(choice.reasoning) if seal is not None else None,
            )
        )
    if choice.text or choice.refusal:
        parts = [text_part(choice.text)] if choice.text else []
        parts += [refusal_part(choice.refusal)] if choice.refusal else []
        identifier = frame.item_id("msg", len(items))
        items.append(message_item(identifier, parts, "completed" if choice.tool_calls else status))
    for place, call in enumerate(choice.tool_calls):
        whole = complete or place in choice.whole_calls
        if (typed := names.typed.get(call.name)) is not None:
            # Half of such a call has no form.
            if whole:
                identifier = frame.item_id(typed.prefix, len(items))
                items.append(typed.item(identifier, call.id, call.arguments, "completed"))
            continue
        identifier = frame.item_id("ctc" if call.kind == "custom" else "fc", len(items))
        items.append(
            call_item(
                identifier,
                call.id,
                names.restore(call.name),
                call.kind,
                call.arguments,
                "completed" if whole else "incomplete",
            )
        )
    return frame.render(
        "completed" if complete else "incomplete",
        [encode(item) for item in items],
        model=result.started.model,
        usage=result.usage,
        reason=choice.finish_reason,
    )
