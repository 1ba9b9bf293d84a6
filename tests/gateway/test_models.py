"""Which models are listed, and that those which few servers have are asked of nobody else."""

from typing import Any

import pytest

from gptoss_api.core.errors import ModelNotFound
from gptoss_api.core.turn import Turn, UserMessage
from gptoss_api.gateway.models import list_models
from gptoss_api.upstreams.base import BOTH_MODELS, ServedModel
from gptoss_api.upstreams.demo import DemoUpstream
from tests.conftest import Site
from tests.e2e.chat import ask
from tests.pulled import opened

SAFEGUARD = "gpt-oss-safeguard-20b"


class Serving:
    """An upstream as far as its list is concerned."""

    name = "box"

    def __init__(self, *served: ServedModel) -> None:
        self._served = served

    async def models(self) -> tuple[ServedModel, ...]:
        return self._served


@pytest.mark.parametrize(
    ("upstreams", "ids"),
    [
        ([], []),
        ([Serving()], ["gpt-oss-120b", "gpt-oss-20b"]),
        ([Serving(*BOTH_MODELS)], ["gpt-oss-120b", "gpt-oss-20b"]),
        ([Serving(ServedModel(SAFEGUARD, SAFEGUARD))], [SAFEGUARD]),
        (
            [Serving(*BOTH_MODELS), Serving(ServedModel("openai/" + SAFEGUARD, SAFEGUARD))],
            ["gpt-oss-120b", "gpt-oss-20b", SAFEGUARD, "openai/" + SAFEGUARD],
        ),
    ],
)
async def test_safeguards_are_listed_where_an_upstream_lists_them(
    upstreams: list[Any], ids: list[str]
) -> None:
    assert [model.id for model in await list_models(upstreams)] == ids


async def test_the_demo_has_none() -> None:
    turn = Turn(SAFEGUARD, (UserMessage("Hi"),))
    with pytest.raises(ModelNotFound, match="it serves gpt-oss-120b and gpt-oss-20b"):
        async with opened(DemoUpstream(), turn) as batches:
            assert [batch async for batch in batches]


def test_the_website_is_not_asked_for_one(site: Site) -> None:
    outcome = ask(site.gateway.base_url, model=SAFEGUARD, stream=False)
    assert outcome.error is not None
    assert (outcome.status, outcome.error["code"]) == (404, "model_not_found")
    assert not site.simulator.requests
