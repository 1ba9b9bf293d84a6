"""JavaScript clients that speak Responses, run by Node over the simulated website.

They need their packages in a folder named by ``NODE_CLIENTS``: there, once,
``npm install ai @ai-sdk/openai @openai/agents openai zod``.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Site
from tests.simulator import Answer
from tests.simulator.agent import Agent, Call
from tests.simulator.server import Exchange

SCRIPTS = Path(__file__).parent / "node"
FOLDER = os.environ.get("NODE_CLIENTS")
WEATHER = Agent([[Call("get_weather", {"city": "Paris"})]], lambda results: f"It is {results[0]} today.")

pytestmark = pytest.mark.skipif(
    FOLDER is None or shutil.which("node") is None, reason="NODE_CLIENTS names no folder with the packages"
)


def answer(exchange: Exchange) -> Answer:
    if "JSON: Paris?" in exchange.text:
        return Answer('{"name": "Paris", "people": 2100000}')
    return WEATHER(exchange)


def run(site: Site, script: str, folder: Path) -> Any:
    """What a script prints as its last line. Node looks for packages beside the script."""
    assert FOLDER is not None
    (folder / "node_modules").symlink_to(Path(FOLDER).resolve() / "node_modules")
    shutil.copy(SCRIPTS / script, folder / script)
    done = subprocess.run(
        ["node", script],
        cwd=folder,
        env={**os.environ, "BASE_URL": f"{site.gateway.base_url}/v1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_vercel_ai_sdk(site: Site, tmp_path: Path) -> None:
    site.simulator.always(answer)
    said = run(site, "ai-sdk.mjs", tmp_path)
    assert said["streamed"] == said["whole"] == "It is sunny in Paris today."
    assert said["deltas"] > 1
    assert said["usage"] is True
    assert said["steps"] == 2
    assert said["object"] == {"name": "Paris", "people": 2_100_000}


def test_the_agents_sdk_for_javascript(site: Site, tmp_path: Path) -> None:
    site.simulator.always(answer)
    said = run(site, "agents.mjs", tmp_path)
    assert said["streamed"] == said["whole"] == "It is sunny in Paris today."
    assert said["deltas"] > 1
