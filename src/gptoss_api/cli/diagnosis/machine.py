"""What this machine and its settings are like: Python, packages, files, port, proxy, store."""

import asyncio
import os
import platform
import re
import shlex
import socket
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ... import __file__ as _package
from ... import __version__
from ...config import ConfigError, Resolution, Settings
from ...core.program import command
from ...gateway import created_keys_exist, open_state, state_url
from ...server.listening import listen, remedy
from ...server.neighbour import NEAR, Neighbour, address_of, find_neighbour
from ...server.running import find_address
from ...state import StoreUnavailable, keys_of, secret_file, without_password
from ...state.store import Entry, Space
from ...upstreams.chatkit.credentials import file_before
from .findings import Finding

_OLDEST: Final = (3, 11)
_NEWEST_TESTED: Final = (3, 14)
_PACKAGE: Final = "gptoss-api"
# What packages are imported as where that is not their name.
_MODULES: Final = {"pycryptodomex": "Cryptodome", "opentelemetry-sdk": "opentelemetry.sdk"}
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?P<bounds>[^;]*)(?:;\s*(?P<marker>.*))?"
)
_BOUND: Final = re.compile(r"\s*(>=|<=|==|!=|~=|<|>)\s*([0-9][0-9A-Za-z.*+!-]*)\s*")
_PIN: Final = re.compile(r"([A-Za-z0-9._-]+)==([^\s\\;]+)")
_PROBE: Final = Space("doctor", ttl=60.0, entries=16, value_size=64, secret=False)
# Seconds for a store to answer.
_STORE_TIME: Final = 10.0


def check_python() -> Finding:
    what = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    found = sys.version_info[:2]
    if found < _OLDEST:
        return Finding("python", "error", what, "Install Python 3.11 or newer.")
    if found > _NEWEST_TESTED or platform.python_implementation() != "CPython":
        newest = ".".join(map(str, _NEWEST_TESTED))
        return Finding("python", "warning", what, f"It was tested with CPython 3.11 to {newest} only.")
    return Finding("python", "ok", what)


# -- packages ----------------------------------------------------------------------------------------


def check_packages(
    requirements: Iterable[str] | None = None, pins: Mapping[str, str] | None = None
) -> list[Finding]:
    """Whether what the program needs is there, new enough, and can be loaded.

    ``requirements`` are those of the package, ``pins`` the versions that it was tested with, unless given.
    """
    try:
        wanted = metadata.requires(_PACKAGE) if requirements is None else requirements
    except metadata.PackageNotFoundError:
        wanted = None
    if wanted is None:
        what = f"the package {_PACKAGE} is not installed in {sys.prefix}"
        return [Finding("dependencies", "warning", what, "Install it with pip, or start it with `make run`.")]
    pins = _pins() if pins is None else pins
    needed = [found for text in wanted if (found := _needed(text)) is not None]
    problems = [problem for name, bounds in needed for problem in _package_problems(name, bounds, pins)]
    known = f"{len(needed)} packages, " + ("as they are pinned" if pins else "new enough")
    return problems or [Finding("dependencies", "ok", known)]


def _pins() -> Mapping[str, str]:
    """The versions in the file that a clone has."""
    file = Path(_package).parents[2] / "requirements/run.txt"
    try:
        return dict(_PIN.findall(file.read_text(encoding="utf-8")))
    except OSError:
        return {}


def _needed(requirement: str) -> tuple[str, str] | None:
    """Name and bounds of a requirement that counts here: extras count where they are installed anyway."""
    found = _REQUIREMENT.fullmatch(requirement.strip())
    if found is None:
        return None
    marker = found["marker"] or ""
    if "sys_platform" in marker and ("!=" in marker) == (sys.platform in marker):
        return None
    if "extra" in marker and _version(found["name"]) is None:
        return None
    return found["name"], found["bounds"].strip(" ()")


def _package_problems(name: str, bounds: str, pins: Mapping[str, str]) -> Iterator[Finding]:
    version = _version(name)
    mend = f"Run `make run`, or: {shlex.quote(sys.executable)} -m pip install {shlex.quote(name + bounds)}"
    if version is None:
        yield Finding("dependencies", "error", f"{name} is not installed", mend, name)
        return
    if not all(_fits(version, sign, bound) for sign, bound in _BOUND.findall(bounds)):
        yield Finding("dependencies", "error", f"{name} {version} does not fit {bounds}", mend, name)
        return
    module = _MODULES.get(name, name.replace("-", "_"))
    try:
        if not name.startswith("opentelemetry-exporter"):
            import_module(module)
    except Exception as error:  # a broken package may fail in any way
        what = f"{name} {version} cannot be loaded: {type(error).__name__}"
        yield Finding("dependencies", "error", what, f"{mend} --force-reinstall", name)
        return
    pinned = pins.get(name)
    if pinned is not None and pinned != version:
        what = f"{name} is {version}, and was tested as {pinned}"
        yield Finding("dependencies", "warning", what, "Run `make run`, which installs what is pinned.", name)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(version: str, sign: str, bound: str) -> bool:
    """Whether a release fits one bound; only its numbers count."""
    here, there = _numbers(version), _numbers(bound)
    length = max(len(here), len(there))
    here, there = here + (0,) * (length - len(here)), there + (0,) * (length - len(there))
    match sign:
        case ">=" | "~=":
            return here >= there
        case "<=":
            return here <= there
        case ">":
            return here > there
        case "<":
            return here < there
        case "!=":
            return here != there
        case _:
            return here == there


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, leading[0].split("."))) if leading else ()


# -- settings ----------------------------------------------------------------------------------------


def check_settings(resolution: Resolution) -> list[Finding]:
    """What the settings warn of, but for files, and whether everyone could get in."""
    findings = [
        Finding("configuration", "warning", warning)
        for warning in resolution.warnings
        if not _is_about_files(warning)
    ]
    try:
        resolution.refuse_exposure(created_keys_exist)
    except ConfigError as error:
        findings.append(Finding("configuration", "error", str(error)))
    if findings:
        return findings
    set_here = sum(1 for _, _, source in resolution if source.kind != "default")
    file = resolution.settings.config_file
    where = f", some of them in {file}" if file is not None else ""
    return [Finding("configuration", "ok", f"{set_here} settings differ from their defaults{where}")]


def check_files(resolution: Resolution) -> list[Finding]:
    """Whether anybody else can read what nobody else should."""
    findings = [
        Finding("files", "warning", text, f"Run: {mend}")
        for warning in resolution.warnings
        if _is_about_files(warning)
        for text, _, mend in [warning.partition("; run: ")]
    ]
    for path in _private_files(resolution.settings):
        findings += _open_to_others(path)
    return findings or [Finding("files", "ok", "only you can read what is kept in files")]


def _is_about_files(warning: str) -> bool:
    return warning.startswith("others can read the secrets in ")


def _private_files(settings: Settings) -> Iterator[Path]:
    """Those that the settings do not look at themselves."""
    if settings.credentials_file is not None:
        yield file_before(settings.credentials_file)
    url = state_url(settings)
    try:
        secret = secret_file(url)
    except ValueError:
        return
    if secret is not None:
        yield secret
    if urlsplit(url).scheme == "sqlite":
        store = open_state(settings)
        path = getattr(store, "path", None)
        if isinstance(path, Path):
            yield path
            yield path.with_name(f"{path.stem}-usage{path.suffix}")


def _open_to_others(path: Path) -> Iterator[Finding]:
    if os.name != "posix":
        return
    try:
        found = path.stat()
    except OSError:
        return
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        mend = f"Run: chmod 600 {shlex.quote(str(path))}"
        yield Finding("files", "warning", f"others can read {path} (mode {mode:04o})", mend)


# -- the network of this machine ---------------------------------------------------------------------


def check_port(resolution: Resolution) -> Finding:
    """Whether the gateway can listen, or does so already, there or elsewhere."""
    host, port = resolution.settings.host, resolution.settings.port
    url = find_address(resolution)
    if url != address_of(host, port) and (running := find_neighbour(url, {}, NEAR)) is not None:
        return _at_work(running)
    if not port:
        return Finding("port", "ok", f"any free port of {host} will be taken")
    try:
        for listener in listen(host, port):
            listener.close()
    except OSError as error:
        running = None if isinstance(error, socket.gaierror) else find_neighbour(url, {}, NEAR)
        if running is None:
            reason = error.strerror or str(error)
            advice = remedy(error, host, port)
            return Finding("port", "error", f"cannot listen on {host}:{port}: {reason}", _sentence(advice))
        return _at_work(running)
    return Finding("port", "ok", f"{host}:{port} is free; no gateway is running there")


def _at_work(running: Neighbour) -> Finding:
    source = f", its answers come from {running.upstream}" if running.upstream else ""
    what = f"a gateway of version {running.version} is at {running.url}/v1{source}"
    if running.version != __version__:
        return Finding("port", "warning", f"{what}; this is {__version__}", "Stop it and start this one.")
    return Finding("port", "ok", what)


def check_proxies(settings: Settings) -> Finding:
    """Whether clients on this machine would send what is for the gateway to a proxy instead."""
    asked = sorted(scheme for scheme in getproxies() if scheme in ("http", "https", "all"))
    if not asked:
        return Finding("proxy", "ok", "no proxy is asked for")
    names = ", ".join(_variable(scheme) for scheme in asked)
    # The gateway's own address is always http.
    caught = [
        host
        for host in ("127.0.0.1", "localhost")
        if {"http", "all"} & set(asked) and not proxy_bypass(f"{host}:{settings.port}")
    ]
    if caught:
        return Finding(
            "proxy",
            "warning",
            f"{names} would have clients send what is for {' and '.join(caught)} to a proxy",
            "Set NO_PROXY=localhost,127.0.0.1,::1 (add to what it has) where clients are started.",
        )
    return Finding("proxy", "ok", f"{names}: for upstreams, not for this machine")


def _variable(scheme: str) -> str:
    upper = f"{scheme}_PROXY".upper()
    return upper if upper in os.environ or upper.lower() not in os.environ else upper.lower()


# -- the store ---------------------------------------------------------------------------------------


async def check_store(settings: Settings) -> Finding:
    """Whether the store takes something, gives it back and forgets it."""
    shown = without_password(state_url(settings))
    try:
        store = open_state(settings)
    except ConfigError as error:
        return Finding("store", "error", str(error), "Correct GPTOSS_STATE.")
    key = os.urandom(8)
    try:
        async with asyncio.timeout(_STORE_TIME):
            await store.put(_PROBE, Entry(key, b"doctor"))
            kept = await store.get(_PROBE, key)
            await store.delete(_PROBE, key)
            keys = keys_of(store)
            created = await keys.read_keys(None) if keys is not None else None
    except StoreUnavailable as error:
        return Finding("store", "error", f"{shown}: {error}", _mend_store(shown, str(error)))
    except TimeoutError:
        return Finding("store", "error", f"{shown}: no answer in {_STORE_TIME:g} s", _mend_store(shown))
    finally:
        await store.close()
    if list(kept) != [b"doctor"]:
        return Finding("store", "warning", f"{shown} does not keep what it is given", _mend_store(shown))
    if keys is None:
        what = f"{shown}: what is remembered ends with the gateway"
        return Finding("store", "ok", what)
    many = len(created[1]) if created is not None else 0
    return Finding("store", "ok", f"{shown} answers; API keys in it: {many}")


def _mend_store(shown: str, said: str = "") -> str:
    if "not a database" in said or "malformed" in said:
        return (
            "Move that file away and start again with an empty one, put a backup there, or set GPTOSS_STATE."
        )
    if "Is a directory" in said:
        return "Name a file in GPTOSS_STATE, such as one in that folder."
    if shown.startswith("sqlite"):
        return "Make its folder writable and see that the disk is not full, or set GPTOSS_STATE."
    return f"Start that server, or correct GPTOSS_STATE (`{command()} config` shows it)."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
