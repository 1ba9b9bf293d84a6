"""What a running gateway keeps on disk, who can read it, and what it says where it cannot keep it."""

import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningGateway, StartGateway, running_gateway
from tests.server.talking import CHAT, Reply, ask
from tests.simulator import Answer, Simulator
from tests.simulator.agent import Agent, Call

RESPONSES = "/v1/responses"
QUESTION = "PLAINTEXT-QUESTION-MARKER"
ANSWER = "PLAINTEXT-ANSWER-MARKER"
THOUGHT = "PLAINTEXT-THOUGHT-MARKER"
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}


def state_files(running: RunningGateway) -> list[Path]:
    return sorted((running.home / "state" / "gptoss-api").glob("state.db*"))


def contents(running: RunningGateway) -> bytes:
    """Everything there is in the files of the state."""
    return b"".join(file.read_bytes() for file in state_files(running))


def kept_values(running: RunningGateway) -> list[bytes]:
    """The values of all entries, as they lie in the file."""
    with sqlite3.connect(state_files(running)[0]) as connection:
        rows = connection.execute("SELECT value FROM entries WHERE space = 'responses'").fetchall()
    connection.close()
    return [value for (value,) in rows]


def create(running: RunningGateway, text: str = QUESTION, **members: Any) -> Reply:
    return ask(running, "POST", RESPONSES, {"input": text, **members})


def final_of(reply: Reply) -> dict[str, Any]:
    """The response in the last event of a stream."""
    last = json.loads(reply.body.decode().strip().rpartition("data: ")[2])
    response: dict[str, Any] = last["response"]
    return response


def settled(running: RunningGateway, response_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while (found := ask(running, "GET", f"{RESPONSES}/{response_id}").json())["status"] != "completed":
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return dict(found)


def wait_for_log(running: RunningGateway, text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in running.log():
        assert time.monotonic() < deadline, running.log()
        time.sleep(0.02)


class TestWhatIsKept:
    def test_the_files_say_neither_questions_nor_answers_nor_thoughts(
        self, simulator: Simulator, gateway: StartGateway
    ) -> None:
        running = gateway(simulator)
        simulator.always(Answer(ANSWER, reasoning=[THOUGHT]))
        stored = create(running).json()
        create(running, stream=True)
        background = settled(running, create(running, background=True).json()["id"])
        simulator.script(Agent([[Call("get_weather", {})]], lambda _: "", thought=[THOUGHT]))
        messages = [{"role": "user", "content": QUESTION}]
        called = ask(running, "POST", CHAT, {"messages": messages, "tools": [WEATHER]})
        assert called.json()["choices"][0]["message"]["tool_calls"]
        for response in (stored, background):
            assert ask(running, "GET", f"{RESPONSES}/{response['id']}").json() == response
            assert ANSWER in json.dumps(response)
        assert len(kept_values(running)) == 4
        while_running = contents(running)
        running.stop()
        for data in (while_running, contents(running)):
            assert b"PLAINTEXT" not in data
            assert b"get_weather" not in data

    def test_deleted_means_gone_from_the_files(self, simulator: Simulator, gateway: StartGateway) -> None:
        running = gateway(simulator)
        simulator.always(Answer(ANSWER))
        deleted = settled(running, create(running, "long " * 2_000, background=True).json()["id"])
        values = kept_values(running)
        assert len(values) == 2
        kept = create(running).json()
        assert all(value in contents(running) or value[:1_000] in contents(running) for value in values)
        assert ask(running, "DELETE", f"{RESPONSES}/{deleted['id']}").json()["deleted"] is True
        left = contents(running)
        for value in values:
            assert not any(value[start : start + 16] in left for start in range(0, len(value), 500))
        assert ask(running, "GET", f"{RESPONSES}/{kept['id']}").json() == kept

    def test_the_start_says_what_is_kept_where_how_long_and_that_it_is_sealed(
        self, gateway: StartGateway
    ) -> None:
        log = gateway(GPTOSS_UPSTREAM="demo").log()
        folder = r"state/gptoss-api"
        [state] = [line for line in log.splitlines() if "state: " in line]
        assert f"{folder}/state.db, sealed with " in state
        assert state.endswith(f"{folder}/secret.key")
        [kept] = [line for line in log.splitlines() if "kept: " in line]
        assert "responses with what was asked for 30 days unless a request says store=false" in kept
        assert "reasoning between tool calls for 1 hour" in kept
        assert "which thread continues a conversation for 30 minutes" in kept

    def test_the_start_says_it_also_where_it_is_otherwise(self, gateway: StartGateway) -> None:
        log = gateway(
            GPTOSS_UPSTREAM="demo",
            GPTOSS_STATE="memory://",
            GPTOSS_STORE="off",
            GPTOSS_RESPONSES_DAYS="1",
            GPTOSS_THREADS="off",
        ).log()
        assert "state: memory://, in this process alone" in log
        assert "kept: responses with what was asked for 1 day where a request says store=true; reas" in log
        assert "which thread" not in log

    def test_the_servers_key_is_not_in_the_log(self, gateway: StartGateway) -> None:
        key = "a-server-key-of-at-least-32-characters"
        running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_SERVER_KEY=key)
        ask(running, "GET", f"/v1/{key}")
        assert "sealed with GPTOSS_SERVER_KEY" in running.log()
        assert key not in running.log()

    def test_the_operator_may_have_nothing_stored_that_is_not_asked_for(
        self, simulator: Simulator, gateway: StartGateway
    ) -> None:
        running = gateway(simulator, GPTOSS_STORE="off")
        silent = create(running)
        assert silent.json()["store"] is False
        assert "x-gptoss-not-stored" not in silent.headers
        assert ask(running, "GET", f"{RESPONSES}/{silent.json()['id']}").status == 404
        asked = create(running, store=True).json()
        assert asked["store"] is True
        assert ask(running, "GET", f"{RESPONSES}/{asked['id']}").json() == asked
        refused = create(running, background=True).error
        assert refused["param"] == "background"
        assert "Set 'store' to true" in refused["message"]
        assert create(running, background=True, store=True).json()["status"] == "queued"


class TestAnotherKey:
    def test_without_the_secret_nothing_is_found_and_one_line_says_why(
        self, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        home = tmp_path_factory.mktemp("home")
        with running_gateway(home, simulator) as running:
            first = create(running).json()["id"]
        (home / "state" / "gptoss-api" / "secret.key").unlink()
        with running_gateway(home, simulator) as running:
            for _ in range(2):
                assert ask(running, "GET", f"{RESPONSES}/{first}").error["code"] == "not_found"
            refused = create(running, previous_response_id=first).error
            assert refused["code"] == "previous_response_not_found"
            second = create(running).json()
            assert ask(running, "GET", f"{RESPONSES}/{second['id']}").json() == second
            assert running.log().count("sealed with another key") == 1
        with running_gateway(home, simulator) as running:
            assert ask(running, "GET", f"{RESPONSES}/{second['id']}").json() == second
            assert "sealed with another key" not in running.log()

    def test_gateways_with_one_key_share_what_is_stored(
        self, simulator: Simulator, gateway: StartGateway, tmp_path: Path
    ) -> None:
        shared = {
            "GPTOSS_STATE": f"sqlite://{tmp_path}/state.db",
            "GPTOSS_SERVER_KEY": "a key that both of them have been given",
        }
        first, second = gateway(simulator, **shared), gateway(simulator, **shared)
        created = create(first).json()
        assert ask(second, "GET", f"{RESPONSES}/{created['id']}").json() == created
        assert not (tmp_path / "secret.key").exists()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        blocker.close()


@contextmanager
def newer(path: Path) -> Iterator[None]:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    yield


@contextmanager
def corrupt(path: Path) -> Iterator[None]:
    path.write_bytes(b"This is no database. " * 100)
    yield


@contextmanager
def impossible(path: Path) -> Iterator[None]:
    path.mkdir()
    yield


# What makes a store break, and whether the gateway has made it before.
BROKEN = {
    "locked": (locked, True),
    "newer": (newer, False),
    "corrupt": (corrupt, False),
    "a folder": (impossible, False),
}


@pytest.fixture(params=BROKEN)
def broken(
    request: pytest.FixtureRequest, simulator: Simulator, gateway: StartGateway, tmp_path: Path
) -> Iterator[RunningGateway]:
    """A gateway whose store works no more."""
    breaking, before = BROKEN[request.param]
    path = tmp_path / "state.db"
    simulator.always(Answer(ANSWER))
    with ExitStack() as stack:
        if not before:
            stack.enter_context(breaking(path))
        running = gateway(simulator, GPTOSS_STATE=f"sqlite://{path}")
        if before:
            assert create(running).json()["store"] is True
            stack.enter_context(breaking(path))
        yield running


class TestWhereNothingCanBeStored:
    def test_the_answer_says_so(self, broken: RunningGateway) -> None:
        reply = create(broken)
        assert reply.status == 200
        assert reply.headers["x-gptoss-not-stored"] == "unavailable"
        response = reply.json()
        assert response["store"] is False
        assert ANSWER in json.dumps(response["output"])
        assert final_of(create(broken, stream=True))["store"] is False
        assert "x-gptoss-not-stored" not in create(broken, store=False).headers

    # While a store is locked, it can still be read.
    @pytest.mark.parametrize("broken", sorted(BROKEN.keys() - {"locked"}), indirect=True)
    def test_what_may_be_stored_is_not_called_unknown(self, broken: RunningGateway) -> None:
        response_id = create(broken).json()["id"]
        wait_for_log(broken, "state store is down")
        for reply in (
            ask(broken, "GET", f"{RESPONSES}/{response_id}"),
            create(broken, previous_response_id=response_id),
            create(broken, background=True),
        ):
            assert (reply.status, reply.error["code"]) == (503, "state_unavailable")
            assert int(reply.headers["retry-after"]) >= 1


def test_a_full_disk_is_told(simulator: Simulator, gateway: StartGateway) -> None:
    most = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))"
    running = gateway(simulator, before=most)
    assert "x-gptoss-not-stored" not in create(running).headers
    reply = create(running, "word " * 80_000)
    assert reply.status == 200
    assert reply.headers["x-gptoss-not-stored"] == "unavailable"
    assert reply.json()["store"] is False


def test_a_response_that_is_too_large_says_that_it_is_not_stored(
    simulator: Simulator, gateway: StartGateway
) -> None:
    running = gateway(simulator, GPTOSS_RESPONSES_BYTES="64K")
    large = "word " * 20_000
    reply = create(running, large)
    assert reply.headers["x-gptoss-not-stored"] == "too-large"
    assert reply.json()["store"] is False
    assert ask(running, "GET", f"{RESPONSES}/{reply.json()['id']}").status == 404
    assert final_of(create(running, large, stream=True))["store"] is False
    refused = create(running, large, background=True)
    assert (refused.status, refused.error["param"]) == (400, "background")
    assert create(running).json()["store"] is True


def test_a_deletion_that_was_not_done_is_not_claimed(
    simulator: Simulator, gateway: StartGateway, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    running = gateway(simulator, GPTOSS_STATE=f"sqlite://{path}")
    created = create(running).json()["id"]
    with locked(path):
        reply = ask(running, "DELETE", f"{RESPONSES}/{created}")
        assert (reply.status, reply.error["code"]) == (503, "state_unavailable")
    deadline = time.monotonic() + 10
    while ask(running, "DELETE", f"{RESPONSES}/{created}").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert ask(running, "GET", f"{RESPONSES}/{created}").status == 404


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_files_that_others_may_read_are_closed_and_named(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator, before=_open_files)
    created = create(running).json()
    assert ask(running, "GET", f"{RESPONSES}/{created['id']}").json() == created
    folder = running.home / "state" / "gptoss-api"
    for name in ("state.db", "state.db-wal", "state.db-shm", "secret.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    for name in ("state.db", "secret.key"):
        assert f"{folder / name} was open to other users (mode 0666)" in running.log()


_open_files = """
import os
from gptoss_api.state import state_folder
state_folder().mkdir(parents=True)
for name, content in (("state.db", b""), ("secret.key", bytes(32))):
    (state_folder() / name).write_bytes(content)
    (state_folder() / name).chmod(0o666)
"""
