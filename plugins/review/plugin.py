"""The review's door to pytest: where pytest-html writes, and what stands at the top of its page."""

import shlex
from collections.abc import Generator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from plugins.evidence.plugin import failures, the_prepared
from plugins.plan.plugin import reports, stages, the_plan
from plugins.plan.stages import DEPLOY, GENERATE
from plugins.review.contact_sheet import write_contact_sheet
from plugins.review.gathering import gather
from plugins.review.page import render_page
from plugins.review.review import Review

_REVIEW: Final = pytest.StashKey[Review]()
_STYLE: Final = Path(__file__).parent / "template" / "results.css"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have pytest-html write one self-contained page, unless the person said otherwise."""
    asked = stages(config)
    page = "report.html" if GENERATE in asked else "deploy.html" if DEPLOY in asked else None
    if page and not config.option.collectonly:
        config.option.htmlpath = config.option.htmlpath or str(reports(config) / page)
        config.option.self_contained_html = True
        config.option.css = [*config.option.css, str(_STYLE)]


def pytest_html_report_title(report: Any) -> None:  # noqa: ANN401 (pytest-html has no types)
    """Name the page after the LoRA."""
    config = report.config
    if stages(config):
        report.title = the_plan(config).title


def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    """Put the matrix on top, and write the contact sheet."""
    if review := the_review(session.config):
        prefix.append(render_page(review))
        write_contact_sheet(review, review.reports / "contact-sheet.png")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Say last what to look at, and what to type then."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    review = session.config.stash.get(_REVIEW, None)
    if review and reporter:
        reporter.write_line(
            f"Look at {_shown(session.config, reports(session.config) / 'report.html')}, then: {review.command}"
        )


def the_review(config: pytest.Config) -> Review | None:
    """Give what is shown of a generating run; None for any other run."""
    prepared = the_prepared(config)
    if prepared is None:
        return None
    if _REVIEW not in config.stash:
        config.stash[_REVIEW] = gather(
            prepared.maker.asked,
            reports(config),
            failed=failures(config),
            command=next_command(config, "-m deploy --selected-step=STEP"),
        )
    return config.stash[_REVIEW]


def next_command(config: pytest.Config, what: str) -> str:
    """Write a command that runs on the same plan and folders as this one."""
    words = ["pytest", what]
    given = [str(word) for word in config.invocation_params.args]
    for option in ("--plan", "--reports", "--comfyui-dir", "--comfyui-url"):
        words += [shlex.quote(word) for word in given if word.startswith(f"{option}=")]
        words += [shlex.quote(f"{option}={value}") for word, value in pairwise(given) if word == option]
    return " ".join([*words, *(["--demo"] if config.getoption("demo") else [])])


def _shown(config: pytest.Config, path: Path) -> str:
    """Write a path as the person would type it from where they are."""
    folder = config.invocation_params.dir
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
