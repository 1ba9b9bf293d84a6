"""Speed of the tool-call parser, and of what makes arguments fit their schema, in small deltas.

The parser reads ordinary text and one long argument, the fitter the same argument and many small values.

Run ``python bench/parser.py [--characters N]``. The text is made of the files of Python's standard
library. Prints characters per second; fails if time grows faster than length.
"""

import argparse
import json
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from gptoss_api.text.fitting import ArgumentFitter
from gptoss_api.text.schema_places import Places
from gptoss_api.text.tool_calls import CallArgs, Content, DeclaredTool, ParserConfig, ToolCallParser

CONFIG = ParserConfig(
    key="k7q2",
    tools={name: DeclaredTool() for name in ("read_file", "write_file", "bash", "search", "name")},
)
OPENER = '<tool_call key="k7q2" name="write_file">\n'
# Measured twice as long may take this much more than twice as long (timers, caches).
TOLERANCE = 1.6


def ordinary_files(characters: int) -> list[str]:
    """Texts of the standard library, as many as make up ``characters``."""
    library = Path(sysconfig.get_path("stdlib"))
    paths = sorted(path for end in ("*.py", "*.txt", "*.md") for path in library.rglob(end))
    texts: list[str] = []
    while characters > 0:
        for path in paths:
            texts.append(path.read_text("utf-8", errors="replace")[:characters])
            characters -= len(texts[-1])
            if characters <= 0:
                break
    return texts


def pieces_of(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def run_text(texts: list[str], size: int) -> tuple[float, int]:
    """Seconds for all the texts, and how many of them came out changed."""
    seconds, changed = 0.0, 0
    for text in texts:
        pieces = pieces_of(text, size)
        parser = ToolCallParser(CONFIG)
        events = []
        begin = time.perf_counter()
        for piece in pieces:
            events += parser.feed(piece)
        events += parser.finish()
        seconds += time.perf_counter() - begin
        changed += "".join(event.text for event in events if isinstance(event, Content)) != text
    return seconds, changed


def run_argument(characters: int, size: int) -> float:
    code = '    print("one", \'two\')  # {"a": [1, 2]}\n'
    value = {"path": "x.py", "code": code * (characters // len(json.dumps(code)))}
    pieces = pieces_of(f"{OPENER}{json.dumps(value)}\n</tool_call>", size)
    parser = ToolCallParser(CONFIG)
    events = []
    begin = time.perf_counter()
    for piece in pieces:
        events += parser.feed(piece)
    events += parser.finish()
    seconds = time.perf_counter() - begin
    arguments = "".join(event.json_text for event in events if isinstance(event, CallArgs))
    if json.loads(arguments) != value:
        raise SystemExit("the argument was changed")
    return seconds


SCHEMA = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "code": {"type": "string"},
        "rows": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}},
    },
    "required": ["path"],
    "additionalProperties": False,
}


def run_fitter(characters: int, size: int, *, rows: bool = False) -> float:
    """Seconds for one long string, or for ``rows`` of which every second one has to be mended."""
    line = '    print("one", \'two\')  # {"a": [1, 2]}\n'
    value = {"path": "x.py", "code": line * (characters // len(json.dumps(line)))}
    text = json.dumps(value)
    if rows:
        text = json.dumps({"path": "x.py", "rows": [{"id": 7}, {"id": "7"}] * (characters // 22)})
    machine = ArgumentFitter(Places(SCHEMA))
    pieces = pieces_of(text, size)
    begin = time.perf_counter()
    fitted = "".join([machine.feed(piece) for piece in pieces]) + machine.finish()
    seconds = time.perf_counter() - begin
    if fitted != text.replace('"7"', "7"):
        raise SystemExit("the argument was changed")
    return seconds


def linear(name: str, measure: Callable[[int], float], characters: int) -> bool:
    half, whole = (min(measure(length) for _ in range(3)) for length in (characters // 2, characters))
    growth = whole / half
    print(f"  {name}: twice the length takes {growth:.2f} times as long")
    return growth < 2 * TOLERANCE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--characters", type=int, default=20_000_000)
    characters = parser.parse_args().characters
    texts = ordinary_files(characters)
    for size in (4, 16, 1000):
        seconds, changed = run_text(texts, size)
        speed = sum(map(len, texts)) / seconds / 1e6
        print(
            f"text in deltas of {size}: {speed:.2f} million characters/s, {changed} of {len(texts)} changed"
        )
    argument = 1_000_000
    for size in (4, 1000):
        seconds = run_argument(argument, size)
        print(f"argument in deltas of {size}: {argument / seconds / 1e6:.2f} million characters/s")
    for size in (4, 1000):
        seconds = run_fitter(argument, size)
        print(f"argument fitted in deltas of {size}: {argument / seconds / 1e6:.2f} million characters/s")
        seconds = run_fitter(argument, size, rows=True)
        print(f"small values fitted in deltas of {size}: {argument / seconds / 1e6:.2f} million characters/s")
    fine = linear("text", lambda length: run_text(["".join(texts)[:length]], 4)[0], characters // 4)
    fine &= linear("argument", lambda length: run_argument(length, 4), argument)
    fine &= linear("fitted", lambda length: run_fitter(length, 4), argument)
    fine &= linear("small values", lambda length: run_fitter(length, 4, rows=True), argument)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
