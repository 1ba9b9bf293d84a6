"""What the code says it stands on can be looked up in docs/design."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_pages import ROOT, prose

DESIGN = ROOT / "docs" / "design"
FOLDERS = ("src", "tests", "bench", "scripts")
SOURCES = sorted(
    file
    for folder in FOLDERS
    for file in (ROOT / folder).rglob("*.py")
    if not {"node_modules", ".work"} & set(file.parts) and file != Path(__file__)
)

# A page and, in quotes, the headings meant on it.
CITATION = re.compile(r'docs/design/([\w-]+\.md)((?:(?:,| and) "[^"]+")*)')
NUMBERED_PAGE = "cases.md"


def headings(page: Path) -> set[str]:
    return set(re.findall(r"(?m)^#+ (.+)$", prose(page)))


def citations(text: str) -> Iterator[tuple[str, list[str]]]:
    """The pages that a module cites, with the headings; its lines are joined, comments too."""
    joined = " ".join(line.strip().removeprefix("#").strip() for line in text.splitlines())
    for page, quoted in CITATION.findall(joined):
        yield page, re.findall(r'"([^"]+)"', quoted)


def broken(text: str) -> list[str]:
    """The citations in ``text`` that lead nowhere."""
    found = []
    for name, cited in citations(text):
        page = DESIGN / name
        if not page.exists() or not (cited or name == NUMBERED_PAGE):
            found.append(name)
            continue
        found += [f"{name}, {heading}" for heading in cited if heading not in headings(page)]
    return found


def test_every_citation_names_a_heading_there_is() -> None:
    wrong = {str(file.relative_to(ROOT)): found for file in SOURCES if (found := broken(file.read_text()))}
    assert wrong == {}
    assert sum(1 for file in SOURCES for _ in citations(file.read_text())) > 80


@pytest.mark.parametrize(
    "text",
    [
        "docs/design/emulation.md",
        'docs/design/nowhere.md, "Repairs"',
        'docs/design/emulation.md, "No such heading"',
        'docs/design/emulation.md, "Repairs" and "No such heading"',
        '# (docs/design/emulation.md,\n# "No such heading").',
    ],
)
def test_a_citation_of_nothing_is_found(text: str) -> None:
    assert len(broken(text)) == 1


def test_nothing_is_cited_that_is_not_here() -> None:
    elsewhere = re.compile(r"\b(?:dossiers?|conformance, sections?)\b", re.IGNORECASE)
    files = [*SOURCES, *(file for file in ROOT.glob("docs/**/*.md")), *ROOT.glob("tests/**/README.md")]
    assert [file for file in files if elsewhere.search(file.read_text(encoding="utf-8"))] == []


def test_every_group_of_hard_cases_says_where_it_is_tested() -> None:
    numbers = [
        int(number) for number in re.findall(r"(?m)^\| (\d+) \|", (DESIGN / NUMBERED_PAGE).read_text())
    ]
    assert numbers == list(range(1, len(numbers) + 1))
    index = (ROOT / "tests" / "emulation" / "README.md").read_text()
    tested: set[int] = set()
    for cell in re.findall(r"(?m)^\| ([\d, to]+) \|", index):
        for part in cell.split(","):
            first, _, last = part.partition(" to ")
            tested |= set(range(int(first), int(last or first) + 1))
    assert tested == set(numbers)
