"""The numbers of the page's views in a real Chromium, after a thousand mixed turns, and whose they are."""

import json
import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Locator, Page, expect

from gptoss_api.cli import main
from tests.conftest import RunningGateway, running_gateway

from .browser import Visit, visit
from .mixed import elsewhere, keep, mixed_turns
from .test_page import browser
from .test_page_access import everywhere

__all__ = ["browser"]

ADMIN = "the-key-of-the-administrator-0123456789"
TURNS = 1_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One without keys that answered a thousand turns in the last thirty days."""
    home = tmp_path_factory.mktemp("home")
    state = f"sqlite://{home}/state.db"
    keep(state, mixed_turns(TURNS, time.time()))
    with running_gateway(home, GPTOSS_UPSTREAM="demo", GPTOSS_STATE=state) as running:
        yield running


class Keyed:
    """One with keys, of which two have shared a thousand turns."""

    def __init__(self, gateway: RunningGateway, keys: dict[str, Any]) -> None:
        self.gateway = gateway
        self.keys = keys


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    home = tmp_path_factory.mktemp("home")
    state = f"sqlite://{home}/state.db"
    keys = {}
    for name in ("anna", "ben"):
        arguments = ["keys", "create", name, "--rpm", "60", "--state", state, "--json"]
        keys[name] = json.loads(elsewhere(partial(CliRunner().invoke, main, arguments)).stdout)
    keep(state, mixed_turns(TURNS, time.time(), [key["id"] for key in keys.values()]))
    with running_gateway(home, GPTOSS_UPSTREAM="demo", GPTOSS_STATE=state, GPTOSS_ADMIN_KEY=ADMIN) as running:
        yield Keyed(running, keys)


@pytest.fixture
def visiting(browser: Browser, gateway: RunningGateway) -> Iterator[Visit]:
    with visit(browser, gateway.base_url, permissions=["clipboard-read", "clipboard-write"]) as visiting:
        yield visiting


def open_view(visiting: Visit, name: str) -> Page:
    visiting.open(f"/ui#{name}")
    loaded(visiting.page)
    return visiting.page


def loaded(page: Page) -> None:
    page.locator(".stack[aria-busy=false] .card").first.wait_for()


def choose(page: Page, text: str) -> None:
    page.get_by_role("radio", name=text, exact=True).check(force=True)
    loaded(page)


def give(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()
    loaded(page)


def tile(page: Page, name: str) -> Locator:
    return page.locator(".tile", has=page.get_by_text(name, exact=True)).locator(".value")


def sums(page: Page, table: str, column: int) -> int:
    cells = page.get_by_role("region", name=f"{table}, table", exact=True).locator(
        f"tbody td:nth-child({column})"
    )
    return sum(int(text.replace(",", "")) for text in cells.all_inner_texts())


def test_a_thousand_turns_add_up_wherever_they_are_shown(visiting: Visit) -> None:
    page = open_view(visiting, "usage")
    choose(page, "30 days")
    expect(tile(page, "Requests")).to_have_text("1,000")
    for by in ("By model", "By upstream", "By API"):
        assert sums(page, by, 2) == TURNS
    choose(page, "Requests")
    page.get_by_text("The same as a table").click()
    assert sums(page, "Requests over time", 2) + sums(page, "Requests over time", 3) == TURNS
    assert page.locator(".chart .column").count() == 31
    expect(page.get_by_role("heading", name="By key")).to_have_count(0)
    for name in ("First token", "Whole answer"):
        assert re.fullmatch(r"\d+ ms|\d+\.\d s", tile(page, name).inner_text())
    expect(page.locator(".bars code", has_text="upstream_empty")).to_be_visible()
    expect(page.locator(".bars code", has_text="tools")).to_be_visible()
    rows = page.get_by_role("region", name="Last requests, table").locator("tbody tr")
    expect(rows).to_have_count(200)
    expect(rows.first).to_contain_text(f"req_{TURNS - 1:024x}")


def test_what_the_pointer_is_at_is_said_in_words(visiting: Visit) -> None:
    page = open_view(visiting, "usage")
    page.locator(".chart .column").last.hover()
    expect(page.locator(".readout")).to_contain_text("gpt-oss-120b")


def test_times_are_chosen_by_the_keyboard(visiting: Visit) -> None:
    page = open_view(visiting, "usage")
    page.get_by_role("radio", name="7 days").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("radio", name="24 hours")).to_be_checked()
    expect(page.locator(".readout")).to_have_text("By the hour, in UTC")
    expect(page.locator("#announcer")).to_contain_text("24 hours")


def test_where_nothing_was_used_that_is_said(browser: Browser, tmp_path_factory: Any) -> None:
    with (
        running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM="demo") as gateway,
        visit(browser, gateway.base_url) as visiting,
    ):
        page = open_view(visiting, "usage")
        expect(page.get_by_role("heading", name="Nothing was used in this time")).to_be_visible()
        page.get_by_role("link", name="Ask something").click()
        expect(page.get_by_role("textbox", name="Message")).to_be_visible()


def test_a_key_sees_its_own_usage_and_an_administrator_that_of_all(browser: Browser, keyed: Keyed) -> None:
    with visit(browser, keyed.gateway.base_url) as visiting:
        visiting.open("/ui#usage")
        give(visiting.page, keyed.keys["ben"]["key"])
        page = visiting.page
        choose(page, "30 days")
        expect(page.locator(".page-head")).to_contain_text("Key ben")
        expect(page.get_by_role("heading", name="Limits of this key")).to_be_visible()
        expect(page.get_by_role("heading", name="By key")).to_have_count(0)
        own = sums(page, "By model", 2)
        assert 0 < own < TURNS
        page.goto(f"{keyed.gateway.base_url}/ui#status")
        expect(page.get_by_text("shown to administrators")).to_be_visible()
        expect(page.get_by_text("sqlite://")).to_have_count(0)
        expect(page.locator(".snippet pre").first).to_contain_text("YOUR_KEY")
    with visit(browser, keyed.gateway.base_url) as visiting:
        visiting.open("/ui#usage")
        give(visiting.page, ADMIN)
        page = visiting.page
        choose(page, "30 days")
        assert sums(page, "By key", 2) == TURNS
        (of_ben,) = [
            row.inner_text()
            for row in page.get_by_role("region", name="By key, table").locator("tbody tr").all()
            if "ben" in row.inner_text()
        ]
        assert str(own) in of_ben
        page.goto(f"{keyed.gateway.base_url}/ui#status")
        expect(page.get_by_text("2 created")).to_be_visible()


def test_what_is_to_be_pasted_has_the_address_that_the_browser_has_reached(visiting: Visit) -> None:
    page = open_view(visiting, "status")
    base = f"{visiting.base_url}/v1"
    page.get_by_role("button", name="Copy the address for OpenAI's API").click()
    assert page.evaluate("() => navigator.clipboard.readText()") == base
    for name, address in (
        ("curl", base),
        ("OpenAI SDK, Python", base),
        ("Codex", base),
        ("Claude Code", f"ANTHROPIC_BASE_URL={visiting.base_url}\n"),
        ("VS Code", f'"{visiting.base_url}"'),
        ("n8n", base),
    ):
        page.get_by_role("button", name=name, exact=True).click()
        page.locator(".client .snippet").first.get_by_role("button").click()
        expect(page.locator("#announcer")).to_contain_text("Copied")
        assert address in page.evaluate("() => navigator.clipboard.readText()")
    assert "127.0.0.1:8000" not in page.locator("main").inner_text()


def test_the_status_says_what_answers_and_when_nothing_does(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM="demo") as gateway,
        visit(browser, gateway.base_url) as visiting,
    ):
        page = open_view(visiting, "status")
        head = page.locator(".page-head")
        expect(head).to_contain_text("Ready")
        expect(head).to_contain_text("Demo")
        expect(page.get_by_role("region", name="Store", exact=True)).to_contain_text("sqlite://")
        gateway.stop()
        page.get_by_role("button", name="Load again").click()
        expect(head).to_contain_text("Not reachable")
        expect(page.get_by_role("alert")).to_contain_text("cannot be reached")


def test_the_card_of_a_lone_upstream_fills_its_row_and_says_how_to_connect(visiting: Visit) -> None:
    page = open_view(visiting, "status")
    card = page.locator("[aria-labelledby=upstream-demo]")
    wide = "card => card.offsetWidth / card.parentElement.offsetWidth"
    assert card.evaluate(wide) > 0.99
    card.get_by_role("button", name="Copy: ").click()
    assert page.evaluate("() => navigator.clipboard.readText()").endswith(" login")
    expect(page.locator(".notice .detail")).to_be_hidden()
    assert page.locator("dt", has_text="Models").count() == 1
    page.set_viewport_size({"width": 360, "height": 800})
    for code in page.locator(".snippet pre").all():
        assert code.evaluate("code => code.scrollWidth <= code.clientWidth")


def test_what_is_chosen_stands_out_from_its_track_in_the_dark(visiting: Visit) -> None:
    visiting.page.emulate_media(color_scheme="dark")
    page = open_view(visiting, "usage")
    lightness = """element => {
        const [red, green, blue] = getComputedStyle(element).backgroundColor.match(/[0-9.]+/g).map(Number);
        return red + green + blue;
    }"""
    track, chosen = page.locator(".choice").first, page.locator(".choice input:checked + span").first
    assert chosen.evaluate(lightness) > 1.5 * track.evaluate(lightness)


def test_a_request_that_no_upstream_answered_says_so(visiting: Visit) -> None:
    page = open_view(visiting, "usage")
    choose(page, "30 days")
    expect(page.get_by_text("(none)")).to_have_count(0)
    expect(page.get_by_role("region", name="By upstream, table")).to_contain_text("none asked")


def test_the_table_of_a_chart_and_what_a_key_may_are_for_everybody(browser: Browser, keyed: Keyed) -> None:
    with visit(browser, keyed.gateway.base_url) as visiting:
        visiting.open("/ui#usage")
        give(visiting.page, keyed.keys["anna"]["key"])
        choose(visiting.page, "30 days")
        visiting.page.get_by_text("The same as a table").click()
        everywhere(visiting)
