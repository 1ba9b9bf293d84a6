"""The machine: which core runs what, and what the kernel says of processes and of itself. Linux only."""

import os
import platform
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path

import msgspec

# The program under test has a core to itself; the stub, the load generator and the benchmark share another.
GATEWAY_CORE = 0
LOAD_CORE = 1

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Memory(msgspec.Struct, frozen=True):
    """Bytes of a process and its descendants; ``pss`` counts shared pages by their share."""

    rss: int
    pss: int


@contextmanager
def on_cores(cores: AbstractSet[int]) -> Iterator[None]:
    """Processes that are started inside the block stay on ``cores``."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def process_tree(pid: int) -> list[int]:
    """``pid`` and every descendant that still runs."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its descendants, and those of them that have ended."""
    ticks = 0
    for process in process_tree(pid):
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            continue
        # The name in parentheses may hold spaces; utime, stime, cutime and cstime are fields 14 to 17.
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS


def resident(pid: int) -> int:
    """Resident bytes of a process and its descendants; cheap enough to sample."""
    pages = 0
    for process in process_tree(pid):
        try:
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * _PAGE


def memory(pid: int) -> Memory:
    pss = 0
    for process in process_tree(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        pss += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return Memory(rss=resident(pid), pss=pss)


def busy_seconds() -> float:
    """Time that both cores in use have spent on anything at all since the machine started."""
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in (f"cpu{GATEWAY_CORE}", f"cpu{LOAD_CORE}"):
            times = list(map(int, fields))
            ticks += sum(times[:8]) - times[3] - times[4]
    return ticks / _TICKS


def describe() -> dict[str, str]:
    """What a reader must know to judge the absolute numbers."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    size = os.sysconf("SC_PHYS_PAGES") * _PAGE
    return {
        "processor": f"{cpu}, {os.cpu_count()} cores",
        "memory": f"{size / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def told(machine: Mapping[str, str]) -> str:
    """The same in a sentence."""
    return f"{machine['processor']}, {machine['memory']}, {machine['system']}, Python {machine['python']}."
