"""Work on files that is stopped, or refused, at each of its file-system calls in turn.

Python tells an audit hook of every call that touches a file, before it is made. Here the Nth call inside a folder does
not come back (the process ends at once, as by SIGKILL), or fails as on a full disk or without permission. Each try runs
in a child process, on a fresh copy of the folder.

    python -m tests.faults.steps TEMPLATE WORK FAULT OUT

copies the folder TEMPLATE to OUT/1, OUT/2 ... and lets WORK loose on each, until a try gets by without its fault.
"""

import errno
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from plugins.deploy.rollback import PreviousProduction, ProductionRollback, find_previous
from plugins.evidence.deployments import RECORD, Deployment
from plugins.evidence.store import Store
from plugins.loras.copying import digest_of
from plugins.loras.staging import preflight, stage
from plugins.pictures.picture import Picture, read_picture
from plugins.plan.cells import Cell, column, matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from plugins.publish.publishing import publish_production
from plugins.publish.record import RECORD as PUBLISHED
from stand_in.weights import write_weights
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import evidence_for, expected_inputs_of, keep_all, png_of

TOUCHING: Final = ("open", "os.", "shutil.", "tempfile.mkstemp")
MOST: Final = 200
"""More tries than any work has calls: the fault would never have been met."""


class Rendered(ProductionRollback):
    """A rollback that renders without a server: the picture tells the bytes of the file."""

    def _render(self, file: str, folder: str, strength: float | None) -> dict[tuple[str, Cell], Picture]:
        del strength  # the small plan has one
        sha256 = digest_of(self.expected.plan.paths.loras / file)
        found = {}
        for cell in column(self.expected.plan, None):
            to = self.reports / "proof" / folder / f"{cell.row}.png"
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(png_of(cell, salt=sha256))
            found["", cell] = read_picture(to.read_bytes(), largest=10**6)
        return found


@dataclass(frozen=True)
class Work:
    """Something that is done to the files of a judged plan in a folder."""

    prepare: Callable[[Judged], Any]
    do: Callable[[Judged, Any], object]


def judged_in(folder: Path) -> Judged:
    """Return the judged plan of a folder."""
    plan = read_plan(folder / "plan.toml")
    reports = folder / "reports"
    return Judged(plan=plan, expected=expected_inputs_of(plan), store=Store(reports), reports=reports)


def judge(plan: Plan, folder: Path) -> Judged:
    """Render every cell of a new plan, without a server; with little LoRAs, since each try has its own."""
    shutil.rmtree(plan.paths.training_images or folder / "none", ignore_errors=True)
    for one in plan.checkpoints:
        write_weights(
            plan.training_file(one), {"lora_unet.alpha": (one.step or 0,)}, {"ss_steps": str(one.step)}, seed="s"
        )
    judged = judged_in(folder)
    stage(plan, preflight(plan))
    keep_all(judged.expected, judged.store)
    return judged


def _new_pictures(judged: Judged, _: object) -> None:
    """Write two cells' pictures and evidence anew."""
    for cell in matrix(judged.plan)[:2]:
        png = png_of(cell, salt="new")
        judged.store.write_picture(cell, png)
        judged.store.write_evidence(cell, evidence_for(judged.expected, cell, png))


def _roll_back(judged: Judged, former: PreviousProduction) -> None:
    Rendered(expected=judged.expected, servers=(), reports=judged.reports, meanwhile=lambda _: None).roll_back(former)


def _publish(judged: Judged, deployment: Deployment) -> None:
    assert judged.plan.publish
    publish_production(judged.plan, judged.plan.publish, deployment, judged.store)


WORKS: Final[Mapping[str, Work]] = {
    "stage": Work(lambda _: None, lambda judged, _: stage(judged.plan, preflight(judged.plan))),
    "write-pictures": Work(lambda _: None, _new_pictures),
    "deploy": Work(lambda judged: judged.selected(), lambda judged, selected: judged.deploy_selected(selected)),
    "publish": Work(lambda judged: judged.record, _publish),
    "roll-back": Work(lambda judged: find_previous(judged.plan, judged.record), _roll_back),
}


def _kill(_: str) -> NoReturn:
    os._exit(137)


def _full(path: str) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device", path)


def _forbidden(path: str) -> NoReturn:
    raise PermissionError(errno.EACCES, "Permission denied", path)


FAULTS: Final[Mapping[str, Callable[[str], NoReturn]]] = {
    "killed": _kill,
    "full-disk": _full,
    "no-permission": _forbidden,
}


def attempt(folder: Path, work: Work, fault: Callable[[str], NoReturn], number: int) -> dict[str, Any]:
    """Do the work in a folder, with a fault at one of its calls. Say at which, and what came of it."""
    judged = judged_in(folder)
    prepared = work.prepare(judged)
    seen: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal watching
        if not watching or not event.startswith(TOUCHING):
            return
        path = next((str(one) for one in arguments if isinstance(one, str | Path) and str(folder) in str(one)), "")
        if not path:
            return
        seen.append(f"{event} {Path(path).relative_to(folder)}")
        if len(seen) == number:
            watching = False
            (folder.parent / f"{folder.name}.call").write_text(seen[-1])
            fault(path)

    sys.addaudithook(hook)
    try:
        work.do(judged, prepared)
    except Exception as error:  # noqa: BLE001 (the test looks at it)
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        watching = False
    return {"error": ""}


def main() -> None:
    """Fork a child for each call, until one meets none."""
    template, work, fault, out = Path(sys.argv[1]), WORKS[sys.argv[2]], FAULTS[sys.argv[3]], Path(sys.argv[4])
    gc.freeze()
    for number in range(1, MOST):
        folder = out / str(number)
        shutil.copytree(template, folder)
        for record in (folder / "reports" / RECORD, folder / "reports" / PUBLISHED):
            if record.exists():
                record.write_text(record.read_text().replace(str(template), str(folder)))
        child = os.fork()
        if child == 0:
            told = attempt(folder, work, fault, number)
            (out / f"{number}.end").write_text(json.dumps(told))
            os._exit(0)
        os.waitpid(child, 0)
        if not (out / f"{number}.call").exists():
            return
    sys.exit(f"{work} has more than {MOST} calls.")


if __name__ == "__main__":
    main()
