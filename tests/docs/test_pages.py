"""What the pages of the documentation list is what there is."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import gptoss_api.upstreams.chatkit.failures  # noqa: F401  # has errors of its own
from gptoss_api.cli import main
from gptoss_api.config import OPTIONS
from gptoss_api.core.errors import GatewayError
from gptoss_api.server.status import ENDPOINTS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("bench/*.md"),
        *(page for page in ROOT.glob("tests/**/*.md") if "node_modules" not in page.parts),
    ]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"(?ms)^```.*?^```|`[^`\n]+`")


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))


def code(page: Path) -> str:
    """Only the code blocks and code spans of a page."""
    return "\n".join(CODE.findall(page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", prose(page))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_settings_on_pages_exist(page: Path) -> None:
    text = code(page)
    targets = re.findall(r"(?m)^([a-z0-9]+):", (ROOT / "Makefile").read_text())
    options = {option.flag for option in OPTIONS if not option.secret}
    for target in re.findall(r"\bmake ([a-z]\w+)", text):
        assert target in targets
    for name in re.findall(r"\bgptoss-api ([a-z]\w+)", text):
        assert name in main.list_commands(click.Context(main))
    for flag in re.findall(r"(?:gptoss-api serve|make run ARGS=\")[^\n]*?(--[a-z-]+)", text):
        assert flag in options
    for variable in re.findall(r"\bGPTOSS_[A-Z_]+", text):
        assert variable in {option.env for option in OPTIONS}


def test_the_table_of_settings_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "settings_table.py"), "--check"]
    assert subprocess.run(command).returncode == 0, "run scripts/settings_table.py"


def test_every_endpoint_is_described() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for endpoint in ENDPOINTS:
        assert f"`{endpoint}`" in page, endpoint


def error_codes() -> Iterator[str]:
    """The codes of all errors: those of the classes, and those given where an error is raised."""
    classes = [GatewayError]
    while classes:
        error = classes.pop()
        classes += error.__subclasses__()
        if error.default_code is not None:
            yield error.default_code
    for file in (ROOT / "src").rglob("*.py"):
        yield from re.findall(r'\bcode="(\w+)"', file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("code", sorted(set(error_codes())))
def test_every_error_code_has_its_remedy(code: str) -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert any(line.startswith("|") and f"`{code}`" in line for line in page.splitlines())
