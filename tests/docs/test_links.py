"""Every link between the repository's own pages leads somewhere."""

import re
from pathlib import Path

import pytest

from tests.small_plan import ROOT

PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part in {"reports", "node_modules"} for part in page.relative_to(ROOT).parts)
)


def links(page: Path) -> list[str]:
    """Return where the links and pictures of a page lead, but for other sites."""
    text = re.sub(r"(?ms)^ *```.*?^ *```", "", page.read_text(encoding="utf-8"))
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """Return what a code host names a page's headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Each link names a file that is there, and a heading that the file has."""
    broken = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert [] == broken


def test_pages_are_found() -> None:
    """README, CONTRIBUTING and the pages of docs/ are among those that are looked at."""
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "docs/plan.md", "docs/workflows.md"} <= names


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FOLDERS = (ROOT, ROOT / "plugins", ROOT / "plugins/plan", ROOT / "plugins/review/template", ROOT / "tests/faults")
"""Where a path of CONTRIBUTING may start: its own words say which."""


def places(name: str) -> list[Path]:
    """Return the files that a path of CONTRIBUTING may mean."""
    found = [folder / name for folder in (*FOLDERS, ROOT / "tests/contract") if (folder / name).exists()]
    return found or [path for room in (ROOT / "plugins").iterdir() if (path := room / name).exists()]


def test_files_that_contributing_names_are_there() -> None:
    """Each file that CONTRIBUTING names in backticks exists."""
    named = set(re.findall(r"`([\w./-]+\.(?:py|md|html|js|toml|css))`", CONTRIBUTING))
    written = {"SUMMARY.md", "plan.toml", "report.html"}
    assert len(named) > 60
    assert [] == sorted(name for name in named - written if not places(name))


def test_names_that_contributing_gives_are_in_their_files() -> None:
    """Where CONTRIBUTING says "`name` in `file`", the file has that name."""
    pairs = re.findall(r"`(?:\w+\.)?(\w+)` (?:in|of)\s+`([\w./-]+\.py)`", CONTRIBUTING)
    pairs += re.findall(r"`(?:\w+\.)?(\w+)` \(`([\w./-]+\.py)`\)", CONTRIBUTING)
    assert len(pairs) > 15
    lost = [f"{name} in {file}" for name, file in pairs if not any(has(path, name) for path in places(file))]
    assert [] == lost


def has(path: Path, name: str) -> bool:
    """Say whether a module defines a name."""
    return bool(re.search(rf"(?m)^ *(?:def|class) {name}\b|^{name}\b", path.read_text(encoding="utf-8")))
