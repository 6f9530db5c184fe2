"""What one command shows to a person: the report page, the contact sheet, and what to type then."""

import contextlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from PIL import Image

from plugins.generate.session import GenerateSession
from plugins.generate.stability import read_stability
from plugins.pictures.likeness import training_images
from plugins.plan.cells import Cell, matrix
from plugins.plan.command import Command
from plugins.plan.messages import counted
from plugins.review.contact_sheet import write_contact_sheet
from plugins.review.figures import unprovable_rate
from plugins.review.gathering import gather
from plugins.review.live import LiveReport
from plugins.review.page import TEMPLATES, environment, render_page, sources
from plugins.review.previews import Preview, make_preview, make_previews, training_source, write_preview
from plugins.review.production import in_production
from plugins.review.review import Review, source_of


class ReviewSession:
    """The review of a generating run. It is gathered when it is first asked for: no test may run after that."""

    def __init__(self, command: Command, generating: GenerateSession) -> None:
        self._command = command
        self._generating = generating
        self._live = LiveReport(
            command.reports / "report.html",
            gather=lambda: self._gathered(pending=True),
            known=lambda: generating.known,
            failures=lambda: generating.failures,
        )

    @cached_property
    def review(self) -> Review:
        """What this run made, what earlier ones left, and what this one could not make."""
        return self._gathered(pending=False)

    @cached_property
    def pictures_shown(self) -> int:
        """About how many pictures the page will show: the more, the smaller their previews."""
        plan = self._command.plan
        cells = len(matrix(plan))
        return cells + min(len(training_images(plan.paths.training_images)), cells)

    def warm_up(self) -> None:
        """Make what the first page waits for, while the first picture renders: the training images' previews."""
        plan, reports = self._command.plan, self._command.reports
        references = Review(
            plan=plan, reports=reports, entries=(), references=training_images(plan.paths.training_images)
        ).shown_references
        with contextlib.suppress(OSError):  # raised again when the page is written
            for path in (path for paths in references for path in paths):
                make_preview(training_source(path), reports, total=self.pictures_shown)
            environment(TEMPLATES).get_template("page.html")

    def take_up(self, cell: Cell, picture: Image.Image, *, live: bool) -> None:
        """Make a picture's preview and show it as soon as it is there, while the next one renders."""
        reports = self._command.reports
        write_preview(picture, source_of(reports, cell), reports, total=self.pictures_shown)
        if live:
            with contextlib.suppress(OSError):  # the finished page has all; whether it can be written is told there
                self._live.add(cell)

    def live_line(self) -> str:
        """Return where to look while it renders; empty as long as there is nothing to see."""
        if not self._live.is_begun:
            return ""
        place = self._command.shown(self._command.reports / "report.html")
        return f"Open {place} now: each picture appears on it once it is rendered."

    def finish(self) -> None:
        """Tell pages that are still open that the finished one is there."""
        with contextlib.suppress(OSError):
            self._live.end()

    def make_ready(self) -> None:
        """Make the previews that are missing and the contact sheet, so that the page takes no time."""
        with contextlib.suppress(OSError):  # raised again when the page is written
            _ = self._previews

    def page(self) -> str:
        """Return the top of the report page, and write the contact sheet. Raises `OSError`."""
        stability = tuple(map(str, read_stability(self.review.reports)))
        doubts = (*self._generating.doubts, *unprovable_rate(self._command.plan))
        shown = replace(self.review, stability=stability, doubts=doubts)
        return render_page(shown, self._previews)

    @cached_property
    def _previews(self) -> dict[Path, Preview]:
        """The previews of all that the page shows; the contact sheet is made with them. Raises `OSError`."""
        previews = make_previews(sources(self.review), self.review.reports)
        write_contact_sheet(self.review, self.review.reports / "contact-sheet.png")
        return previews

    def last_line(self, page: Path | None, *, stopped: bool, tests_failed: int, failed_only: str) -> str:
        """Return what to look at, and what to type then: only where every picture is there and right, to deploy.

        `page` is where pytest-html wrote, if it did; `failed_only` is the option that chooses the tests that failed. A
        test may fail where its picture is right, that of an earlier run: it was timed out, say.
        """
        tally, total = self.review.tally, len(self.review.by_id)
        there = total - tally["missing"]
        again = self._command.next("-m generate")
        look = f"Look at {self._command.shown(page)}" if page else "No page was written, since pytest-html is off"
        if page and page.parent != self._command.reports:
            look += f" (its pictures only open from {self._command.reports}: leave out --html)"
        if stopped:
            return f"Stopped: {there} of {total} pictures are there. Go on: {again}"
        if not there:
            return f"None of the {total} pictures is there; their tests say why. Try again: {again}"
        if tally["missing"]:
            return f"{there} of {total} pictures are there. {look}; make the others: {again}"
        if tally["failed"]:
            again = self._command.next(f"-m generate --regenerate{failed_only}")
            return f"{tally['failed']} of {total} pictures failed a check. {look}; make them again: {again}"
        if tests_failed:
            return f"{counted(tests_failed, 'test')} failed, and said why. {look}; try again: {again}"
        deploy = self.review.command
        if page and len(self.review.strengths) > 1:  # the ballot alone says which one was judged
            look += f", save your ballot in {self._command.shown(self._command.reports)}"
            deploy = self._command.next("-m deploy")
        return f"{look}, then deploy: {deploy}" if page else f"{look}. To write it: {again}"

    def _gathered(self, *, pending: bool) -> Review:
        found = gather(
            self._generating.expected,
            self._command.reports,
            failed=self._generating.failures,
            known=self._generating.known,
            command=self._command.next("-m deploy --selected-step=STEP"),
            pending=pending,
        )
        return replace(found, production=self._production)

    @cached_property
    def _production(self) -> str:
        simulated = self._generating.expected.simulated
        return in_production(self._command.plan, self._command.reports, simulated=simulated)
