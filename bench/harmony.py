"""Speed of the Harmony repair: ordinary answers and answers full of leaks, in small deltas.

Run ``python -m bench.harmony [--characters N]``. Ordinary text is the files of Python's standard library and
must come out as it is. Prints characters per second; fails below a million, or if time grows faster than
length.
"""

import argparse
import sys
import time

from gptoss_api.core.events import Event, Finished, ReasoningDelta, TextDelta
from gptoss_api.text.harmony import HarmonyRepair
from gptoss_api.text.tool_calls import DeclaredTool

from .parser import linear, ordinary_files, pieces_of

TOOLS = {name: DeclaredTool() for name in ("read_file", "write_file", "bash", "search", "name")}
LEAKS = (
    "<|channel|>analysis<|message|>The user wants a summary, so I count the words first.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>There are twelve words in `<|start|>` form.\n\n"
)
LEAST = 1e6


def run(texts: list[str], size: int, delta: type[TextDelta] | type[ReasoningDelta]) -> tuple[float, int]:
    """Seconds for all the texts, and how many of them came out changed."""
    seconds, changed = 0.0, 0
    for text in texts:
        batches = [[delta(piece)] for piece in pieces_of(text, size)]
        repair = HarmonyRepair(TOOLS)
        events: list[Event] = []
        begin = time.perf_counter()
        for batch in batches:
            events += repair.feed(batch)
        events += repair.feed([Finished("stop")])
        seconds += time.perf_counter() - begin
        changed += "".join(event.text for event in events if isinstance(event, delta)) != text
    return seconds, changed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--characters", type=int, default=10_000_000)
    characters = parser.parse_args().characters
    texts = ordinary_files(characters)
    leaky = [LEAKS * (characters // 10 // len(LEAKS))]
    fine = True
    for size in (4, 16, 1000):
        for delta in (TextDelta, ReasoningDelta):
            seconds, changed = run(texts, size, delta)
            speed = sum(map(len, texts)) / seconds
            print(
                f"{delta.__name__} of {size}: {speed / 1e6:.2f} million characters/s, "
                f"{changed} of {len(texts)} changed"
            )
            fine &= speed >= LEAST and not changed
        speed = len(leaky[0]) / run(leaky, size, TextDelta)[0]
        print(f"leaks in deltas of {size}: {speed / 1e6:.2f} million characters/s")
        fine &= speed >= LEAST
    fine &= linear("leaks", lambda length: run([leaky[0][:length]], 4, TextDelta)[0], len(leaky[0]))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
