"""The table that tokens are counted with: kept for the next process, and done without where it cannot be."""

import json
import re
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import RunningGateway, StartGateway


def prompt_tokens(running: RunningGateway) -> int:
    body = json.dumps({"messages": [{"role": "user", "content": "How many words are these?"}]}).encode()
    request = urllib.request.Request(
        f"{running.base_url}/v1/chat/completions", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        counted: int = json.load(response)["usage"]["prompt_tokens"]
    return counted


def table(cache: Path) -> Path:
    """The table in ``cache``, once it is there."""
    deadline = time.monotonic() + 20
    while not (found := [*cache.glob("**/*.ranks")]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (only,) = found
    return only


@pytest.mark.skipif(sys.platform != "linux", reason="caches lie elsewhere there")
def test_the_table_is_made_once_and_again_where_it_is_damaged(gateway: StartGateway, tmp_path: Path) -> None:
    first = gateway(GPTOSS_UPSTREAM="demo", XDG_CACHE_HOME=str(tmp_path))
    counted = prompt_tokens(first)
    kept = table(tmp_path)
    made = kept.stat().st_mtime_ns
    assert str(kept) in Path(f"/proc/{first.process.pid}/maps").read_text()
    second = gateway(GPTOSS_UPSTREAM="demo", XDG_CACHE_HOME=str(tmp_path))
    assert prompt_tokens(second) == counted
    assert kept.stat().st_mtime_ns == made
    content = kept.read_bytes()
    # As an interrupted copy of the folder would: a new file in its place.
    kept.unlink()
    kept.write_bytes(content[: len(content) // 2])
    third = gateway(GPTOSS_UPSTREAM="demo", XDG_CACHE_HOME=str(tmp_path))
    assert prompt_tokens(third) == counted
    assert kept.read_bytes() == content
    assert [prompt_tokens(running) for running in (first, second)] == [counted] * 2


def test_where_no_table_can_be_kept_tokens_are_counted_all_the_same(
    gateway: StartGateway, tmp_path: Path
) -> None:
    usual = gateway(GPTOSS_UPSTREAM="demo")
    tmp_path.joinpath("cache").write_text("a file stands where the folder should be")
    without = gateway(GPTOSS_UPSTREAM="demo", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert prompt_tokens(without) == prompt_tokens(usual)
    assert "Traceback" not in without.log()


@pytest.mark.skipif(sys.platform != "linux", reason="workers are not forked there")
def test_workers_share_one_table_also_where_none_can_be_kept(gateway: StartGateway, tmp_path: Path) -> None:
    tmp_path.joinpath("cache").write_text("a file stands where the folder should be")
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_WORKERS="2", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert prompt_tokens(running) > 0
    lines = running.log().splitlines()
    workers = [line.rsplit(" ", 1)[1] for line in lines if " is process " in line]
    assert len(workers) == 2
    for worker in workers:
        parts = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{worker}/smaps").read_text())
        found = [dict(re.findall(r"(?m)^(\w+): +(\d+) kB$", part)) for part in parts if part]
        shared = [(int(sizes["Shared_Dirty"]), int(sizes["Private_Dirty"])) for sizes in found]
        assert [kilobytes for kilobytes, own in shared if kilobytes > 4_400 and own < 100], shared
