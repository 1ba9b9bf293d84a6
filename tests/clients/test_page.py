"""The page at /ui in a real Chromium: what a person can do there, and what cannot be done to them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.backends.server import Backend, backend_thread, json_reply
from tests.backends.shapes import Answer
from tests.conftest import RunningGateway, Site, running_gateway
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import sse

from .browser import Visit, chromium, visit

KEY = "a-long-key-of-this-house-0123456789"
TOOLS = [
    {
        "name": "get_weather",
        "description": "The weather in a city now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]
THOUGHT = "The user greets me. I greet back."
CALL = Answer(
    "They want the weather, and I have a tool.", "", (("get_weather", '{"city": "Paris"}'),), "tool_calls"
)
HOSTILE = """Look:

<script>window.hit = "script"</script>

<img src="x" onerror="window.hit = 'handler'"> [here](javascript:window.hit='link')
![there](https://elsewhere.example/pixel.png) <https://elsewhere.example>

| <b onclick="window.hit = 1">cell</b> | `<i>` |
|---|---|
| [data](data:text/html,<script>window.hit=2</script>) | x |
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    backend = Backend("vllm")
    with backend_thread(backend):
        yield backend


@pytest.fixture(scope="module")
def gateway(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("home"), None, **before(backend)) as running:
        yield running


@pytest.fixture(scope="module")
def keyed(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("home")
    with running_gateway(home, None, GPTOSS_API_KEYS=KEY, **before(backend)) as running:
        yield running


def before(backend: Backend) -> dict[str, str]:
    servers = [{"name": "box", "kind": backend.kind, "url": backend.address}]
    return {"GPTOSS_UPSTREAM": "box", "GPTOSS_UPSTREAMS": json.dumps(servers)}


@pytest.fixture
def visiting(browser: Browser, gateway: RunningGateway, backend: Backend) -> Iterator[Visit]:
    """The page, opened; the server says hello until it is told something else."""
    play(backend, Answer(THOUGHT, "Hello **there**."))
    with visit(browser, gateway.base_url) as visiting:
        visiting.open()
        yield visiting


def play(backend: Backend, *answers: Answer | Reply) -> None:
    """What the server answers, one after the other, and the last one from then on."""
    left = list(answers)
    backend.asked.clear()

    def reply(asked: Any) -> Reply:
        answer = left.pop(0) if len(left) > 1 else left[0]
        return answer if isinstance(answer, Reply) else Reply([sse(*backend.shape.events(answer))])

    backend.reply = reply


def held(backend: Backend, text: str) -> Reply:
    """An answer that stops in the middle until the client leaves."""
    events = list(backend.shape.events(Answer("", text)))
    return Reply([sse(*events[:-3]), 60.0])


def settings(page: Page, system: str = "", tools: str = "") -> None:
    page.get_by_role("button", name="System prompt").click()
    page.get_by_label("System prompt", exact=True).fill(system)
    page.get_by_label("Tools, as JSON").fill(tools)
    page.get_by_role("button", name="Use these").click()


def test_a_chat_shows_the_answer_with_its_thinking_folded(visiting: Visit, backend: Backend) -> None:
    page = visiting.page
    assert page.url == f"{visiting.base_url}/ui#chat"
    settings(page, system="Be brief.")
    page.get_by_label("Model").select_option("gpt-oss-20b")
    page.get_by_label("Effort").select_option("high")
    visiting.say("Hello")
    visiting.answered()
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    answer = page.get_by_role("article", name="Answer")
    assert answer.locator(".md strong").inner_text() == "there"
    thoughts = answer.locator(".thoughts")
    expect(thoughts).to_be_hidden()
    answer.locator(".thinking summary").click()
    expect(thoughts).to_have_text(THOUGHT)
    assert "gpt-oss-20b" in answer.locator(".who").inner_text()
    answer.get_by_text("12 tokens").click()
    expect(answer.locator("dl")).to_contain_text("box")
    (asked,) = backend.asked
    assert asked.body["reasoning_effort"] == "high"
    assert [message["role"] for message in asked.body["messages"]] == ["system", "user"]
    assert page.locator("#announcer p").all_text_contents() == [
        "Thinking",
        "Hello there.",
        "Answer complete, 12 tokens.",
    ]


def test_a_tool_that_is_called_is_shown_and_answered_by_hand(visiting: Visit, backend: Backend) -> None:
    page = visiting.page
    play(backend, CALL, Answer("", "It rains in Paris."))
    settings(page, tools=json.dumps(TOOLS))
    visiting.say("What is the weather in Paris?")
    call = page.get_by_role("region", name="Call of get_weather")
    expect(call).to_contain_text('"city": "Paris"')
    result = page.get_by_label("Result of get_weather")
    expect(result).to_be_focused()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    result.fill('{"sky": "rain"}')
    result.press("Enter")
    visiting.answered(2)
    expect(page.get_by_role("article", name="Answer").last).to_contain_text("It rains in Paris.")
    first, second = (asked.body for asked in backend.asked)
    assert first["tools"][0]["function"] == TOOLS[0]
    called, told = second["messages"][-2:]
    assert called["tool_calls"][0]["function"]["name"] == "get_weather"
    assert CALL.reasoning in (called.get("reasoning"), called.get("reasoning_content"))
    assert (told["role"], told["content"]) == ("tool", '{"sky": "rain"}')


def test_tools_that_cannot_be_read_are_told_where_they_are_written(visiting: Visit) -> None:
    page = visiting.page
    settings(page, tools="{ not JSON")
    expect(page.get_by_role("alert")).to_contain_text("cannot be read")
    page.get_by_role("button", name="Insert an example").click()
    page.get_by_role("button", name="Use these").click()
    expect(page.get_by_role("button", name="1 tool")).to_be_visible()


def test_an_answer_is_stopped_and_asked_for_again(visiting: Visit, backend: Backend) -> None:
    page = visiting.page
    play(backend, held(backend, "Half an answer that goes on"), Answer("", "A whole one."))
    visiting.say("Tell me")
    expect(page.get_by_role("article", name="Answer")).to_contain_text("Half an")
    page.keyboard.press("Escape")
    visiting.answered()
    expect(page.get_by_role("article", name="Answer")).to_contain_text("You stopped this answer.")
    page.get_by_role("button", name="Ask again").click()
    expect(page.get_by_role("article", name="Answer")).to_contain_text("A whole one.")
    assert page.get_by_role("article", name="Answer").count() == 1
    assert len(backend.asked) == 2


def test_the_last_message_is_edited_and_sent_anew(visiting: Visit, backend: Backend) -> None:
    page = visiting.page
    for text in ("First", "Secnd"):
        visiting.say(text)
        visiting.answered(1 if text == "First" else 2)
    expect(page.get_by_role("button", name="Edit the message")).to_have_count(1)
    page.get_by_role("button", name="Edit the message").click()
    page.get_by_label("Edit the message").fill("Second")
    page.keyboard.press("Enter")
    visiting.answered(2)
    expect(page.get_by_role("article", name="You").last).to_contain_text("Second")
    said = [message["content"] for message in backend.asked[-1].body["messages"] if message["role"] == "user"]
    assert said == ["First", "Second"]


def test_conversations_are_kept_in_the_browser_and_can_be_renamed_exported_and_deleted(
    visiting: Visit, browser: Browser
) -> None:
    page = visiting.page
    visiting.say("Where do I find this again?")
    visiting.answered()
    page.reload()
    visiting.answered()
    expect(page.get_by_role("article", name="Answer").locator("strong")).to_have_text("there")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Title").fill("Found again")
    page.keyboard.press("Enter")
    listed = page.get_by_role("navigation", name="Conversations").get_by_role("link")
    expect(listed).to_have_text(["Found again"])
    for kind, text in (("md", "Hello **there**."), ("json", '"title": "Found again"')):
        page.get_by_role("button", name="Export").click()
        page.get_by_label("As", exact=True).select_option(kind)
        with page.expect_download() as download:
            page.get_by_role("dialog").get_by_role("button", name="Export").click()
        assert download.value.suggested_filename == f"Found-again.{kind}"
        assert text in Path(download.value.path()).read_text(encoding="utf-8")
    with visit(browser, visiting.base_url) as other:
        other.open()
        expect(other.page.get_by_text("No conversations yet.")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(listed).to_have_count(0)
    page.reload()
    expect(page.get_by_text("No conversations yet.")).to_be_visible()


def test_what_came_of_an_answer_is_kept_when_the_page_goes(visiting: Visit, backend: Backend) -> None:
    page = visiting.page
    play(backend, held(backend, "Half an answer that goes on"))
    visiting.say("Tell me")
    visiting.until(
        """async () => {
            const {list, load} = await import("/ui/conversations.js");
            const [{id}] = await list();
            return (await load(id)).messages[1].content !== "";
        }"""
    )
    page.reload()
    answer = page.get_by_role("article", name="Answer")
    expect(answer).to_contain_text("Half an")
    expect(answer).to_contain_text("The page was closed before this answer was complete.")
    expect(answer.get_by_role("button", name="Ask again")).to_be_visible()


def test_an_answer_goes_on_while_another_view_is_shown(visiting: Visit, backend: Backend) -> None:
    page = visiting.page
    events = list(backend.shape.events(Answer("", "Slowly it comes.")))
    play(backend, Reply([sse(*events[:-3]), 0.5, sse(*events[-3:])]))
    visiting.say("Take your time")
    expect(page.get_by_role("article", name="Answer")).to_contain_text("Slowly")
    page.get_by_role("link", name="Usage").click()
    expect(page.get_by_role("link", name="Usage")).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Chat", exact=True).click()
    visiting.answered()
    expect(page.get_by_role("article", name="Answer")).to_contain_text("Slowly it comes.")


def test_with_keys_it_asks_for_one_and_keeps_it_out_of_every_address(
    browser: Browser, keyed: RunningGateway, backend: Backend
) -> None:
    play(backend, Answer(THOUGHT, "Hello."))
    with visit(browser, keyed.base_url) as visiting:
        page = visiting.page
        visiting.open()
        dialog = page.get_by_role("dialog", name="API key")
        dialog.get_by_label("Key", exact=True).fill("a-wrong-key")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("Incorrect API key")
        dialog.get_by_label("Key", exact=True).fill(KEY)
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        visiting.say("Hello")
        visiting.answered()
        expect(page.get_by_role("article", name="Answer")).to_contain_text("Hello.")
        assert all(KEY not in request.url for request in visiting.requests)
        assert any(request.headers.get("authorization") == f"Bearer {KEY}" for request in visiting.requests)
        assert page.evaluate("() => [sessionStorage.length, 'gptoss.key' in localStorage]") == [1, False]
        page.reload()
        visiting.answered()
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_failure_says_what_to_do_and_counts_down_until_it_may_be_tried_again(
    visiting: Visit, backend: Backend
) -> None:
    page = visiting.page
    page.clock.install()
    refusal = json_reply(429, {"error": {"message": "Slow down, please."}}, ("retry-after", "40"))
    play(backend, refusal, refusal, Answer("", "Now it goes."))
    visiting.say("Hello")
    problem = page.get_by_role("article", name="Answer").get_by_role("alert")
    expect(problem).to_contain_text("Slow down, please.")
    expect(problem).to_contain_text("upstream_rate_limited")
    retry = page.get_by_role("button", name="Try again")
    expect(retry).to_be_disabled()
    expect(problem).to_contain_text("asks to wait")
    page.clock.fast_forward(90_000)
    expect(retry).to_be_enabled()


def test_an_answer_that_breaks_off_is_no_whole_one(visiting: Visit, backend: Backend) -> None:
    events = list(backend.shape.events(Answer("", "Half an answer")))
    play(backend, Reply([sse(*events[:-3]), "abort"]))
    visiting.say("Hello")
    visiting.answered()
    answer = visiting.page.get_by_role("article", name="Answer")
    expect(answer).to_contain_text("Half an")
    expect(answer.get_by_role("alert")).to_be_visible()
    expect(answer.get_by_role("button", name="Try again")).to_be_visible()


def test_nothing_in_an_answer_runs_or_is_fetched(visiting: Visit, backend: Backend) -> None:
    page = visiting.page
    play(backend, Answer("<b>Hm</b>", HOSTILE))
    visiting.say("<i>Hello</i>")
    visiting.answered()
    answer = page.get_by_role("article", name="Answer")
    expect(answer).to_contain_text('<script>window.hit = "script"</script>')
    expect(answer).to_contain_text("onerror=")
    assert answer.locator("script, img, b, i, [onclick], [onerror]").count() == 0
    addresses = answer.locator("a").evaluate_all("links => links.map(link => [link.href, link.rel])")
    assert {address for address, _ in addresses} == {
        "https://elsewhere.example/",
        "https://elsewhere.example/pixel.png",
    }
    assert all("noopener" in rel for _, rel in addresses)
    answer.get_by_text("here", exact=True).click()
    assert page.evaluate("() => window.hit") is None


def test_the_policy_refuses_a_script_that_got_into_an_answer_all_the_same(visiting: Visit) -> None:
    page = visiting.page
    visiting.say("Hello")
    visiting.answered()
    refused = page.evaluate(
        """async () => {
            const refused = [];
            addEventListener("securitypolicyviolation", event => refused.push(event.effectiveDirective));
            const answer = document.querySelector(".md");
            const script = document.createElement("script");
            script.textContent = "window.hit = 'script'";
            const holder = document.createElement("div");
            holder.innerHTML = "<button onclick=\\"window.hit = 'handler'\\" style='color: red'>x</button>";
            answer.append(script, holder);
            holder.firstChild.click();
            await fetch("https://elsewhere.example/").catch(() => {});
            await new Promise(resolve => setTimeout(resolve, 50));
            return refused;
        }"""
    )
    assert page.evaluate("() => window.hit") is None
    assert {"script-src-elem", "script-src-attr", "style-src-attr", "connect-src"} <= set(refused)
    assert len(visiting.complaints) >= 4
    visiting.complaints.clear()


def test_what_the_gateway_did_is_said_beside_the_answer(browser: Browser, site: Site) -> None:
    site.simulator.always("s01_happy_path")
    with visit(browser, site.gateway.base_url) as visiting:
        visiting.open()
        settings(visiting.page, system="Be brief.")
        visiting.say("Hello")
        visiting.answered()
        expect(visiting.page.locator(".who")).to_contain_text("Emulated: instructions")


@pytest.mark.parametrize("path", ["/ui/", "/under/a/prefix/ui"])
def test_it_works_wherever_a_proxy_puts_it(
    browser: Browser, gateway: RunningGateway, backend: Backend, path: str
) -> None:
    play(backend, Answer("", "Hello."))

    def strip(route: Route) -> None:
        response = route.fetch(url=route.request.url.replace("/under/a/prefix", ""))
        route.fulfill(response=response)

    with visit(browser, gateway.base_url) as visiting:
        visiting.page.route("**/under/a/prefix/**", strip)
        visiting.page.goto(gateway.base_url + path)
        visiting.say("Hello")
        visiting.answered()
        expect(visiting.page.get_by_role("article", name="Answer")).to_contain_text("Hello.")
        prefix = path.partition("/ui")[0]
        asked = {urlsplit(request.url).path.removeprefix(prefix) for request in visiting.requests}
        assert {"/v1/models", "/v1/chat/completions"} <= asked
        assert all(urlsplit(request.url).path.startswith(prefix) for request in visiting.requests)


def test_the_demo_is_loudly_labelled(browser: Browser, demo: RunningGateway) -> None:
    with visit(browser, demo.base_url) as visiting:
        page = visiting.page
        visiting.open()
        expect(page.get_by_text("Demo: no model is behind these answers.")).to_be_visible()
        page.get_by_role("button", name="Use a tool").click()
        page.keyboard.press("Enter")
        expect(page.get_by_label("Result of get_weather")).to_be_focused()
        page.keyboard.type("rain")
        page.keyboard.press("Enter")
        visiting.answered(2)
        assert page.locator(".who .badge", has_text="Demo").count() == 2


def test_what_the_demo_says_above_all_is_folded_for_the_session_but_never_gone(
    browser: Browser, demo: RunningGateway
) -> None:
    with visit(browser, demo.base_url) as visiting:
        page = visiting.page
        visiting.open()
        loud, detail = page.get_by_text("Demo: no model is behind these answers."), page.locator(".detail")
        expect(detail).to_contain_text("login")
        page.get_by_role("button", name="Fold", exact=True).click()
        expect(detail).to_be_hidden()
        page.reload()
        expect(loud).to_be_visible()
        expect(detail).to_be_hidden()
        page.get_by_role("button", name="How to connect a model", exact=True).click()
        expect(detail).to_be_visible()
    with visit(browser, demo.base_url) as visiting:
        visiting.page.set_viewport_size({"width": 360, "height": 800})
        visiting.open()
        notice = visiting.page.locator(".notice")
        expect(notice).to_be_visible()
        assert notice.evaluate("notice => notice.offsetHeight") <= 40


def test_the_demo_suggests_what_it_can_show(browser: Browser, demo: RunningGateway) -> None:
    with visit(browser, demo.base_url) as visiting:
        page = visiting.page
        visiting.open()
        expect(page.locator(".idea", has_text="Write code")).to_have_count(0)
        page.get_by_role("button", name="See thoughts").click()
        page.keyboard.press("Enter")
        visiting.answered()
        expect(page.locator(".thinking summary")).to_be_visible()


@pytest.mark.parametrize(
    ("asked", "title"),
    [
        (
            "Write a **table** of *all* `**kwargs`, see [here](http://x.test/a)",
            "Write a table of all **kwargs, see here",
        ),
        ("## What is 2 * 3 * 4, and __init__?", "What is 2 * 3 * 4, and __init__?"),
        ("```python\nprint(1)\n```", "print(1)"),
    ],
)
def test_a_title_is_plain_text(browser: Browser, demo: RunningGateway, asked: str, title: str) -> None:
    with visit(browser, demo.base_url) as visiting:
        visiting.open()
        visiting.say(asked)
        visiting.answered()
        expect(visiting.page.get_by_role("heading", level=1)).to_have_text(title)


def test_everything_can_be_done_by_keyboard(visiting: Visit, backend: Backend) -> None:
    page = visiting.page
    message = page.get_by_role("textbox", name="Message")
    expect(message).to_be_focused()
    page.keyboard.type("One")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    visiting.answered()
    assert backend.asked[0].body["messages"][-1]["content"] == "One\ntwo"
    expect(message).to_be_focused()
    reached = []
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        name = page.evaluate(
            "() => document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
        )
        reached.append(name)
        if name == "Skip to the content":
            break
    for name in (
        *("Copy the answer", "Ask again", "Edit the message", "Delete", "Export", "Rename"),
        *("New chat", "Theme: as the system", "API key", "Status", "Usage", "Chat", "Skip to the content"),
    ):
        assert name in reached, (name, reached)
    message.focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_answer_and_the_code_in_it_are_copied(
    browser: Browser, gateway: RunningGateway, backend: Backend
) -> None:
    play(backend, Answer("", "Run:\n\n```sh\nls -l\n```\n"))
    with visit(browser, gateway.base_url, permissions=["clipboard-read", "clipboard-write"]) as visiting:
        page = visiting.page
        visiting.open()
        visiting.say("How?")
        visiting.answered()
        for button, text in (("Copy the code", "ls -l"), ("Copy the answer", "Run:\n\n```sh\nls -l\n```\n")):
            page.get_by_role("button", name=button).click()
            page.wait_for_function("() => announcer.lastElementChild?.textContent === 'Copied'")
            assert page.evaluate("() => navigator.clipboard.readText()") == text


def test_a_theme_is_chosen_and_kept(visiting: Visit) -> None:
    page = visiting.page
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.get_by_role("button", name="Theme: as the system").click()
    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Theme: light").click()
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == dark
