"""Where the time goes, as pictures: ``python -m bench.flame`` writes ``flame-NAME.svg`` for some loads.

Each load of :mod:`bench.against` is sampled with py-spy, which is installed into ``bench/.work``, while the
gateway of this tree answers it, or with ``--commit`` that of another commit. Threads that wait for work are
left out.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final
from zlib import crc32

from . import against, contenders
from .load import BenchError, Native
from .running import free_port, start_stub

_LOADS: Final = ("whole", "stream", "agent")
_SECONDS: Final = 10.0
_RATE: Final = 400

_WIDTH: Final = 1200
_ROW: Final = 17
# Widths, in pixels: of the narrowest box, of the narrowest with a name in it, and of a letter.
_LEAST: Final = 1.5
_LEAST_NAMED: Final = 30
_LETTER: Final = 6.7
_STYLE: Final = "text{font:11px ui-monospace,monospace;fill:#111}rect{stroke:#fff;stroke-width:.4}"
# Frames of who starts everything, which say nothing.
_BEFORE: Final = "run_in_loop"
_WAITING: Final = ("_worker (concurrent/futures/thread.py", "select (selectors.py")


@dataclass(slots=True)
class _Frame:
    samples: int = 0
    called: dict[str, "_Frame"] = field(default_factory=dict)

    def add(self, names: list[str], samples: int) -> None:
        self.samples += samples
        frame = self
        for name in names:
            frame = frame.called.setdefault(name, _Frame())
            frame.samples += samples

    def depth(self) -> int:
        return 1 + max((frame.depth() for frame in self.called.values()), default=0)


def flame(stacks: str, title: str) -> str:
    """An SVG of folded ``stacks`` as py-spy writes them: ``outer;inner samples``, a line for each stack."""
    root = _Frame()
    for line in stacks.splitlines():
        stack, _, samples = line.rpartition(" ")
        # Lines within a function are one frame.
        names = [name.rpartition(":")[0] or name for name in stack.split(";")]
        if not names[-1].startswith(_WAITING):
            begin = next((i + 1 for i, name in enumerate(names) if name.startswith(_BEFORE)), 0)
            root.add(names[begin:], int(samples))
    height = _ROW * (root.depth() + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" role="img" aria-label="{escape(title)}">',
        f'<style>{_STYLE}</style><rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="4" y="12">{escape(title)}: {root.samples:,} samples</text>',
        *_boxes(root, 0.0, _ROW, _WIDTH / max(root.samples, 1), root.samples),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _boxes(frame: _Frame, x: float, y: int, scale: float, all_samples: int) -> Iterator[str]:
    for name, called in sorted(frame.called.items()):
        width = called.samples * scale
        if width >= _LEAST:
            told = f"{name}): {called.samples / all_samples:.1%}"
            place = f'x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 1}"'
            yield f'<g><title>{escape(told)}</title><rect {place} fill="{_colour(name)}"/>'
            if width > _LEAST_NAMED:
                shown = escape(name[: int(width / _LETTER)])
                yield f'<text x="{x + 2:.1f}" y="{y + 12}">{shown}</text>'
            yield "</g>"
            yield from _boxes(called, x, y + _ROW, scale, all_samples)
        x += width


def _colour(name: str) -> str:
    """Ours in warm colours, libraries in grey."""
    shade = crc32(name.encode()) % 40
    return f"hsl({20 + shade} 85% 66%)" if "gptoss_api/" in name else f"hsl(210 12% {72 + shade // 4}%)"


def _sampled(case: against.Case, build: against.Build, spy: Path) -> str:
    """The folded stacks of the gateway while it answers ``case``."""
    native = Native(contenders.WORK)
    stub_port = free_port()
    stub = start_stub(native, stub_port)
    home = contenders.WORK / "against" / "flame"
    home.mkdir(parents=True, exist_ok=True)
    try:
        running, port = build.start(case.setting, stub_port, home)
        try:
            case.warm_up(native, port)
            with tempfile.NamedTemporaryFile() as file:
                command = [str(spy), "record", "-p", str(running.pid), "-d", str(int(_SECONDS)), "-f", "raw"]
                command += ["-r", str(_RATE), "-o", file.name]
                with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as sampler:
                    case.cost(native, running, port, _SECONDS - 1)
                    _, errors = sampler.communicate(timeout=60)
                if sampler.returncode:
                    raise BenchError(f"py-spy: {errors.decode(errors='replace').strip()[:200]}")
                return Path(file.name).read_text()
        finally:
            running.stop()
    finally:
        stub.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.flame", description=__doc__)
    names = [case.name for case in against.CASES if isinstance(case, against.Case)]
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=f"of {', '.join(names)}")
    parser.add_argument("--commit", help="that of this commit; its pictures have its name")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, help="the folder of the pictures")
    arguments = parser.parse_args()
    wanted = arguments.loads or _LOADS
    if unknown := set(wanted) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    try:
        contenders.WORK.mkdir(exist_ok=True)
        folder, _ = contenders.package("py-spy")
        build = against.build_of(arguments.commit) if arguments.commit else against.this_tree()
        suffix = f"-{build.name}" if arguments.commit else ""
        for case in against.CASES:
            if isinstance(case, against.Case) and case.name in wanted:
                stacks = _sampled(case, build, folder / "bin" / "py-spy")
                picture = arguments.into / f"flame-{case.name}{suffix}.svg"
                picture.write_text(flame(stacks, f"{case.title}, {build.name}"), encoding="utf-8")
                print(picture, flush=True)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
