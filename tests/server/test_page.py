"""The page for people as it is served: what may run in it, how it is found, and how it is kept."""

import re
from collections.abc import Iterator
from importlib.resources import files

import pytest

from tests.conftest import RunningGateway, running_gateway
from tests.server.talking import CHAT, HELLO, ask

FOLDER = files("gptoss_api.web") / "ui"
NAMES = sorted(entry.name for entry in FOLDER.iterdir() if not entry.name.startswith("_"))
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/ui", *(f"/ui/{name}" for name in NAMES)])
def test_only_the_pages_own_files_run_in_it(demo: RunningGateway, path: str) -> None:
    reply = ask(demo, "GET", path)
    assert reply.status == 200
    policy = {
        words[0]: words[1:]
        for words in (part.split() for part in reply.headers["content-security-policy"].split(";"))
    }
    assert policy == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "connect-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"


def test_each_file_says_what_it_is(demo: RunningGateway) -> None:
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}
    for name in NAMES:
        told = ask(demo, "GET", f"/ui/{name}").headers["content-type"]
        assert told.split(";")[0] == kinds[name.rpartition(".")[2]], name


def test_nothing_in_it_is_written_where_the_policy_forbids_it_or_asked_from_elsewhere() -> None:
    for name in NAMES:
        text = (FOLDER / name).read_text(encoding="utf-8")
        text = text.replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://[a-z]", text), name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), name
        if name.endswith(".html"):
            assert not re.search(r"<style|\bstyle=|\bon[a-z]+=|<script(?![^>]*\bsrc=)", text), name


def test_what_is_kept_is_asked_after_and_not_sent_again(demo: RunningGateway) -> None:
    first = ask(demo, "GET", "/ui")
    assert first.headers["cache-control"] == "no-cache"
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = ask(demo, "GET", "/ui", None, {"if-none-match": known})
        assert (again.status, again.body) == (304, b""), known
        assert again.headers["etag"] == etag
    assert ask(demo, "GET", "/ui", None, {"if-none-match": '"other"'}).body == first.body
    assert ask(demo, "HEAD", "/ui").headers["content-length"] == str(len(first.body))


def test_a_browser_at_the_root_is_led_there_and_nobody_else(demo: RunningGateway) -> None:
    led = ask(demo, "GET", "/", None, {"accept": BROWSER})
    assert (led.status, led.headers["location"], led.body) == (303, "ui", b"")
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5", ""):
        state = ask(demo, "GET", "/", None, {"accept": accept} if accept else {})
        assert state.json()["name"] == "gptoss-api", accept
    ollama = ask(demo, "GET", "/", None, {"accept": "text/plain"})
    assert ollama.body == b"Ollama is running"


def test_a_slash_at_the_end_leads_to_the_same_files(demo: RunningGateway) -> None:
    assert ask(demo, "GET", "/ui/").body == ask(demo, "GET", "/ui").body
    led = ask(demo, "GET", "/ui/ui/app.js")
    assert (led.status, led.headers["location"]) == (303, "../app.js")


@pytest.mark.parametrize(
    "name", ["nothing.js", "__init__.py", "../openapi.json", "%2e%2e/docs.html", "ui/x.js"]
)
def test_it_has_no_other_files(demo: RunningGateway, name: str) -> None:
    assert ask(demo, "GET", f"/ui/{name}").status == 404


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("home")
    with running_gateway(home, GPTOSS_UPSTREAM="demo", GPTOSS_ALLOWED_HOSTS="gate.example") as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://gate.example:8000", 200),
        ("https://gate.example:8000", 200),
        ("http://gate.example:9000", 403),
        ("http://evil.example:8000", 403),
        ("null", 403),
    ],
)
def test_it_may_be_used_under_a_name_that_was_listed(
    listed: RunningGateway, origin: str, status: int
) -> None:
    headers = {"host": "gate.example:8000", "origin": origin}
    assert ask(listed, "POST", CHAT, HELLO, headers).status == status
