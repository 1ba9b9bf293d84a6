"""How much later text leaves when the client sent tools: characters held back, and what reading costs.

Run ``python bench/holdback.py [--texts N]``. Excerpts of ordinary text (Python's library and the readme
files of what is installed) are streamed in pieces of about a token through the whole emulation of one
choice, with and without tools. Prints how many pieces the first text and the longest wait take, how much
is held back at any moment, and the time for a piece; fails if more than half of the texts begin late.
"""

import argparse
import random
import statistics
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gptoss_api.core.events import Started, TextDelta
from gptoss_api.core.turn import Tool, Turn, UserMessage
from gptoss_api.emulation.answer.choice import ChoiceMachine
from gptoss_api.emulation.plan import make_plan
from gptoss_api.emulation.prompt.key import Preamble
from gptoss_api.text.tokens import Tokens
from gptoss_api.upstreams.base import Capabilities

# Characters of a piece: an English token has between four and five.
PIECE = 4
# An answer of about 600 tokens.
EXCERPT = 2_500
# Machines have other things to do: the least time of so many rounds counts.
ROUNDS = 3
NAMES = ("read_file", "write_file", "bash", "search", "list_directory", "name")


@dataclass
class Measured:
    """Counts of pieces and characters over all texts; ``seconds`` is the time for everything."""

    first: list[int] = field(default_factory=list)
    longest: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    changed: int = 0
    pieces: int = 0
    seconds: float = 0.0


def sample(count: int, seed: int) -> list[str]:
    """Excerpts that begin at a paragraph, two of three from documents, one from code."""
    chance = random.Random(seed)
    library, installed = (Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib"))
    code = sorted(library.glob("*/*.py"))
    documents = sorted(
        path
        for root in (library, installed)
        for pattern in ("**/METADATA", "**/*.md", "**/*.rst", "**/*.txt")
        for path in root.glob(pattern)
        if path.stat().st_size > 1_000
    )
    texts: list[str] = []
    while len(texts) < count:
        path = chance.choice(documents if documents and len(texts) % 3 else code)
        text = path.read_text("utf-8", errors="replace")
        begin = text.find("\n\n", chance.randrange(max(1, len(text) - EXCERPT)))
        excerpt = text[begin + 2 : begin + 2 + EXCERPT] if begin >= 0 else text[:EXCERPT]
        if excerpt.strip():
            texts.append(excerpt.lstrip("\n"))
    return texts


def stream(texts: Sequence[str], tools: tuple[Tool, ...], tokens: Tokens) -> Measured:
    turn = Turn("gpt-oss-120b", (UserMessage("Tell me more."),), tools=tools)
    plan = make_plan(turn, Capabilities(), preamble=Preamble(turn, "ts"), secret=b"bench")
    measured = Measured()
    for text in texts:
        batches = [[TextDelta(text[at : at + PIECE])] for at in range(0, len(text), PIECE)]
        choice = ChoiceMachine(plan.spec, tokens, strict=True)
        choice.feed([Started("bench", turn.model)])
        fed = given = 0
        first: int | None = None
        longest = waited = 0
        out = []
        begin = time.perf_counter()
        for batch in batches:
            out.append(choice.feed(batch))
        measured.seconds += time.perf_counter() - begin
        for number, (batch, events) in enumerate(zip(batches, out, strict=True)):
            fed += len(batch[0].text)
            passed = sum(len(event.text) for event in events if isinstance(event, TextDelta))
            given += passed
            waited = 0 if passed else waited + 1
            longest = max(longest, waited)
            if passed and first is None:
                first = number
            measured.held.append(fed - given)
        measured.first.append(len(batches) if first is None else first)
        measured.longest.append(longest)
        measured.pieces += len(batches)
        measured.changed += not text.startswith(choice.delivered.text)
    return measured


def percentiles(values: Sequence[int]) -> str:
    cuts = statistics.quantiles(values, n=1000, method="inclusive")
    shown = (statistics.median(values), cuts[949], cuts[989], cuts[998], max(values))
    return "".join(f"{value:>9.0f}" for value in shown)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    texts = sample(options.texts, options.seed)
    tokens = Tokens()
    tools = tuple(Tool(name, "Does it.") for name in NAMES)
    rounds = [(stream(texts, (), tokens), stream(texts, tools, tokens)) for _ in range(ROUNDS)]
    plain, tooled = rounds[0]
    print(f"{len(texts)} texts of up to {EXCERPT} characters in pieces of {PIECE}, with {len(NAMES)} tools")
    print(f"{'':44}{'median':>9}{'95 %':>9}{'99 %':>9}{'99.9 %':>9}{'most':>9}")
    print(f"{'pieces before the first text, no tools':44}{percentiles(plain.first)}")
    print(f"{'pieces before the first text, tools':44}{percentiles(tooled.first)}")
    print(f"{'longest wait in a text, pieces, tools':44}{percentiles(tooled.longest)}")
    print(f"{'characters held back at any moment, tools':44}{percentiles(tooled.held)}")
    print(f"{sum(first > 0 for first in tooled.first)} of {len(texts)} texts begin later with tools")
    for name, measured in zip(("no tools", "tools"), zip(*rounds, strict=True), strict=True):
        least = min(each.seconds / each.pieces for each in measured)
        print(f"{name}: {least * 1e6:.2f} microseconds for a piece")
    if plain.changed or tooled.changed:
        print(f"{plain.changed} and {tooled.changed} texts came out changed")
    return 0 if statistics.median(tooled.first) == 0 and not plain.changed else 1


if __name__ == "__main__":
    sys.exit(main())
