"""Clients in JavaScript: the official SDKs and Vercel's AI SDK, each test of tests/clients/node by name."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningGateway, Site
from tests.simulator import Answer, HttpReply, Stall
from tests.simulator.agent import Agent, Call
from tests.simulator.scenarios import TEXT

from .stage import Broken, Held, Refusal, Said, ServerStage, server_stage
from .travel import ADVISER, ADVISER_IN_JSON, PACKING

FOLDER = Path(__file__).parent / "node"
NODE = Path(sys.executable).with_name("node")

ECHO: tuple[Any, ...] = ()
PACKED = Answer(f"```json\n{PACKING.model_dump_json()}\n```")
LIMITED = HttpReply(429, '{"error":"Too many requests"}', headers=[("retry-after", "3")])
FORECASTS = Agent([[Call("get_forecast", {"city": city}) for city in ("Paris", "Rome", "Oslo")]], str)
FORECAST = Agent([[Call("get_forecast", {"city": "Paris"})]], str)

# The tests of each file, what the site answers (the last of it from then on) and how often it is asked.
OPENAI: dict[str, tuple[tuple[Any, ...], int]] = {
    "chat": (ECHO, 1),
    "stream": (ECHO, 1),
    "stream helper": (ECHO, 1),
    "leaving a stream": (("s22_slow_answer",), 1),
    "models": (ECHO, 0),
    "run tools": ((ADVISER,), 3),
    "run tools in a stream": ((ADVISER,), 3),
    "parse": ((PACKED,), 1),
    "AuthenticationError": (("s08_login_card",), 1),
    "NotFoundError": (ECHO, 0),
    "BadRequestError": (ECHO, 0),
    "PermissionDeniedError": (ECHO, 0),
    "RateLimitError": (("s17_json_429",), 1),
    "waiting out a limit": ((LIMITED, "s01_happy_path"), 2),
    "InternalServerError": (("s10_error_before_text",), 2),
    "APIConnectionTimeoutError": ((Answer(TEXT, at={"opened": [Stall()]}),), 1),
    "APIError in the middle of a stream": (("s10_error_after_text",), 1),
}
AI_SDK: dict[str, tuple[tuple[Any, ...], int]] = {
    "generateText": (ECHO, 1),
    "streamText": (ECHO, 1),
    "generateText with tools": ((ADVISER,), 3),
    "streamText with tools": ((ADVISER,), 3),
    "parallel calls in a stream": ((FORECASTS,), 1),
    "a tool that must be called": ((Answer("Rain, I would say."), FORECAST), 2),
    "generateObject by json_schema": ((PACKED,), 1),
    "generateObject by json_object": ((PACKED,), 1),
    "tools and an object by json_schema": ((ADVISER_IN_JSON,), 3),
    "tools and an object by json_object": ((ADVISER_IN_JSON,), 3),
    "a stream of an object": ((PACKED,), 1),
    "an error with its status": (("s08_login_card",), 1),
    "an error in the middle of a stream": (("s10_error_after_text",), 1),
}
AI_SDK_ON_THE_DEMO = ("the demo",)
RESPONSES: dict[str, tuple[tuple[Any, ...], int]] = {
    "the AI SDK with tools": ((ADVISER,), 3),
    "the AI SDK with tools in a stream": ((ADVISER,), 3),
    "an object of the AI SDK": ((PACKED,), 1),
    "the Agents SDK with tools": ((ADVISER,), 3),
    "the Agents SDK with tools in a stream": ((ADVISER,), 3),
}

ANTHROPIC: dict[str, tuple[tuple[Any, ...], int]] = {
    "message": (ECHO, 1),
    "stream helper": (ECHO, 1),
    "tool runner": ((ADVISER,), 3),
    "tools in a stream": ((FORECASTS,), 1),
    "parse": ((PACKED,), 1),
    "models": (ECHO, 0),
    "NotFoundError": (ECHO, 0),
    "generateText of the AI SDK": (ECHO, 1),
    "an object of the AI SDK": ((PACKED,), 1),
    "the AI SDK with tools in a stream": ((ADVISER,), 3),
}
# What a server answers. The gateway asks it once more after what may be over at once.
ANTHROPIC_OVER_A_SERVER: dict[str, tuple[Said, ...]] = {
    "the class of every refusal": (
        *(Refusal(status) for status in (400, 401, 402, 403, 413)),
        Refusal(429, retry_after=9),
        *(Refusal(status) for status in (500, 500, 503, 503, 504)),
    ),
    "no room, no answer in time, no connection": (Held("One at a time."),),
    "APIError in the middle of a stream": (Broken("Half an answer"),),
}


OLLAMA: dict[str, tuple[tuple[Any, ...], int]] = {
    "models": (ECHO, 0),
    "chat": (ECHO, 1),
    "stream": (ECHO, 1),
    "tools in a stream": ((ADVISER,), 3),
    "format": ((PACKED,), 1),
    "ResponseError": (ECHO, 0),
    "error in the middle of a stream": (("s10_error_after_text",), 1),
    "leaving a stream": (("s22_slow_answer",), 1),
}


@pytest.fixture(scope="module")
def narrow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerStage]:
    """One with room for a single turn, for which others wait a moment."""
    room = {"GPTOSS_MAX_CONCURRENCY": "1", "GPTOSS_QUEUE_TIMEOUT": "0.5"}
    with server_stage(tmp_path_factory.mktemp("home"), **room) as stage:
        yield stage


def play(site: Site, answers: tuple[Any, ...]) -> None:
    *first, last = answers or (None,)
    site.simulator.script(*first)
    if last is not None:
        site.simulator.always(last)


class Script:
    """A file of tests/clients/node in a process of its own, which runs the tests that it is told to."""

    def __init__(self, file: str, gateway_url: str) -> None:
        self._process = subprocess.Popen(
            [NODE, "run.js", f"./{file}"],
            cwd=FOLDER,
            env={"PATH": os.environ["PATH"], "GATEWAY_URL": gateway_url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.titles = self._said()

    def run(self, title: str) -> None:
        """Fails with what JavaScript says about it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{title}\n")
        self._process.stdin.flush()
        assert (failure := self._said()) is None, failure

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _said(self) -> Any:
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], 60)[0], "JavaScript says nothing"
        return json.loads(self._process.stdout.readline() or '"the process ended"')


class Scripts:
    """One process for each file and gateway: to load a file costs more than most of its tests."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], Script] = {}

    def of(self, file: str, gateway_url: str = "") -> Script:
        if (file, gateway_url) not in self._running:
            self._running[file, gateway_url] = Script(file, gateway_url)
        return self._running[file, gateway_url]

    def stop(self) -> None:
        for script in self._running.values():
            script.stop()


@pytest.fixture(scope="module")
def scripts() -> Iterator[Scripts]:
    running = Scripts()
    yield running
    running.stop()


@pytest.mark.parametrize("title", OPENAI)
def test_openai_sdk(scripts: Scripts, site: Site, title: str) -> None:
    answers, asked = OPENAI[title]
    play(site, answers)
    scripts.of("openai.js", site.gateway.base_url).run(title)
    assert len(site.simulator.requests) == asked
    if answers == ("s22_slow_answer",):
        site.simulator.wait_until(lambda: site.simulator.last.outcome == "abandoned")


@pytest.mark.parametrize("title", AI_SDK)
def test_ai_sdk(scripts: Scripts, site: Site, title: str) -> None:
    answers, asked = AI_SDK[title]
    play(site, answers)
    scripts.of("ai-sdk.js", site.gateway.base_url).run(title)
    assert len(site.simulator.requests) == asked


@pytest.mark.parametrize("title", RESPONSES)
def test_responses(scripts: Scripts, site: Site, title: str) -> None:
    answers, asked = RESPONSES[title]
    play(site, answers)
    scripts.of("responses.js", site.gateway.base_url).run(title)
    assert len(site.simulator.requests) == asked


@pytest.mark.parametrize("title", ANTHROPIC)
def test_anthropic(scripts: Scripts, site: Site, title: str) -> None:
    answers, asked = ANTHROPIC[title]
    play(site, answers)
    scripts.of("anthropic.js", site.gateway.base_url).run(title)
    assert len(site.simulator.requests) == asked


@pytest.mark.parametrize("title", OLLAMA)
def test_ollama(scripts: Scripts, site: Site, title: str) -> None:
    answers, asked = OLLAMA[title]
    play(site, answers)
    scripts.of("ollama.js", site.gateway.base_url).run(title)
    assert len(site.simulator.requests) == asked
    if answers == ("s22_slow_answer",):
        site.simulator.wait_until(lambda: site.simulator.last.outcome == "abandoned")


@pytest.mark.parametrize("title", ANTHROPIC_OVER_A_SERVER)
def test_anthropic_over_a_server(scripts: Scripts, narrow_server: ServerStage, title: str) -> None:
    narrow_server.play(*ANTHROPIC_OVER_A_SERVER[title])
    scripts.of("anthropic.js", narrow_server.base_url).run(title)


@pytest.mark.parametrize("title", AI_SDK_ON_THE_DEMO)
def test_ai_sdk_on_the_demo(scripts: Scripts, demo: RunningGateway, title: str) -> None:
    scripts.of("ai-sdk.js", demo.base_url).run(title)


@pytest.mark.parametrize(
    ("file", "titles"),
    [
        ("openai.js", {*OPENAI}),
        ("ai-sdk.js", {*AI_SDK, *AI_SDK_ON_THE_DEMO}),
        ("responses.js", {*RESPONSES}),
        ("anthropic.js", {*ANTHROPIC, *ANTHROPIC_OVER_A_SERVER}),
        ("ollama.js", {*OLLAMA}),
    ],
)
def test_every_test_in_javascript_is_run(scripts: Scripts, file: str, titles: set[str]) -> None:
    assert set(scripts.of(file).titles) == titles


def test_the_lock_file_holds_no_place_but_the_registry() -> None:
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    for name, package in packages.items():
        assert package.get("resolved", "https://registry.npmjs.org/").startswith(
            "https://registry.npmjs.org/"
        )
        assert name == "" or package["integrity"].startswith("sha512-")
