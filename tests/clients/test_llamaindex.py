"""LlamaIndex' ``OpenAILike`` as it comes: it asks for text completions."""

import pytest
from llama_index.llms.openai_like import OpenAILike

from tests.conftest import Site
from tests.simulator import Answer

from .travel import MODEL


@pytest.fixture
def model(site: Site) -> OpenAILike:
    return OpenAILike(model=MODEL, api_base=f"{site.gateway.base_url}/v1", api_key="none")


def test_it_completes_more_than_sixteen_tokens(site: Site, model: OpenAILike) -> None:
    text = "one two three four five six seven eight nine ten " * 5
    site.simulator.always(Answer(text))
    assert str(model.complete("Count")) == text
    assert site.simulator.last.text == "Count"
    assert "".join(piece.delta for piece in model.stream_complete("Count")) == text
