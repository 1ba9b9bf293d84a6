"""The recipe of the image, carried out without Docker, and what it made, run as its user on a read-only root.

Programs are those of this machine, unless ``GPTOSS_TEST_ROOT`` is a folder with another root, such as what
``mmdebstrap --variant=minbase --include=python3-venv,ca-certificates bookworm FOLDER`` makes.
"""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.conftest import free_port

from .proxies import DEPLOY
from .recipe import Stage, can_mount, carry_out

ROOT = DEPLOY.parent
MOST = 150 * 1024**2
KEY = "a-long-random-key-of-the-tests"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="roots are laid over each other on Linux")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    folder = tmp_path_factory.mktemp("image")
    # Its user is to get there.
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    if not can_mount(folder):
        pytest.skip("this process may not mount anything")
    base = Path(os.environ.get("GPTOSS_TEST_ROOT", "/"))
    if not list((base / "usr/lib").glob("python3.*/ensurepip")):
        pytest.skip("needs python3-venv of the system")
    passed_on = {name: os.environ[name] for name in ("PIP_CERT", "PIP_INDEX_URL") if name in os.environ}
    return carry_out(DEPLOY / "Dockerfile", ROOT, base, folder, passed_on)


@pytest.fixture(scope="module")
def served(image: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("served") / "log"
    process = image.start(
        [*image.entrypoint, *image.command],
        log,
        {"GPTOSS_API_KEYS": KEY, "GPTOSS_UPSTREAM": "demo", "HOST": "127.0.0.1", "PORT": str(port)},
        read_only=True,
    )
    try:
        _wait_until(lambda: "listens on" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
        assert "no secret can be kept" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def _wait_until(condition: object, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():  # type: ignore[operator]  # a callable
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_adds_no_more_than_it_should_to_its_base(image: Stage) -> None:
    files = image.made()
    size = sum(file.lstat().st_blocks * 512 for file in files)
    print(f"{size / 1024**2:.1f} MiB over the base")
    assert size < MOST
    assert {file.relative_to(image.written).parts[0] for file in files} == {"opt"}, (
        "of the build nothing is left"
    )
    names = [str(file) for file in files]
    assert not any("/site-packages/pip/" in name for name in names), "nothing is installed there any more"
    assert any("/gptoss_api/" in name and name.endswith(".pyc") for name in names), (
        "it cannot be written later"
    )


def test_it_answers_as_its_user_on_a_read_only_root(served: str) -> None:
    content = json.dumps({"messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    with urlopen(Request(f"{served}/v1/chat/completions", content, headers), timeout=20) as response:
        assert json.load(response)["choices"][0]["message"]["content"]
    with pytest.raises(HTTPError, match="401"):
        urlopen(Request(f"{served}/v1/chat/completions", content, {"content-type": "application/json"}))


def test_it_writes_nowhere_but_to_its_volume_and_is_nobody_in_particular(
    image: Stage, tmp_path: Path
) -> None:
    script = (
        "import os\nfor path in ('/', '/opt/gptoss-api', '/etc', '/usr', '/data', '/tmp'):\n"
        "    try: open(os.path.join(path, 'x'), 'w')\n"
        "    except OSError as error: print(path, error.strerror)\n"
        "    else: print(path, 'written')\nprint(os.getuid(), os.getgid(), os.getgroups())"
    )
    log = tmp_path / "log"
    assert image.start(["python", "-c", script], log, read_only=True).wait(20) == 0, log.read_text()
    said = log.read_text().splitlines()
    assert said[-1] == "10001 10001 []"
    told = dict(line.split(" ", 1) for line in said[:-1])
    assert {path for path, words in told.items() if words == "written"} == {"/data", "/tmp"}


def test_without_keys_it_does_not_start(image: Stage, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = image.start([*image.entrypoint, *image.command], log, read_only=True)
    assert process.wait(20) == 2
    assert "API keys" in log.read_text()


def test_its_health_check_tells_a_gateway_from_none(image: Stage, served: str, tmp_path: Path) -> None:
    port = served.rpartition(":")[2]
    log = tmp_path / "log"
    assert image.start(image.health, log, {"PORT": port}, read_only=True).wait(20) == 0, log.read_text()
    assert image.start(image.health, log, {"PORT": str(free_port())}, read_only=True).wait(20) != 0


def test_stores_in_redis_and_traces_are_at_hand(image: Stage, tmp_path: Path) -> None:
    log = tmp_path / "log"
    tried = ["python", "-c", "import redis, opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http"]
    assert image.start(tried, log, read_only=True).wait(20) == 0, log.read_text()


def test_only_what_the_recipe_copies_leaves_the_project() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text())
    assert allowed == {source for line in copied for source in line.split()}
    assert all((ROOT / name).exists() for name in allowed)
