"""Gateways that share a store, and the command line that makes keys in it."""

import json
import time
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

from gptoss_api.cli import main
from tests.conftest import RunningGateway
from tests.server.talking import ask

# Seconds within which a running gateway follows.
FOLLOWS = 2.0


class Shared:
    """Gateways, the first of which is asked where it does not matter, and the command line at their store."""

    def __init__(self, state: str, *gateways: RunningGateway) -> None:
        self.gateways = gateways
        self.gateway = gateways[0]
        self._state = state

    def keys(self, *arguments: str) -> Any:
        done = CliRunner().invoke(main, ["keys", *arguments, "--state", self._state, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def key(self, name: str, *options: str) -> str:
        """The secret of a new key, in force everywhere."""
        made: str = self.keys("create", name, *options)["key"]
        # Before the first key everyone is let in.
        soon(lambda: self.statuses("") == {401} and self.statuses(made) == {200})
        return made

    def statuses(self, key: str, path: str = "/v1/models") -> set[int]:
        """What some connections get, each at whichever worker takes it."""
        headers = {"x-api-key": key} if key else {}
        return {ask(each, "GET", path, None, headers).status for each in self.gateways for _ in range(6)}


def soon(condition: Callable[[], bool]) -> None:
    """Waits for at most as long as gateways may take to follow, and half a second for slow machines."""
    deadline = time.monotonic() + FOLLOWS + 0.5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
