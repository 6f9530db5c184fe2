"""Where SUMMARY.md is written: in the reports folder, and where the plan wants it."""

from collections.abc import Callable
from pathlib import Path

from plugins.evidence.files import write_atomically
from plugins.plan.plan import Plan


def write_summary(text: str, *, plan: Plan, reports: Path, is_rollback: bool, say: Callable[[str], None]) -> bool:
    """Write the summary of a deployment or a rollback; `say` shows a line for each place.

    A planning tool takes a plan for completed by the name of its summary alone. So where the plan names its work, a
    rollback removes that summary, and is summed up beside it under another name.

    Returns whether all went well.
    """
    wanted, went_well = plan.paths.summary, True
    if wanted and is_rollback and plan.summary:
        try:
            wanted.unlink(missing_ok=True)
        except OSError as error:
            went_well = False
            say(f"{wanted} could not be removed, and still says that the plan is completed: {error}")
        wanted = _rollback_place(wanted)
    for place in filter(None, (reports / "SUMMARY.md", wanted)):
        try:
            write_atomically(place, text)
            say(f"wrote {place}")
        except OSError as error:
            went_well = False
            say(f"Production stands, but {place} could not be written: {error}")
    return went_well


def _rollback_place(summary: Path) -> Path:
    name = summary.name.replace("SUMMARY", "ROLLBACK")
    return summary.with_name(name if name != summary.name else f"{summary.stem}-ROLLBACK{summary.suffix}")
