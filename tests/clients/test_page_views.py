"""The usage and status views in a real Chromium, after turns of all kinds."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import RunningGateway

from .browser import Visit, chromium, visit
from .test_page_access import everywhere
from .traffic import ADMIN, KEYS, busy_gateway

TURNS = 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with busy_gateway(tmp_path_factory.mktemp("home"), turns=TURNS) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def administering(browser: Browser, busy: RunningGateway) -> Iterator[Visit]:
    with visit(browser, busy.base_url, permissions=["clipboard-read", "clipboard-write"]) as visiting:
        enter(visiting, ADMIN, "usage")
        yield visiting


def enter(visiting: Visit, key: str, view: str) -> None:
    """Opens a view, and gives the key that it asks for."""
    page = visiting.page
    page.goto(f"{visiting.base_url}/ui#{view}")
    page.get_by_role("dialog").get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.wait_for_load_state("networkidle")


def asks(visiting: Visit, number: int) -> None:
    """The view tells of that many requests."""
    tile = visiting.page.locator(".tile", has_text="Requests")
    expect(tile.locator("dd").first).to_have_text(str(number))


def test_who_administers_sees_everybodys_usage(administering: Visit) -> None:
    page = administering.page
    page.goto(f"{administering.base_url}/ui#usage")
    text = page.locator("main")
    for told in ("gpu-box", "laptop", "gpt-oss-120b", "gpt-oss-20b", "invalid_request_error"):
        expect(text).to_contain_text(told)
    asks(administering, TURNS)
    everywhere(administering)


def test_another_key_sees_its_own_usage(browser: Browser, busy: RunningGateway) -> None:
    with visit(browser, busy.base_url) as visiting:
        enter(visiting, KEYS[1], "usage")
        expect(visiting.page.locator("main")).to_contain_text("gpt-oss-120b")
        asks(visiting, TURNS // 3)


def test_the_status_says_what_to_paste_into_which_client(administering: Visit) -> None:
    page = administering.page
    page.goto(f"{administering.base_url}/ui#status")
    expect(page.locator("main")).to_contain_text(f"{administering.base_url}/v1")
    for told in ("gpu-box", "laptop"):
        expect(page.locator("main")).to_contain_text(told)
    page.get_by_role("button", name="Copy").first.click()
    administering.until("async () => (await navigator.clipboard.readText()).startsWith('http')")
    assert page.evaluate("() => navigator.clipboard.readText()") == f"{administering.base_url}/v1"
    everywhere(administering)
