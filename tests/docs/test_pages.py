"""What the pages of the documentation list is what there is."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import gptoss_api.upstreams.chatkit.failures  # noqa: F401  # has errors of its own
from gptoss_api.cli import main
from gptoss_api.cli.chat.command import BASE_URL, KEY
from gptoss_api.config import OPTIONS
from gptoss_api.core.errors import GatewayError
from gptoss_api.dialects.openai_errors import OPENAI_ERRORS
from gptoss_api.dialects.registry import registered
from gptoss_api.server.surface import Surface
from gptoss_api.telemetry import metrics
from gptoss_api.upstreams.openai_compatible import PROFILES

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
    targets = re.findall(r"(?m)^([a-z0-9-]+):", (ROOT / "Makefile").read_text())
    options = {option.flag for option in OPTIONS if not option.secret}
    for target in re.findall(r"\bmake ([a-z][\w-]+)", text):
        assert target in targets
    for name in re.findall(r"\bgptoss-api ([a-z]\w+)", text):
        assert name in main.list_commands(click.Context(main))
    for flag in re.findall(r"(?:gptoss-api serve|make run ARGS=\")[^\n]*?(--[a-z-]+)", text):
        assert flag in options
    for variable in re.findall(r"\bGPTOSS_[A-Z_]+", text):
        assert variable in {option.env for option in OPTIONS} | {BASE_URL, KEY}


@pytest.mark.parametrize("name", ["scaling.md", "usage.md"])
def test_metrics_on_pages_exist(name: str) -> None:
    named = set(re.findall(r"`(gptoss_[a-z_]+)", (ROOT / "docs" / name).read_text(encoding="utf-8")))
    known = {metric.name for metric in vars(metrics).values() if isinstance(metric, metrics.Metric)}
    assert named
    assert named <= known


def test_the_tests_that_are_named_for_scaling_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/scaling.md").read_text(encoding="utf-8")))
    found = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/server/test_*.py"))
    assert named
    assert [name for name in named if f"def {name}(" not in found] == []


def test_the_table_of_settings_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "settings_table.py"), "--check"]
    assert subprocess.run(command).returncode == 0, "run scripts/settings_table.py"


ENDPOINTS = Surface(registered()).listed
ROUTE = re.compile(r"`((?:GET|POST|DELETE) /[^`\s]*)`")


def test_the_readme_lists_the_endpoints_there_are() -> None:
    table = "".join(row for row in readme().splitlines(keepends=True) if row.startswith("| `"))
    assert sorted(ROUTE.findall(table)) == sorted(ENDPOINTS)


def test_the_readme_leads_to_every_page_for_users() -> None:
    pages = {page.relative_to(ROOT).as_posix() for page in ROOT.glob("docs/*.md")} | {
        "docs/clients/README.md"
    }
    assert pages <= {link.partition("#")[0] for link in LINK.findall(readme())}


def test_the_table_of_clients_has_every_page() -> None:
    folder = ROOT / "docs" / "clients"
    linked = re.findall(r"(?m)^\| \[[^]]+\]\(([\w.-]+)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert sorted(linked) == sorted(page.name for page in folder.glob("*.md") if page.name != "README.md")


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_each_kind_of_server_does_itself_is_in_the_table() -> None:
    page = (ROOT / "docs" / "upstreams.md").read_text(encoding="utf-8")
    rows = {
        cells[0]: cells[1:]
        for line in page.splitlines()
        if len(cells := [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]) == 6
    }
    native = {True: "native", False: "emulated"}
    for kind, profile in PROFILES.items():
        formats = native[profile.json_schema]
        if profile.json_object != profile.json_schema:
            formats = "schemas native" if profile.json_schema else "objects native"
        assert rows[kind] == [
            "not sent" if profile.reasoning_in == "none" else profile.reasoning_in,
            " and ".join(profile.effort),
            profile.length,
            native[profile.tool_choice > {"auto"}],
            formats,
        ], kind


def test_every_endpoint_is_described() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for endpoint in ENDPOINTS:
        assert f"`{endpoint}`" in page, endpoint


@pytest.mark.parametrize("code", sorted({error.code for error in OPENAI_ERRORS.values() if error.code}))
def test_every_error_code_has_its_remedy(code: str) -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert any(line.startswith("|") and f"`{code}`" in line for line in page.splitlines())


def test_no_error_code_is_described_that_never_occurs() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    described: set[str] = set()
    for codes in re.findall(r"(?m)^\| \d{3} \| ([^|]+) \|", page):
        described |= set(re.findall(r"`(\w+)`", codes))
    assert described - {"null"} == {error.code for error in OPENAI_ERRORS.values() if error.code}


def test_every_error_is_raised_somewhere() -> None:
    used = set(re.findall(r"(?<!class )(?<!case )(?<!\| )\b([A-Z]\w+)\(", sources()))
    classes = [GatewayError]
    while classes:
        error = classes.pop()
        classes += error.__subclasses__()
        if error.__module__.startswith("gptoss_api") and not error.__subclasses__():
            assert error.__name__ in used, error


def sources() -> str:
    return "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
