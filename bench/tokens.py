"""Speed of counting tokens, of words that were not seen before and of those that were.

Run ``python bench/tokens.py`` (seconds). ``--source FOLDER`` counts with the code of another tree, such as
the ``src`` of an older commit: run the two in turns and compare. Prints CPU milliseconds, the best of some
rounds.
"""

import argparse
import importlib
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 7


def texts() -> dict[str, str]:
    """English, code, several languages, and words and letters by chance, where hardly anything is a token."""
    chance = random.Random(5)
    library = Path(random.__file__).parent
    sentences = ["Grüße, Jürgen! ", "你好，世界。", "Привет, как дела? ", "こんにちは世界 ", "naïve café "]
    letters = chance.choices("etaoinshrdlucmfwyp", k=200_000)
    words, at = [], 0
    while at < len(letters):
        length = chance.randint(3, 11)
        words.append("".join(letters[at : at + length]))
        at += length
    return {
        "a question": "You are a helpful assistant. How many people live in the capital of France today?",
        "English": (library / "pydoc_data/topics.py").read_text("utf-8").replace("\\n", "\n"),
        "code": "".join(
            (library / f"{name}.py").read_text("utf-8") for name in ("argparse", "datetime", "typing")
        ),
        "languages": "".join(chance.choice(sentences) for _ in range(3000)),
        "words by chance": " ".join(words),
        "letters by chance": "".join(letters[:60_000]),
    }


def best(count: Callable[[], object], before: Callable[[], object]) -> float:
    """Milliseconds."""
    times = []
    for _ in range(ROUNDS):
        before()
        begin = time.process_time()
        count()
        times.append(time.process_time() - begin)
    return min(times) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=Path(__file__).parent.parent / "src")
    sys.path.insert(0, str(parser.parse_args().source.resolve()))
    module = importlib.import_module("gptoss_api.text.tokens")
    tokens = module.Tokens()
    tokens.warm()

    def forget() -> None:
        words = tokens._words
        words.clear()
        words.pieces.clear()
        words.pieces.merged.cache_clear()

    print("| text | not seen, ms | seen, ms |\n|---|---:|---:|")
    for name, text in texts().items():
        new = best(lambda text=text: tokens.count_once(text), forget)  # type: ignore[misc]  # bound in the loop
        seen = best(lambda text=text: tokens.count_once(text), lambda: None)  # type: ignore[misc]  # as above
        print(f"| {name} | {new:.3f} | {seen:.3f} |")


if __name__ == "__main__":
    main()
