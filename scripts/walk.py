"""How far a request travels through the code: ``.venv/bin/python scripts/walk.py``.

A gateway serves over the simulated website, and each call of a function of ours in its event loop is noted.
For one text delta (plain, and with emulated tools) and for one whole chat request it says how many files are
on the way, and how often the way changes from one file to another. Beside that it counts modules under 30
lines, runs of six lines that stand in two places of ``src``, and public names that two rooms define.
"""

import ast
import atexit
import json
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = ROOT / "src" / "gptoss_api"
SHORT: Final = 30
RUN: Final = 6
_ASKED: Final = "The-question-that-is-followed"
_DELTA: Final = " landmark"
_OVER: Final = "/healthz?the-end"
_TOOL: Final = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def trace(target: str) -> None:
    """Notes where the main thread of this process goes; at its end that is written to ``target``."""
    notes: list[list[str]] = []
    prefix = str(SOURCE)

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(prefix):
            received = frame.f_locals.get("data") if code.co_name == "data_received" else None
            said = bytes(received).decode("utf-8", "replace") if received else ""
            notes.append([code.co_filename.removeprefix(prefix), said])

    atexit.register(lambda: Path(target).write_text(json.dumps(notes)))
    sys.setprofile(note)


def walked(*, tools: bool = False, stream: bool = True) -> tuple[list[str], list[str]]:
    """The files on the way of one chat request and, among them, of one delta if it streams.

    They stand in order, each as often as a function of it was called.
    """
    from tests.conftest import running_gateway
    from tests.simulator import Answer, simulator_thread

    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Warm up."}], "stream": stream}
    if tools:
        body["tools"] = [_TOOL]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "notes.json")
        before = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from scripts.walk import trace\n"
        before += f"trace({str(target)!r})"
        with (
            simulator_thread(auth="session") as simulator,
            running_gateway(Path(folder), simulator, before=before) as gateway,
        ):
            words = ["Some", " words", " before", _DELTA, " and", " after."]
            simulator.always(Answer("".join(words), deltas=words, pace=0.1 if stream else 0.0))
            address = f"{gateway.base_url}/v1/chat/completions"
            _post(address, body)
            _post(address, body | {"messages": [{"role": "user", "content": _ASKED}]})
            time.sleep(0.5)
            urllib.request.urlopen(gateway.base_url + _OVER).close()
        notes = [(file, said) for file, said in json.loads(target.read_text())]
    begin = next(at for at, (_, said) in enumerate(notes) if _ASKED in said)
    end = next(at for at, (_, said) in enumerate(notes) if _OVER in said)
    request = notes[begin:end]
    if not stream:
        return [file for file, _ in request], []
    delta = next(at for at, (_, said) in enumerate(request) if f'"{_DELTA}"' in said)
    after = next(at for at in range(delta + 1, len(request)) if request[at][1])
    return [file for file, _ in request], [file for file, _ in request[delta:after]]


def _post(address: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        answer.read()


def counted(way: Sequence[str]) -> str:
    changes = sum(before != after for before, after in pairwise(way))
    return f"{len(set(way))} files, {changes} changes of file"


def repeated_runs(lines_of: dict[Path, list[str]]) -> int:
    """How many runs of six lines of code stand in more than one place; longer ones count once a line."""
    places: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for lines in lines_of.values():
        code = [line.strip() for line in lines if _is_code(line)]
        for at in range(len(code) - RUN + 1):
            places[tuple(code[at : at + RUN])] += 1
    return sum(count > 1 for count in places.values())


def _is_code(line: str) -> bool:
    stripped = line.strip()
    return bool(stripped.strip("()[]{},:")) and not stripped.startswith(("#", "from ", "import "))


def shared_names(modules: dict[Path, ast.Module]) -> dict[str, list[str]]:
    """Public classes and functions that more than one room defines, with the rooms."""
    rooms: defaultdict[str, set[str]] = defaultdict(set)
    for path, tree in modules.items():
        room = path.relative_to(SOURCE).parts[0]
        for node in tree.body:
            if (
                isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name[0] != "_"
            ):
                rooms[node.name].add(room)
    return {name: sorted(found) for name, found in sorted(rooms.items()) if len(found) > 1}


def main() -> None:
    sys.path.insert(0, str(ROOT))
    _, delta = walked()
    _, with_tools = walked(tools=True)
    request, _ = walked(stream=False)
    sources = {path: path.read_text() for path in sorted(SOURCE.rglob("*.py"))}
    lines_of = {path: text.splitlines() for path, text in sources.items()}
    short = [
        path for path, lines in lines_of.items() if 0 < len(lines) < SHORT and path.name != "__init__.py"
    ]
    print(f"one text delta, plain:        {counted(delta)}")
    print(f"one text delta, with tools:   {counted(with_tools)}")
    print(f"one chat request, whole:      {counted(request)}")
    print(f"modules: {len(sources)}, of them under {SHORT} lines: {len(short)}")
    print(f"runs of {RUN} lines that stand in two places: {repeated_runs(lines_of)}")
    names = shared_names({path: ast.parse(text) for path, text in sources.items()})
    print(f"public names in two rooms: {len(names)}")
    for name, found in names.items():
        print(f"  {name}: {', '.join(found)}")


if __name__ == "__main__":
    main()
