"""``POST /v1/completions``: a request may hold several prompts, each a turn of its own."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from ..core.events import Events
from ..dialects.completions import CompletionRequest, CompletionsDialect
from ..loop import beside
from .request import RequestRecord
from .series import open_series
from .turns import AnswerEndpoint, OpenTurn, Serving


class CompletionsEndpoint(AnswerEndpoint[CompletionRequest]):
    """Answers text completions, prompt after prompt."""

    def __init__(self, dialect: CompletionsDialect, open_turn: OpenTurn, serving: Serving) -> None:
        super().__init__(dialect.name, serving)
        self._dialect = dialect
        self._open_turn = open_turn

    async def read(self, body: bytes, record: RequestRecord) -> CompletionRequest:
        return await beside(record.weight, self._dialect.parse, body, record.headers)

    def open(
        self, request: CompletionRequest, record: RequestRecord
    ) -> AbstractAsyncContextManager[AsyncIterator[Events]]:
        turns = [record.own(turn) for turn in request.turns]
        return self._open_turn(turns[0]) if len(turns) == 1 else open_series(self._open_turn, turns)
