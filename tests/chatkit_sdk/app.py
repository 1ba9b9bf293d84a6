"""A ChatKit server on the official SDK, on a real socket: ``python -m tests.chatkit_sdk.app --port N``.

It runs with any version of the SDK and imports nothing of this project, so that an interpreter which
has only the SDK can run it. What the user writes chooses what happens: ``raise`` an exception,
``refuse`` with a message, show a ``card`` that asks for a login; everything else is repeated, after a
thought, together with the number of the user's messages so far.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import uvicorn
from chatkit.errors import CustomStreamError
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.store import NotFoundError, Store
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    Attachment,
    DurationSummary,
    Page,
    ThoughtTask,
    ThreadItem,
    ThreadItemAddedEvent,
    ThreadItemDoneEvent,
    ThreadItemUpdated,
    ThreadMetadata,
    ThreadStreamEvent,
    UserMessageItem,
    WidgetItem,
    Workflow,
    WorkflowItem,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)
from chatkit.widgets import Card
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Context = dict[str, Any]


class MemoryStore(Store[Context]):
    """Threads and items in two dictionaries; attachments are not kept."""

    def __init__(self) -> None:
        self.threads: dict[str, ThreadMetadata] = {}
        self.items: dict[str, dict[str, ThreadItem]] = {}

    async def load_thread(self, thread_id: str, context: Context) -> ThreadMetadata:
        if thread_id not in self.threads:
            raise NotFoundError(thread_id)
        return self.threads[thread_id].model_copy(deep=True)

    async def save_thread(self, thread: ThreadMetadata, context: Context) -> None:
        self.threads[thread.id] = thread.model_copy(deep=True)

    async def load_threads(
        self, limit: int, after: str | None, order: str, context: Context
    ) -> Page[ThreadMetadata]:
        return Page(data=list(self.threads.values())[:limit])

    async def delete_thread(self, thread_id: str, context: Context) -> None:
        self.threads.pop(thread_id, None)
        self.items.pop(thread_id, None)

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: Context
    ) -> Page[ThreadItem]:
        return Page(data=list(self.items.get(thread_id, {}).values())[:limit])

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        self.items.setdefault(thread_id, {})[item.id] = item

    async def save_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        await self.add_thread_item(thread_id, item, context)

    async def load_item(self, thread_id: str, item_id: str, context: Context) -> ThreadItem:
        return self.items[thread_id][item_id]

    async def delete_thread_item(self, thread_id: str, item_id: str, context: Context) -> None:
        self.items.get(thread_id, {}).pop(item_id, None)

    async def save_attachment(self, attachment: Attachment, context: Context) -> None:
        raise NotFoundError("attachments are not kept")

    async def load_attachment(self, attachment_id: str, context: Context) -> Attachment:
        raise NotFoundError(attachment_id)

    async def delete_attachment(self, attachment_id: str, context: Context) -> None:
        raise NotFoundError(attachment_id)


class Echo(ChatKitServer[Context]):
    """Answers with what was said; see the module's docstring."""

    async def respond(
        self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: Context
    ) -> AsyncIterator[ThreadStreamEvent]:
        text = "".join(part.text for part in input_user_message.content) if input_user_message else ""
        if text == "raise":
            raise RuntimeError("the app has a bug")
        if text == "refuse":
            raise CustomStreamError("You hit a limit of the app", allow_retry=False)
        if text == "card":
            yield ThreadItemDoneEvent(item=self.sign_in(thread))
            return
        async for event in self.think(thread, ("The user wrote something. ", "I will repeat it.")):
            yield event
        items = await self.store.load_thread_items(thread.id, None, 1000, "asc", context)
        count = sum(item.type == "user_message" for item in items.data)
        async for event in self.say(thread, [f"Message {count}: ", *text.splitlines(keepends=True)]):
            yield event
            if (
                text == "raise late"
                and isinstance(event, ThreadItemUpdated)
                and event.update.type.endswith("delta")
            ):
                # With nothing delivered yet, the turn would be tried again.
                await asyncio.sleep(0.2)
                raise RuntimeError("the app has a bug after its first word")
        thread.title = "Echo"

    def sign_in(self, thread: ThreadMetadata) -> WidgetItem:
        children = [
            {"type": "Title", "value": "Sign in to continue"},
            {"type": "Text", "value": "Sign in with Hugging Face to start chatting with gpt-oss"},
        ]
        return WidgetItem(
            id=self.store.generate_item_id("message", thread, {}),
            thread_id=thread.id,
            created_at=datetime.now(),
            widget=Card.model_validate({"type": "Card", "children": children}),
        )

    async def think(
        self, thread: ThreadMetadata, pieces: tuple[str, ...]
    ) -> AsyncIterator[ThreadStreamEvent]:
        item_id = self.store.generate_item_id("workflow", thread, {})
        item = WorkflowItem(
            id=item_id,
            thread_id=thread.id,
            created_at=datetime.now(),
            workflow=Workflow(type="reasoning", tasks=[]),
        )
        yield ThreadItemAddedEvent(item=item)
        content = ""
        for piece in pieces:
            content += piece
            task = ThoughtTask(content=content)
            kind = WorkflowTaskAdded if content == piece else WorkflowTaskUpdated
            yield ThreadItemUpdated(item_id=item_id, update=kind(task_index=0, task=task))
        workflow = Workflow(
            type="reasoning", tasks=[ThoughtTask(content=content)], summary=DurationSummary(duration=2)
        )
        yield ThreadItemDoneEvent(item=item.model_copy(update={"workflow": workflow}))

    async def say(self, thread: ThreadMetadata, pieces: list[str]) -> AsyncIterator[ThreadStreamEvent]:
        item_id = self.store.generate_item_id("message", thread, {})
        item = AssistantMessageItem(id=item_id, thread_id=thread.id, created_at=datetime.now(), content=[])
        yield ThreadItemAddedEvent(item=item)
        part = AssistantMessageContent(text="", annotations=[])
        yield ThreadItemUpdated(
            item_id=item_id, update=AssistantMessageContentPartAdded(content_index=0, content=part)
        )
        for piece in pieces:
            await asyncio.sleep(0)
            yield ThreadItemUpdated(
                item_id=item_id, update=AssistantMessageContentPartTextDelta(content_index=0, delta=piece)
            )
        whole = AssistantMessageContent(text="".join(pieces), annotations=[])
        yield ThreadItemUpdated(
            item_id=item_id, update=AssistantMessageContentPartDone(content_index=0, content=whole)
        )
        yield ThreadItemDoneEvent(item=item.model_copy(update={"content": [whole]}))


server = Echo(MemoryStore())


async def chatkit(request: Request) -> Response:
    try:
        result = await server.process(await request.body(), {})
    except ValidationError as error:
        return JSONResponse({"detail": f"{error.error_count()} errors in the request"}, 422)
    if isinstance(result, StreamingResult):
        return StreamingResponse(result, media_type="text/event-stream")
    return Response(result.json, media_type="application/json")


app = Starlette(routes=[Route("/chatkit", chatkit, methods=["POST"])])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chatkit_sdk.app", description=__doc__)
    parser.add_argument("--port", type=int, default=9200)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning")


if __name__ == "__main__":
    main()
