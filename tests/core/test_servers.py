"""Each row of the table of servers is served: named, recognised, keyed, chosen."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gptoss_api.config import OPTIONS, ConfigError, UpstreamSettings, resolve
from gptoss_api.config.upstreams import named_upstream
from gptoss_api.core.errors import UpstreamLoginRequired
from gptoss_api.core.servers import SERVER_KINDS, SITE, ServerKind, is_public
from gptoss_api.gateway import Gateway
from gptoss_api.routing.discovery import LOCAL_SERVERS, LocalServer
from gptoss_api.upstreams.openai_compatible import profiles
from gptoss_api.upstreams.openai_compatible.keys import find_key
from tests.backends.server import ask, turn

ROOT = Path(__file__).parents[2]

EVERY_KIND = pytest.mark.parametrize("kind", SERVER_KINDS.values(), ids=list(SERVER_KINDS))


@EVERY_KIND
def test_only_what_is_run_for_everyone_is_public(kind: ServerKind) -> None:
    of_everyone = {f"box{host}" if host[0] == "." else host for host in kind.hosts}
    if kind.url and not kind.port:
        of_everyone.add(str(urlsplit(kind.url).hostname))
    assert all(map(is_public, of_everyone))
    assert bool(of_everyone) is (kind.needs_key or kind.name == SITE)


@pytest.mark.parametrize(
    ("host", "public"),
    [("gpt-oss.com", True), ("www.gpt-oss.com", True), ("not-gpt-oss.com", False), ("127.0.0.1", False)],
)
def test_addresses_of_the_site_are_public(host: str, public: bool) -> None:
    assert is_public(host) is public


@EVERY_KIND
def test_a_word_names_it_unless_it_needs_an_address(kind: ServerKind) -> None:
    allowed = next(option.kind.allowed for option in OPTIONS if option.name == "upstream").split(", ")
    assert (kind.name in allowed) is not kind.needs_address
    if kind.needs_address:
        with pytest.raises(
            ConfigError, match="not allowed by itself: every such server has an address of its own"
        ):
            resolve(environ={"GPTOSS_UPSTREAM": kind.name})
        with pytest.raises(ConfigError, match="url is missing"):
            resolve(environ={"GPTOSS_UPSTREAMS": f'[{{"kind": "{kind.name}"}}]'})
    else:
        assert resolve(environ={"GPTOSS_UPSTREAM": kind.name}).settings.upstream == kind.name
        assert named_upstream(kind.name) == UpstreamSettings(kind.name, kind.name)
    (entry,) = resolve(
        environ={"GPTOSS_UPSTREAMS": f'[{{"kind": "{kind.name}", "url": "http://box:1/v1"}}]'}
    ).settings.upstreams
    assert (entry.name, entry.kind) == (kind.name, kind.name)


def test_every_profile_is_that_of_a_kind() -> None:
    assert set(profiles._PARTICULAR) <= {
        kind.name for kind in SERVER_KINDS.values() if kind.protocol == "chat_completions"
    }


@EVERY_KIND
def test_its_addresses_are_known_for_its_own(kind: ServerKind) -> None:
    for known in kind.hosts:
        host = f"anything{known}" if known.startswith(".") else known
        assert not kind.is_at(f"{host}.example")
        assert not kind.is_at(f"other-{known.lstrip('.')}")
        assert named_upstream(f"https://{host}/v1") == UpstreamSettings(host, kind.name, f"https://{host}/v1")
    if kind.port:
        url = f"http://box:{kind.port}/v1"
        is_of = kind.name if kind.port_is_telling else "generic"
        assert named_upstream(url) == UpstreamSettings(f"box:{kind.port}", is_of, url)
    # What is of one kind is of no other.
    others = [other for other in SERVER_KINDS.values() if other != kind]
    assert not any(set(kind.hosts) & set(other.hosts) for other in others)
    assert not any(kind.port and kind.port == other.port for other in others)


@EVERY_KIND
def test_it_is_looked_for_on_this_machine_where_it_listens(kind: ServerKind) -> None:
    found = [server for server in LOCAL_SERVERS if server.kind == kind.name]
    assert found == ([LocalServer(kind.name, kind.port)] if kind.port else [])
    assert all(server.url == kind.url for server in found)


@EVERY_KIND
async def test_its_key_is_found_and_missed(kind: ServerKind, tmp_path: Path) -> None:
    nowhere = {"HF_HOME": str(tmp_path)}
    for name in kind.key_variables:
        assert find_key(kind, nowhere | {name: " key-1 "}) == ("key-1", name)
    assert find_key(kind, nowhere) is None
    if not kind.needs_key or kind.needs_address:
        return
    running = Gateway(resolve(environ={"GPTOSS_UPSTREAM": kind.name}).settings, nowhere)
    said = f"No key is configured for {kind.title}. {kind.key_step}"
    assert (await running.health()).detail == said
    with pytest.raises(UpstreamLoginRequired, match=re.escape(said)):
        await ask(running, turn())
    await running.close()


@EVERY_KIND
def test_it_is_told_in_one_way(kind: ServerKind) -> None:
    assert re.fullmatch(r"[a-z0-9.-]+", kind.name)
    assert kind.title
    assert bool(kind.key_step) == kind.needs_key
    assert not kind.url or re.match(r"https?://\S+[^/]$", kind.url)
    assert kind.needs_key or not kind.taken_for_key


def test_a_new_kind_is_one_row() -> None:
    """Nothing holds a list of its own: the tests for each kind run for one more, and pass."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.core.toy_kind", "-p", "no:cacheprovider"),
            *("-k", "toy and not test_a_new_kind", "tests/core", "tests/backends", "tests/upstreams"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    counted = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout
    assert counted is not None
    assert int(counted[1]) >= 90
