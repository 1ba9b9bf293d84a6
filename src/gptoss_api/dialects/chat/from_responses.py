"""A body of the Responses API at the chat endpoint (docs/design/clients.md, "Cursor")."""

from msgspec.structs import replace

from ...core.catalog import ModelAliases
from ...core.errors import MissingParameter, UnsupportedParameter
from ...core.turn import InstructionMessage
from ..fields import Fields
from ..parameters import read_include_usage
from ..responses.items import ItemReader
from ..responses.parse import read_request
from .parse import Parsed


def looks_like_responses(body: Fields) -> bool:
    return "messages" not in body.members and "input" in body.members


def read_responses_body(body: Fields, aliases: ModelAliases) -> Parsed:
    """The turn it asks for; the answer is a chat completion, which is what such a client reads.

    Raises:
        InvalidRequest: naming the first parameter that is wrong, by its name in the Responses API.
    """
    asked = read_request(body, aliases=aliases)
    if asked.previous_response_id is not None:
        raise UnsupportedParameter(
            "Unsupported parameter: 'previous_response_id'. Chat completions are not continued; post to "
            "/v1/responses or send the whole conversation.",
            param="previous_response_id",
        )
    reader = ItemReader(asked.toolbox.names, unseal=lambda _: None)
    reader.feed(asked.items)
    messages = reader.messages()
    if asked.instructions:
        messages = (InstructionMessage(asked.instructions), *messages)
    if not messages:
        raise MissingParameter(
            "Invalid 'input': there is nothing to answer. Send 'messages'.", param="messages"
        )
    turn = replace(
        asked.turn,
        messages=messages,
        ignored=(*asked.turn.ignored, *reader.ignored),
    )
    return Parsed(turn, asked.stream, read_include_usage(body, asked.stream), legacy_functions=False)
