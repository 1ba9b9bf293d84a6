"""Writes the tables of settings and of servers in docs/ anew: ``python scripts/settings_table.py``.

With ``--check`` it only says, by its exit code, whether the pages are up to date.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from gptoss_api.config import OPTIONS
from gptoss_api.core.servers import SERVER_KINDS, ServerKind
from gptoss_api.upstreams.openai_compatible import PROFILES, Profile

DOCS = Path(__file__).parents[1] / "docs"

Rows = Iterator[Iterable[str]]


def settings() -> Rows:
    yield "Environment", "File", "Meaning", "Default", "Allowed"
    for option in OPTIONS:
        file = f"`{option.toml}`" if option.toml is not None else ""
        yield (
            f"`{option.env}`",
            file,
            option.purpose,
            plain(option.default),
            plain(option.kind.allowed),
        )


def kinds() -> Rows:
    yield "Kind", "Server", "Where it usually is", "Addresses of this kind", "Key", "`auto` takes it"
    for kind in SERVER_KINDS.values():
        port = (f"any with port {kind.port}",) if kind.port_is_telling else ()
        yield (
            f"`{kind.name}`",
            "any other server" if kind.name == "generic" else kind.title,
            f"`{kind.url}`" if kind.url else "`url` has to be given",
            ", ".join((*(f"`{host}`" for host in kind.hosts), *port)),
            " or ".join(f"`{name}`" for name in kind.key_variables),
            when_auto_takes(kind),
        )


def when_auto_takes(kind: ServerKind) -> str:
    if kind.protocol == "chatkit":
        return "if there is a login"
    if kind.taken_for_key:
        return "if there is a key"
    return "if it lists a gpt-oss model there" if kind.port else ""


def habits() -> Rows:
    yield (
        "Kind",
        "Chain of thought sent back as",
        "Effort",
        "Limit",
        "`tool_choice` besides auto",
        "`response_format`",
    )
    for name, profile in PROFILES.items():
        yield (
            f"`{name}`",
            "not sent" if profile.reasoning_in == "none" else f"`{profile.reasoning_in}`",
            " and ".join(f"`{form}`" for form in profile.effort),
            f"`{profile.length}`",
            "native" if "required" in profile.tool_choice else "emulated",
            formats(profile),
        )


def formats(profile: Profile) -> str:
    if profile.json_schema:
        return "native" if profile.json_object else "schemas native"
    return "objects native" if profile.json_object else "emulated"


def plain(text: str) -> str:
    """``text`` without meaning for Markdown."""
    return text.replace("*", r"\*").replace("|", r"\|")


class Table(NamedTuple):
    """The table between the comments that name it; the first row is its head."""

    page: str
    name: str
    rows: Callable[[], Rows]

    def written_into(self, page: str) -> str:
        begin, end = (
            f"<!-- Written by scripts/settings_table.py: {self.name} -->\n",
            "<!-- End of the table -->\n",
        )
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"docs/{self.page} has no place for the table of {self.name}")
        head, *rows = ["| " + " | ".join(row) + " |\n" for row in self.rows()]
        rule = "|" + "---|" * (head.count(" | ") + 1) + "\n"
        return f"{before}{begin}\n{head}{rule}{''.join(rows)}\n{end}{after}"


TABLES = (
    Table("configuration.md", "settings", settings),
    Table("upstreams.md", "kinds of servers", kinds),
    Table("upstreams.md", "what each kind does itself", habits),
)


def main() -> int:
    stale = False
    for table in TABLES:
        path = DOCS / table.page
        page = path.read_text(encoding="utf-8")
        wanted = table.written_into(page)
        stale |= page != wanted
        if "--check" not in sys.argv:
            path.write_text(wanted, encoding="utf-8")
    return int(stale and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
