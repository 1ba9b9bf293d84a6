"""Takes the pictures of the page in docs/images, before scripted servers and the demo.

Run it from the environment of ``make e2e``, on a machine with Chromium and the fonts Inter and JetBrains
Mono (in Debian ``fonts-inter`` and ``fonts-jetbrains-mono``); ``pngquant`` makes the pictures small:

    .venv-e2e/bin/python -m scripts.page_pictures
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page
from tests.backends.server import Backend, backend_thread
from tests.backends.shapes import Answer
from tests.clients.browser import Visit, chromium, visit
from tests.clients.test_page import before, play, settings
from tests.clients.test_page_views import enter
from tests.clients.traffic import ADMIN, busy_gateway
from tests.conftest import running_gateway

FOLDER = Path(__file__).parents[1] / "docs" / "images"
WIDE = {"width": 1200, "height": 780}
NARROW = {"width": 390, "height": 780}
TALL = {"width": 1200, "height": 1000}
# Turns that were just made are told as if they had been in the last week, more of them by day.
SPREAD = """
import random
import msgspec
from gptoss_api.server import app
made, chosen = app.account_of, random.Random(16)
def spread(record, dialect, **more):
    turn = made(record, dialect, **more)
    back = min(6.5, abs(chosen.gauss(2.5, 2)))
    return msgspec.structs.replace(turn, at=turn.at - back * 86400)
app.account_of = spread
"""

TOOL = {
    "name": "get_forecast",
    "description": "The weather of the next days in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
CALLS = Answer(
    "The user wants to know what to pack for Paris. The forecast decides that, and I have a tool for it. "
    "Three days should do.",
    "",
    (("get_forecast", '{"city": "Paris", "days": 3}'),),
    "tool_calls",
)
FORECAST = '[{"day": "Sat", "sky": "rain", "high": 11}, {"day": "Sun", "sky": "cloud", "high": 13}]'
ADVICE = """Pack for **rain and about 12 °C**:

| Day | Sky | Take |
|:----|:----|:-----|
| Saturday | rain | umbrella, waterproof shoes |
| Sunday | cloudy | a warm layer |

A light coat over a sweater does for both days.
"""
CODE = """Sort by start, then merge each interval into the last one if they touch. It takes `O(n log n)`.

```python
def merged(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1]:  # They overlap or touch.
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result
```

- An empty list stays empty.
- `(1, 3)` and `(3, 5)` become `(1, 5)`: ends are part of an interval.
"""
THOUGHT = "They want a function that merges overlapping intervals. Sort, then one pass."


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with chromium() as browser, tempfile.TemporaryDirectory() as home:
        with running_gateway(folder(home, "demo"), GPTOSS_UPSTREAM="demo") as demo:
            first_run(browser, demo.base_url)
        backend = Backend("vllm")
        with (
            backend_thread(backend),
            running_gateway(folder(home, "server"), None, **before(backend)) as gateway,
        ):
            chats(browser, gateway.base_url, backend)
        with busy_gateway(folder(home, "busy"), before=SPREAD, turns=1000) as busy:
            views(browser, busy.base_url)


def folder(home: str, name: str) -> Path:
    path = Path(home, name)
    path.mkdir()
    return path


def first_run(browser: Browser, base_url: str) -> None:
    with visit(browser, base_url) as visiting:
        visiting.page.set_viewport_size(WIDE)
        visiting.open()
        visiting.page.locator(".notice").wait_for()
        visiting.page.locator(".idea").first.wait_for()
        # As it is said after `make run`; here it names a folder of this machine.
        visiting.page.locator(".notice .detail").evaluate(
            """(told, command) => {
                told.querySelector("code").textContent = command;
                told.lastChild.nodeName === "#text" && told.lastChild.remove();
            }""",
            ".venv/bin/gptoss-api login",
        )
        take(visiting.page, "page-first-run")


def chats(browser: Browser, base_url: str, backend: Backend) -> None:
    with visit(browser, base_url, device_scale_factor=1) as visiting:
        page = visiting.page
        page.set_viewport_size(WIDE)
        visiting.open()
        play(backend, Answer(THOUGHT, CODE))
        visiting.say("Write a Python function that merges overlapping intervals.")
        visiting.answered()
        page.emulate_media(color_scheme="dark")
        page.locator(".thread").evaluate("thread => thread.scrollTop = 0")
        take(page, "page-dark")
        page.emulate_media(color_scheme="light")
        page.get_by_role("button", name="New chat").click()
        tool(visiting, backend)
        page.locator(".thinking summary").first.click()
        page.get_by_role("textbox", name="Message").focus()
        page.set_viewport_size({"width": 1200, "height": 960})
        page.locator(".thread").evaluate("thread => thread.scrollTop = 0")
        take(page, "page-tool")
        page.set_viewport_size(NARROW)
        page.locator(".thread").evaluate("thread => thread.scrollTop = thread.scrollHeight")
        take(page, "page-narrow")


def tool(visiting: Visit, backend: Backend) -> None:
    page = visiting.page
    play(backend, CALLS, Answer("", ADVICE))
    page.get_by_label("Effort").select_option("high")
    settings(page, tools=json.dumps([TOOL]))
    visiting.say("What should I pack for a weekend in Paris?")
    page.get_by_label("Result of get_forecast").fill(FORECAST)
    page.get_by_role("button", name="Hand back").click()
    visiting.answered(2)
    page.locator(".about summary").last.blur()


def views(browser: Browser, base_url: str) -> None:
    with visit(browser, base_url) as visiting:
        page = visiting.page
        page.set_viewport_size(TALL)
        enter(visiting, ADMIN, "usage")
        page.locator(".tile").first.wait_for()
        take(page, "page-usage")
        page.set_viewport_size({"width": 1200, "height": 825})
        page.goto(f"{base_url}/ui#status")
        page.locator("main .card").nth(2).wait_for()
        take(page, "page-status")


def take(page: Page, name: str) -> None:
    file = FOLDER / f"{name}.png"
    page.evaluate("() => document.fonts.ready")
    page.wait_for_timeout(250)
    page.screenshot(path=file, animations="disabled", caret="hide")
    if (pngquant := shutil.which("pngquant")) is not None:
        subprocess.run([pngquant, "--force", "--strip", "--output", file, "96", file], check=True)  # noqa: S603
    print(f"{file.name}: {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
