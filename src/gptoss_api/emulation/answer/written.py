"""Whether an answer reached its client as the model wrote it."""

from ...core.turn import AssistantMessage
from ..prompt.render import Prompt
from ..prompt.typescript import compact


def is_as_written(raw: str, answer: AssistantMessage, prompt: Prompt) -> bool:
    """Compares what the model wrote with what its client got: white space aside, calls in taught form.

    A thread in which more stands, or a call in another form, is better not continued: the model would
    go on from what the client does not know, or follow its own bad example.
    """
    expected = [answer.text]
    for call in answer.tool_calls:
        arguments = call.arguments if call.kind == "function" else compact({"input": call.arguments}) or ""
        expected.append(
            f'<tool_call key="{prompt.key}" name="{prompt.names.shown(call.name)}">{arguments}</tool_call>'
        )
    return _solid("".join(expected)) == _solid(raw)


def _solid(text: str) -> str:
    return "".join(text.split())
