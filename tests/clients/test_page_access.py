"""The page for everybody: axe-core finds nothing on any view, light and dark, wide and narrow."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.backends.server import Backend, json_reply
from tests.backends.shapes import Answer
from tests.conftest import RunningGateway

from .browser import Visit, visit
from .test_page import CALL, TOOLS, backend, browser, gateway, play, settings

__all__ = ["backend", "browser", "gateway"]

RICH = """# A heading

Text with `code`, **weight**, *stress*, a [link](https://example.org) and \\(e^{i\\pi}\\).

1. One
2. Two
   - [x] done
   - [ ] to do

> A quotation

| Name | Value |
|:-----|------:|
| a    | 1     |

```python
def add(a: int, b: int = 2) -> int:  # a comment
    return a + b or "text"
```

$$
x = y
$$
"""


@pytest.fixture(scope="module")
def shown(browser: Browser, gateway: RunningGateway, backend: Backend) -> Iterator[Visit]:
    """A conversation in which everything has happened that is shown in some way of its own."""
    refusal = json_reply(400, {"error": {"message": "This cannot be answered."}})
    play(backend, Answer("Thinking about it.", RICH), CALL, Answer("", "It rains."), refusal)
    with visit(browser, gateway.base_url) as visiting:
        page = visiting.page
        visiting.open()
        settings(page, "Be brief.", str(TOOLS).replace("'", '"'))
        visiting.say("Everything, please")
        visiting.answered(1)
        visiting.say("And the weather?")
        page.get_by_label("Result of get_weather").fill("rain")
        page.get_by_role("button", name="Hand back").click()
        visiting.answered(3)
        visiting.say("And now?")
        expect(page.get_by_text("This cannot be answered.")).to_be_visible()
        for summary in page.locator("summary:visible").all():
            summary.click()
        yield visiting


def everywhere(visiting: Visit) -> None:
    """Fails for what is wrong with the page as it is now, in every theme and width."""
    page = visiting.page
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in (1200, 360):
            page.set_viewport_size({"width": width, "height": 800})
            assert visiting.faults() == [], (scheme, width)
            fits(page)
    page.set_viewport_size({"width": 1200, "height": 800})


def fits(page: Page) -> None:
    """Nothing is wider than the window but what scrolls in a place of its own."""
    wide = page.evaluate(
        "() => [document.documentElement.scrollWidth, innerWidth, main.scrollWidth, main.clientWidth]"
    )
    assert wide[0] <= wide[1]
    assert wide[2] <= wide[3]


def test_a_conversation_is_for_everybody(shown: Visit) -> None:
    everywhere(shown)


def test_dialogs_are_for_everybody(shown: Visit) -> None:
    for name in ("System prompt", "API key", "Export", "Delete"):
        shown.page.get_by_role("button", name=name).first.click()
        everywhere(shown)
        shown.page.keyboard.press("Escape")


def test_the_list_of_conversations_opens_on_narrow_screens(shown: Visit) -> None:
    page = shown.page
    page.set_viewport_size({"width": 360, "height": 800})
    listed = page.get_by_role("navigation", name="Conversations")
    expect(listed).to_be_hidden()
    page.get_by_role("button", name="Conversations").click()
    expect(listed).to_be_visible()
    assert shown.faults() == []
    page.keyboard.press("Escape")
    expect(listed).to_be_hidden()
    expect(page.get_by_role("button", name="Conversations")).to_be_focused()
    page.set_viewport_size({"width": 1200, "height": 800})


@pytest.mark.parametrize("view", ["chat", "usage", "status"])
def test_every_view_is_for_everybody(browser: Browser, gateway: RunningGateway, view: str) -> None:
    with visit(browser, gateway.base_url) as visiting:
        visiting.open(f"/ui#{view}")
        visiting.page.wait_for_load_state("networkidle")
        everywhere(visiting)
        assert visiting.page.locator("h1").count() == 1


def test_the_first_view_of_the_demo_is_for_everybody(browser: Browser, demo: RunningGateway) -> None:
    with visit(browser, demo.base_url) as visiting:
        visiting.open()
        expect(visiting.page.get_by_text("Demo: no model is behind these answers.")).to_be_visible()
        everywhere(visiting)


def test_who_wants_less_motion_gets_none(shown: Visit) -> None:
    page = shown.page
    page.emulate_media(reduced_motion="reduce")
    moving = page.evaluate(
        "() => document.getAnimations().filter(a => a.effect.getTiming().iterations === Infinity).length"
    )
    assert moving == 0
