"""The page that fills itself while pictures are rendered, and the run that writes it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from playwright.sync_api import Browser, Page, expect

from plugins.evidence.evidence import Evidence
from plugins.plan.cells import Cell
from plugins.review.live import LiveReport
from plugins.review.review import Review
from tests.browser.axe import violations
from tests.browser.conftest import Visits
from tests.plugins.review.sample import make_review, write_page

pytestmark = pytest.mark.browser


@dataclass
class Run:
    """A run that renders when it is asked to: what it knows so far, and the report that it writes."""

    review: Review
    known: dict[Cell, Evidence] = field(default_factory=dict)
    failures: dict[Cell, str] = field(default_factory=dict)

    def begin(self, *, per_file: int = 40) -> LiveReport:
        """Return the report of a run that begins, with so many pictures in each file."""
        self.known.clear()
        self.failures.clear()
        entries = tuple(replace(entry, evidence=None, problem="") for entry in self.review.entries)

        def gather() -> Review:
            return replace(
                self.review,
                entries=tuple(replace(entry, evidence=self.known.get(entry.cell)) for entry in entries),
            )

        report = self.review.reports / "report.html"
        return LiveReport(
            report, gather=gather, known=lambda: self.known, failures=lambda: self.failures, per_file=per_file
        )

    def render(self, live: LiveReport, *cells: str, pixels: str = "") -> None:
        """Have pictures come in."""
        for cell_id in cells:
            entry = self.review.by_id[cell_id]
            assert entry.evidence
            other = {"sha256": pixels, "pixels_sha256": pixels} if pixels else {}
            picture = entry.evidence.picture.model_copy(update=other)
            self.known[entry.cell] = entry.evidence.model_copy(update={"picture": picture})
            live.add(entry.cell)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run over Spyke's matrix."""
    return Run(make_review(tmp_path_factory.mktemp("filling") / "reports", side=32, flags=False))


@pytest.fixture(scope="module")
def visits(browser: Browser) -> Iterator[Visits]:
    """Open pages of this module in one browser."""
    visits = Visits(browser)
    yield visits
    visits.close()


def expect_marked(page: Page, checkpoint: str, marks: str) -> None:
    """Wait until a column's head says what was marked."""
    expect(page.locator(f'.score[data-checkpoint="{checkpoint}"]')).to_have_text(marks)


def test_page_takes_up_pictures_and_keeps_marks(run: Run, visits: Visits) -> None:
    """What comes later shows by itself; what was marked meanwhile stays, here and on the finished page."""
    live = run.begin(per_file=5)
    run.render(live, "baseline-novel_pose", "step200-novel_pose")
    page = visits.open(run.review.reports / "report.html")
    expect(page.locator("#so-far")).to_contain_text("2 of 18 pictures so far")
    expect(page.locator('[data-cell="step600-novel_pose"] .nothing')).to_have_text("not rendered yet")
    page.locator('.judge .marks[data-checkpoint="step200"][data-criterion="hair"] [value="yes"]').click()
    page.locator('[data-cell="step200-novel_pose"] .picture').focus()

    run.failures[run.review.by_id["final-novel_pose"].cell] = "KSampler: <b>CUDA out of memory</b>"
    run.render(live, "step600-novel_pose", "step200-novel_pose")
    expect(page.locator("#so-far")).to_contain_text("3 of 18 pictures so far, the last at ")
    assert 32 == page.locator('[data-cell="step600-novel_pose"] img').evaluate(
        "image => image.decode().then(() => image.naturalWidth)"
    )
    expect(page.locator('[data-cell="final-novel_pose"] .flag')).to_have_text("KSampler: <b>CUDA out of memory</b>")
    expect(page.locator('[data-cell="step200-novel_pose"] .picture')).to_be_focused()
    expect_marked(page, "step200", "1 yes")
    page.keyboard.press("j")
    page.locator("#blind").click()
    expect(page.locator("#status")).to_contain_text("Judging blind begins when all pictures are there")
    assert [] == violations(page)

    run.render(
        live,
        *(
            entry.cell.id
            for entry in run.review.entries
            if entry.cell.id not in {"baseline-novel_pose", "final-novel_pose"}
        ),
    )
    expect(page.locator("#so-far")).to_contain_text("17 of 18")
    write_page(run.review)
    live.end()
    expect(page.locator("#finished")).to_be_visible()
    assert ["end.js"] == [path.name for path in (run.review.reports / "live").iterdir()]
    page.locator("#finished").click()
    expect(page.locator("#filling")).to_have_count(0)
    expect_marked(page, "step200", "1 yes")


@pytest.mark.slow
def test_marks_wait_for_their_picture_while_it_is_rendered_again(run: Run, visits: Visits) -> None:
    """Rendered again, a picture with the same pixels has its marks back, another one drops them, and lists them."""
    page = visits.open(write_page(run.review))
    for checkpoint in ("step200", "step400", "final"):
        page.locator(
            f'.judge .marks[data-checkpoint="{checkpoint}"][data-criterion="novel_pose_holds"] [value="yes"]'
        ).click()
    page.locator('#choices input[value="step400"]').check()
    live = run.begin()
    run.render(live, "baseline-novel_pose")
    assert [] == list((run.review.reports / "live").glob("*.js"))  # those of the run before are gone
    page.reload()
    expect(page.locator("#dropped")).to_be_hidden()
    expect_marked(page, "step200", "not marked yet")
    run.render(live, "step200-novel_pose")
    run.render(live, "step400-novel_pose", pixels="e" * 64)
    expect(page.locator("#dropped li")).to_have_count(1)
    expect(page.locator("#dropped li")).to_contain_text("step 400, A novel pose")
    expect_marked(page, "step200", "1 yes")
    page.keyboard.press("Control+z")
    expect_marked(page, "step200", "1 yes")
    page.reload()  # what waits is kept, too
    write_page(run.review)
    page.reload()
    for one, marks in (("step200", "1 yes"), ("step400", "not marked yet; chosen"), ("final", "1 yes")):
        expect_marked(page, one, marks)
