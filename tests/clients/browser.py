"""The gateway's page in the Chromium of this system, as a person opens it."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

AXE = Path(__file__).parent / "node" / "node_modules" / "axe-core" / "axe.min.js"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# What a browser tells of an answer with a bad status, which many tests want.
_EXPECTED = "Failed to load resource"
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser itself; a test that finds none is skipped."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("needs chromium")
    # Its sandbox wants a user of its own.
    flags = ["--no-sandbox"] if os.name != "nt" and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


class Visit:
    """A fresh profile at the page of one gateway, and everything that it asked for."""

    def __init__(self, page: Page, base_url: str) -> None:
        self.page = page
        self.base_url = base_url
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        page.context.on("request", lambda request: self.requests.append(request))
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and _EXPECTED not in text:
            self.complaints.append(text)

    def open(self, path: str = "/") -> None:
        """Opens the page and waits until it can be used."""
        self.page.goto(self.base_url + path)
        self.page.wait_for_url("**/ui#*")
        self.page.locator("main section :is(h1, h2)").first.wait_for()

    def say(self, text: str) -> None:
        self.page.get_by_role("textbox", name="Message").fill(text)
        self.page.keyboard.press("Enter")

    def answered(self, count: int = 1) -> None:
        """Waits until that many answers are complete."""
        self.page.wait_for_function(
            "count => document.querySelectorAll('.message.assistant[aria-busy=false]').length === count",
            arg=count,
        )

    def until(self, script: str) -> None:
        """Waits until an asynchronous function says so; ``wait_for_function`` does not await those."""
        deadline = time.monotonic() + 10
        while not self.page.evaluate(script):
            assert time.monotonic() < deadline, script
            self.page.wait_for_timeout(50)

    def is_alone(self) -> None:
        """Nothing was asked of anybody else, and the browser refused or mourned nothing."""
        own = urlsplit(self.base_url).netloc
        for request in self.requests:
            url = urlsplit(request.url)
            assert url.scheme in ("data", "blob") or url.netloc == own, request.url
        assert self.complaints == []

    def faults(self) -> Sequence[str]:
        """What axe-core finds on the page as it is shown now."""
        if not self.page.evaluate("() => 'axe' in window"):
            # As a page's own script it would be refused; the browser's tools may put it there.
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: list[dict[str, Any]] = self.page.evaluate(
            "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}}).then(r => r.violations)",
            list(_RULES),
        )
        return [
            f"{fault['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
            for fault in found
            for node in fault["nodes"]
        ]


@contextmanager
def visit(browser: Browser, base_url: str, **options: Any) -> Iterator[Visit]:
    """A visit with options of Playwright's ``new_context``; that the page kept to itself is checked."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, **options)
    context.set_default_timeout(10_000)
    try:
        visiting = Visit(context.new_page(), base_url)
        yield visiting
        visiting.is_alone()
    finally:
        context.close()
