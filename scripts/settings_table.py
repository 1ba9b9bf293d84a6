"""Writes the table of settings in docs/configuration.md anew: ``python scripts/settings_table.py``.

With ``--check`` it only says, by its exit code, whether the page is up to date.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from gptoss_api.config import OPTIONS, Option

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
BEGIN = "<!-- Written by scripts/settings_table.py -->\n"
END = "<!-- End of the table -->\n"


def table() -> Iterator[str]:
    yield "| Environment | File | Meaning | Default | Allowed |\n"
    yield "|---|---|---|---|---|\n"
    for option in OPTIONS:
        yield "| " + " | ".join(cells(option)) + " |\n"


def cells(option: Option) -> Iterator[str]:
    yield f"`{option.env}`"
    yield f"`{option.toml}`" if option.toml is not None else ""
    yield option.purpose
    yield plain(option.default)
    yield plain(option.kind.allowed)


def plain(text: str) -> str:
    """``text`` without meaning for Markdown."""
    return text.replace("*", r"\*").replace("|", r"\|")


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}\n{''.join(table())}\n{END}{after}"
    if "--check" in sys.argv:
        return int(page != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
