"""Several workers: one address, one memory, one life."""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.cli.conftest import Run
from tests.cli.conftest import run as run
from tests.conftest import RunningGateway, StartGateway
from tests.simulator import Answer, Simulator

pytestmark = [
    pytest.mark.waits,
    pytest.mark.skipif(sys.platform == "win32", reason="workers are not possible there"),
]


def processes(running: RunningGateway) -> dict[int, int]:
    """The process of each worker, by its number."""
    found = re.findall(r"worker (\d+) is process (\d+)", running.log())
    return {int(number): int(process) for number, process in found}


def wait_for(condition: object, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():  # type: ignore[operator]  # a callable
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def say(running: RunningGateway, messages: list[dict[str, str]], text: str) -> str:
    """One turn over a connection of its own; the value is what became of the thread."""
    messages.append({"role": "user", "content": text})
    answer = httpx.post(f"{running.base_url}/v1/chat/completions", json={"messages": messages}, timeout=30)
    assert answer.status_code == 200, answer.text
    messages.append({"role": "assistant", "content": answer.json()["choices"][0]["message"]["content"]})
    return answer.headers["x-gptoss-thread"]


@contextmanager
def only(running: RunningGateway, number: int) -> Iterator[None]:
    """Everything is served by this worker: the others are asleep."""
    others = [process for other, process in processes(running).items() if other != number]
    for process in others:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in others:
            os.kill(process, signal.SIGCONT)


@pytest.fixture
def two(simulator: Simulator, gateway: StartGateway) -> RunningGateway:
    running = gateway(simulator, GPTOSS_WORKERS="2")
    wait_for(lambda: len(processes(running)) == 2)
    for number in (1, 2):
        with only(running, number):
            assert httpx.get(f"{running.base_url}/healthz", timeout=20).status_code == 200
    return running


def stored(running: RunningGateway) -> None:
    """Until the end of the one conversation is in the store: a worker that sleeps stores nothing."""

    def is_stored() -> bool:
        for file in running.home.rglob("state.db"):
            with (
                contextlib.closing(sqlite3.connect(file)) as connection,
                contextlib.suppress(sqlite3.OperationalError),
            ):
                query = "SELECT count(*) FROM entries WHERE space = 'tips'"
                return bool(connection.execute(query).fetchone() == (1,))
        return False

    wait_for(is_stored)


def test_workers_continue_each_others_conversations(two: RunningGateway) -> None:
    messages: list[dict[str, str]] = []
    threads = []
    for turn in range(6):
        with only(two, 1 + turn % 2):
            threads.append(say(two, messages, f"turn {turn}"))
            stored(two)
    assert threads == ["new"] + 5 * ["reused"]


def test_a_client_that_goes_on_at_once_finds_its_conversation_in_every_worker(two: RunningGateway) -> None:
    messages: list[dict[str, str]] = []
    threads = [say(two, messages, f"at once {turn}") for turn in range(16)]
    # Eight turns are what a thread takes.
    assert threads == ["new", *7 * ["reused"], "replayed", *7 * ["reused"]]


def test_a_worker_that_dies_is_replaced_while_the_other_serves(two: RunningGateway) -> None:
    messages: list[dict[str, str]] = []
    say(two, messages, "one")
    stored(two)
    before = processes(two)
    os.kill(before[1], signal.SIGKILL)
    assert say(two, messages, "two") == "reused"
    wait_for(lambda: processes(two)[1] != before[1])
    with only(two, 1):
        assert say(two, messages, "three") == "reused"
    assert processes(two)[2] == before[2]
    assert "worker 1 ended (signal 9) and is replaced" in two.log()


def test_a_worker_that_dies_again_and_again_is_waited_for_longer_and_longer_and_that_is_told(
    two: RunningGateway,
) -> None:
    gaps = []
    for _ in range(2):
        before = processes(two)
        os.kill(before[1], signal.SIGKILL)
        killed = time.monotonic()
        assert say(two, [], "the other serves") == "new"
        wait_for(lambda before=before: processes(two)[1] != before[1])
        gaps.append(time.monotonic() - killed)
    assert 1.0 <= gaps[0] < 2.0 <= gaps[1]
    told = re.findall(
        r"worker 1 ended \(signal 9\) and is replaced in (\d+) s: it had run for \d+\.\d s", two.log()
    )
    assert told == ["1", "2"]
    assert processes(two)[2] == before[2]


def test_a_worker_that_hangs_is_replaced_while_the_other_serves(
    simulator: Simulator, gateway: StartGateway
) -> None:
    hurry = "import gptoss_api.server.workers as workers; workers._HUNG = 3.0"
    running = gateway(simulator, before=hurry, GPTOSS_WORKERS="2")
    wait_for(lambda: len(processes(running)) == 2)
    before = processes(running)
    os.kill(before[1], signal.SIGSTOP)
    stopped = time.monotonic()
    wait_for(lambda: processes(running)[1] != before[1])
    assert time.monotonic() - stopped > 1.5
    with only(running, 1):
        assert say(running, [], "one") == "new"
    time.sleep(3.5)
    assert processes(running)[2] == before[2]
    assert len(set(re.findall(r"is process (\d+)", running.log()))) == 3
    assert "worker 1 has hung for 3 s and is killed" in running.log()
    assert "worker 1 ended (signal 9) and is replaced" in running.log()
    assert running.stop() == 0


def test_a_supervisor_that_was_stopped_itself_blames_nobody(
    simulator: Simulator, gateway: StartGateway
) -> None:
    hurry = "import gptoss_api.server.workers as workers; workers._HUNG = 3.0"
    running = gateway(simulator, before=hurry, GPTOSS_WORKERS="2")
    wait_for(lambda: len(processes(running)) == 2)
    time.sleep(1.5)
    before = processes(running)
    everyone = [*before.values(), running.process.pid]
    for process in reversed(everyone):
        os.kill(process, signal.SIGSTOP)
    time.sleep(5)
    for process in reversed(everyone):
        os.kill(process, signal.SIGCONT)
    time.sleep(2)
    assert say(running, [], "one") == "new"
    assert processes(running) == before
    assert "hung" not in running.log()


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGQUIT])
def test_what_a_terminal_sends_to_all_processes_lets_answers_end(
    two: RunningGateway, simulator: Simulator, by: signal.Signals
) -> None:
    simulator.always(Answer("word " * 40, deltas=("word ",) * 40, pace=0.03))
    answers: list[httpx.Response] = []
    body = {"messages": [{"role": "user", "content": "Hi"}]}

    def answer() -> None:
        answers.append(httpx.post(f"{two.base_url}/v1/chat/completions", json=body, timeout=30))

    asking = threading.Thread(target=answer)
    asking.start()
    simulator.wait_until(lambda: len(simulator.requests) == 1)
    for process in (two.process.pid, *processes(two).values()):
        os.kill(process, by)
    assert two.process.wait(20) == 0
    asking.join()
    assert answers[0].text.count("word") == 40


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_running_answers_end_before_the_workers_stop(
    two: RunningGateway, simulator: Simulator, by: signal.Signals
) -> None:
    simulator.always(Answer("word " * 40, deltas=("word ",) * 40, pace=0.03))
    answers: list[httpx.Response] = []
    asking = [
        threading.Thread(
            target=lambda: answers.append(
                httpx.post(
                    f"{two.base_url}/v1/chat/completions",
                    json={"messages": [{"role": "user", "content": "Hi"}]},
                    timeout=30,
                )
            )
        )
        for _ in range(6)
    ]
    for each in asking:
        each.start()
    simulator.wait_until(lambda: len(simulator.requests) == 6)
    two.process.send_signal(by)
    assert two.process.wait(20) == 0
    for each in asking:
        each.join()
    assert [answer.status_code for answer in answers] == [200] * 6
    assert all("word word" in answer.text for answer in answers)
    assert "Traceback" not in two.log()


def test_a_second_signal_stops_at_once(two: RunningGateway, simulator: Simulator) -> None:
    simulator.always(Answer("word " * 1000, deltas=("word ",) * 1000, pace=0.05))
    with httpx.stream(
        "POST",
        f"{two.base_url}/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "Hi"}], "stream": True},
        timeout=30,
    ) as answer:
        pieces = answer.iter_bytes()
        next(pieces)
        two.process.terminate()
        wait_for(lambda: "may finish within" in two.log())
        two.process.terminate()
        assert two.process.wait(10) == 0


def test_workers_do_not_outlive_their_supervisor(two: RunningGateway) -> None:
    workers = processes(two).values()
    two.process.kill()
    two.process.wait()

    def gone() -> bool:
        return not any(alive(process) for process in workers)

    wait_for(gone)


def alive(process: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout
    return bool(state) and not state.startswith("Z")


@pytest.mark.skipif(sys.platform != "linux", reason="workers are not forked there")
def test_workers_share_what_their_supervisor_has_loaded(two: RunningGateway) -> None:
    for process in processes(two).values():
        assert memory(process, "Shared_Dirty") > 4_000
        assert memory(process, "Private_Dirty") < 25_000


@pytest.mark.skipif(sys.platform != "linux", reason="workers are not forked there")
def test_a_supervisor_has_no_thread_that_its_workers_would_miss(two: RunningGateway) -> None:
    assert len(list(Path(f"/proc/{two.process.pid}/task").iterdir())) == 1


def memory(process: int, kind: str) -> int:
    """In kB."""
    found = re.search(
        rf"^{kind}: +(\d+) kB$", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE
    )
    assert found is not None
    return int(found[1])


def test_workers_serve_where_processes_cannot_be_forked(simulator: Simulator, gateway: StartGateway) -> None:
    spawning = (
        "import multiprocessing; context = multiprocessing.get_context;"
        "multiprocessing.get_context = lambda method: context('spawn')"
    )
    running = gateway(simulator, before=spawning, GPTOSS_WORKERS="2")
    wait_for(lambda: len(processes(running)) == 2)
    messages: list[dict[str, str]] = []
    threads = []
    for number in (1, 2):
        with only(running, number):
            threads.append(say(running, messages, f"turn {number}"))
            stored(running)
    assert threads == ["new", "reused"]
    workers = processes(running).values()
    running.process.kill()
    running.process.wait()
    wait_for(lambda: not any(alive(process) for process in workers))


def test_what_is_allowed_to_all_is_divided(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator, GPTOSS_WORKERS="2", GPTOSS_MAX_CONCURRENCY="2", GPTOSS_MAX_QUEUE="20")
    simulator.always(Answer("word " * 10, deltas=("word ",) * 10, pace=0.02))
    asking = [threading.Thread(target=say, args=(running, [], f"number {number}")) for number in range(8)]
    for each in asking:
        each.start()
    most = 0
    while any(each.is_alive() for each in asking):
        most = max(most, sum(asked.outcome == "pending" for asked in list(simulator.requests)))
        time.sleep(0.002)
    assert len(simulator.requests) == 8
    assert most <= 2


def test_workers_need_a_store_that_they_can_share(run: Run) -> None:
    done = run("serve", "--workers", "2", "--state", "memory://", PORT="0")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: GPTOSS_WORKERS: 2 workers cannot share memory://; "
        "set GPTOSS_STATE to an sqlite:/// or redis:// URL\n"
    )


def test_a_port_in_use_is_told_once(run: Run, two: RunningGateway) -> None:
    port = two.base_url.rsplit(":", 1)[1]
    done = run("serve", "--workers", "2", "--port", port)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_upstreams_of_the_file_reach_every_worker(
    simulator: Simulator, gateway: StartGateway, tmp_path: Path
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[[upstreams]]\nname = "site"\nkind = "gpt-oss.com"\nurl = "{simulator.chatkit_url}"\n'
        "max_concurrency = 8\n"
        '[[upstreams]]\nname = "spare"\nkind = "generic"\nurl = "http://127.0.0.1:9/v1"\n'
        'models = { "gpt-oss-120b" = "big" }\nheaders = { "x-team" = "one" }\n'
    )
    running = gateway(simulator, GPTOSS_WORKERS="2", GPTOSS_CONFIG=str(file), GPTOSS_UPSTREAM="site, spare")
    wait_for(lambda: len(processes(running)) == 2)
    messages: list[dict[str, str]] = []
    for number in (1, 2):
        with only(running, number):
            say(running, messages, f"turn {number}")
    assert len(simulator.requests) == 2
