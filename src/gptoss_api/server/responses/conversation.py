"""What was said before a request: the chain of earlier responses and the items it refers to."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...core.errors import InvalidRequest, NotFound, PreviousResponseNotFound
from ...dialects.responses import Parsed, ResponseRequest, ResponsesDialect, response_of_item
from ...loop import beside
from ..request import RequestRecord
from .stored import RUNNING, StoredResponse, StoredResponses


async def read_with_history(
    dialect: ResponsesDialect, stored: StoredResponses, body: bytes, record: RequestRecord
) -> ResponseRequest:
    """The request in ``body`` with its conversation, as far as ``stored`` has it.

    Raises:
        InvalidRequest, NotFound: for what cannot be read or is not there.
    """
    asked = await beside(record.weight, dialect.read, body)
    request = partial(dialect.complete, asked, caller=record.caller)
    if asked.previous_response_id is not None:
        chain, history, size = await read_chain(stored, record.caller, asked.previous_response_id)
        record.size += size
        record.weight += size
        request = partial(request, history=history, chain=chain)
    if asked.references:
        request = partial(request, known=await read_references(stored, record.caller, asked))
    return await beside(record.weight, request)


async def read_chain(
    stored: StoredResponses, caller: str, previous_id: str
) -> tuple[tuple[str, ...], list[dict[str, Any]], int]:
    """The ids of the chain that ends with ``previous_id``, its items, oldest first, and their size in bytes.

    Raises:
        NotFound: where a link is missing; half a conversation would be answered as if it were whole.
        InvalidRequest: for a response that has no answer to continue from.
    """
    try:
        previous = await stored.get(caller, previous_id)
        before = await stored.get_all(caller, previous.chain)
    except NotFound as error:
        raise PreviousResponseNotFound(
            f"Previous response with id '{previous_id[:100]}' not found. {error.message}",
            param="previous_response_id",
        ) from None
    if previous.status in RUNNING or previous.status in ("failed", "cancelled"):
        raise InvalidRequest(
            f"The previous response '{previous_id}' is {previous.status.replace('_', ' ')}; only a response "
            "that has ended with an answer can be continued.",
            param="previous_response_id",
        )
    links = (*before, previous)
    size = sum(link.size for link in links)
    return (*previous.chain, previous_id), await beside(size, _items, links), size


def _items(links: Sequence[StoredResponse]) -> list[dict[str, Any]]:
    return [item for link in links for item in link.conversation()]


async def read_references(stored: StoredResponses, caller: str, asked: Parsed) -> dict[str, dict[str, Any]]:
    """The stored items that the input names, by id; unknown ones are left out."""
    wanted = {identifier: response_of_item(identifier) for identifier in asked.references}
    found: dict[str, dict[str, Any]] = {}
    for response_id in dict.fromkeys(filter(None, wanted.values())):
        try:
            record = await stored.get(caller, response_id)
        except NotFound:
            continue
        found |= await beside(record.size, _by_id, record, wanted)
    return found


def _by_id(record: StoredResponse, wanted: dict[str, str | None]) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in record.conversation() if item.get("id") in wanted}


def page(
    items: Sequence[dict[str, Any]], *, after: str | None, limit: int, newest_first: bool
) -> dict[str, Any]:
    """One page of a list of items (OpenAI's reference, "List input items").

    Raises:
        InvalidRequest: for an ``after`` that is not in the list.
    """
    ordered = list(reversed(items)) if newest_first else list(items)
    start = 0
    if after is not None:
        places = [index for index, item in enumerate(ordered) if item.get("id") == after]
        if not places:
            raise InvalidRequest(
                f"Invalid 'after': this response has no item '{after[:100]}'.", param="after"
            )
        start = places[0] + 1
    data = ordered[start : start + limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else "",
        "last_id": data[-1]["id"] if data else "",
        "has_more": len(ordered) > start + limit,
    }
