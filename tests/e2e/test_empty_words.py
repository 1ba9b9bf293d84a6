"""A user who says nothing is answered, as at OpenAI."""

from typing import Any

import pytest

from tests.conftest import Site

from .chat import ask


@pytest.mark.parametrize("words", ["", " \n", [{"type": "text", "text": ""}]])
@pytest.mark.parametrize("before", [[], [{"role": "system", "content": "Be brief."}]])
def test_an_empty_message_is_answered(site: Site, words: Any, before: list[Any]) -> None:
    outcome = ask(site.gateway.base_url, [*before, {"role": "user", "content": words}], stream=False)
    assert (outcome.status, outcome.error) == (200, None)
    assert site.simulator.last.text


def test_nor_is_an_empty_message_refused_later(site: Site) -> None:
    hello: list[Any] = [{"role": "user", "content": "Hello"}]
    first = ask(site.gateway.base_url, hello, stream=False)
    told = [*hello, {"role": "assistant", "content": first.text}, {"role": "user", "content": ""}]
    assert ask(site.gateway.base_url, told, stream=False).error is None
