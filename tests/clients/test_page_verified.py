"""The score cards of upstreams on the page's status view."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Browser, expect

from gptoss_api.config import Settings
from gptoss_api.core.servers import DEMO
from gptoss_api.gateway.verifying import keep
from gptoss_api.verification.card import Run, Sample, Subject, make_card
from tests.conftest import RunningGateway, running_gateway

from .browser import visit
from .test_page import browser

__all__ = ["browser"]


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway at a store with the results of two upstreams."""
    home = tmp_path_factory.mktemp("home")
    state = f"sqlite://{home}/state.db"
    verdicts = {"office": {"tool_arguments": ""}, "site": {"complete": ""}}
    for name, raw in verdicts.items():
        subject = Subject(name, "vllm", "http://127.0.0.1:9/v1", "gpt-oss-120b")
        samples = [
            Sample("tools.weather", number, raw=raw, gateway={"tool_arguments": "not_json" if number else ""})
            for number in range(2)
        ]
        run = Run(2, quick=True, planned=2, started=1_800_000_000.0, seconds=3.0, interrupted=name == "site")
        card = make_card(subject, run, samples, {"tool_arguments": "emulated"})
        # The browser's driver has a loop in this thread.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, keep(card, Settings(state=state))).result()
    with running_gateway(home, GPTOSS_UPSTREAM=DEMO, GPTOSS_STATE=state) as gateway:
        yield gateway


def test_the_score_cards_stand_side_by_side(browser: Browser, verified: RunningGateway) -> None:
    with visit(browser, verified.base_url) as visiting:
        visiting.open("/ui#status")
        table = visiting.page.get_by_role("region", name="Score cards, table").get_by_role("table")
        expect(table.get_by_role("columnheader")).to_have_count(2)
        row = table.get_by_role("row").filter(has_text="Tool calls parse and fit")
        # Of the site only what the gateway emulates is known, and marked as that.
        assert row.get_by_role("cell").all_inner_texts() == ["100%", "50%*"]
        expect(table.get_by_role("row").filter(has_text="Measured")).to_contain_text("not to its end")
        for width in (1_200, 360):
            visiting.page.set_viewport_size({"width": width, "height": 800})
            assert visiting.faults() == []
