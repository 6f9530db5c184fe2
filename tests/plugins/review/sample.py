"""A review to look at: made-up pictures of a matrix, with their evidence, in a folder of one's own."""

import hashlib
import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

from plugins.comfyui.answers import ServerInfo
from plugins.evidence.evidence import (
    CellRecord,
    Evidence,
    LoraRecord,
    NearestRecord,
    PictureRecord,
    PlanRecord,
    RunRecord,
)
from plugins.evidence.files import write_atomically
from plugins.pictures.check import Check, Difference, Outcome
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from plugins.review.metrics import Metrics
from plugins.review.page import render_page
from plugins.review.review import Entry, Review

ROOT = Path(__file__).parents[3]
PASSED = Check(name="blank", outcome=Outcome.PASSED)
BLANK = Check(
    name="blank",
    outcome=Outcome.FAILED,
    message="nearly one colour",
    differences=(Difference(field="colours", got="1", asked="more than 8"),),
)
COPY = Check(
    name="training copy",
    outcome=Outcome.WARNING,
    message="looks like a copy of a training image: nearest training image: spyke_03.png, at distance 0.03",
)


def spyke() -> Plan:
    """Return the plan that the suite ships with."""
    return read_plan(ROOT / "plans" / "spyke.toml")


def large_plan(columns: int, rows: int) -> Plan:
    """Return a plan with a baseline and checkpoints in so many columns, and so many prompts."""
    plan = spyke()
    checkpoint, prompt = plan.checkpoints[0], plan.prompts[0]
    checkpoints = [
        checkpoint.model_copy(update={"step": 100 * n, "file": f"{n}.safetensors"}) for n in range(1, columns)
    ]
    prompts = [prompt.model_copy(update={"id": f"prompt{n}"}) for n in range(rows)]
    return plan.model_copy(update={"checkpoints": tuple(checkpoints), "prompts": tuple(prompts)})


def make_review(
    reports: Path, *, side: int = 512, flags: bool = True, plan: Plan | None = None, **changes: Any
) -> Review:
    """Draw the whole matrix; with `flags`, one picture failed, one has a warning, one is missing.

    With `references`, every picture is nearest to one of them.
    """
    plan = plan or spyke()
    references = changes.get("references", ())
    entries = []
    for number, cell in enumerate(matrix(plan)):
        png = drawing(cell, side)
        path = reports / "pictures" / cell.picture
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        made, nearest = evidence(plan, cell, png), None
        if references:
            nearest = references[number % len(references)]
            record = NearestRecord(image=nearest.name, distance=number / 20, usual=0.5)
            made = made.model_copy(update={"nearest": record})
        entries.append(Entry(cell=cell, evidence=made, nearest=nearest))
    if flags:
        index = {entry.cell.id: number for number, entry in enumerate(entries)}
        for cell_id, check in (("step200-asymmetric_details", BLANK), ("final-novel_pose", COPY)):
            entry = entries[index[cell_id]]
            assert entry.evidence
            flagged = entry.evidence.model_copy(update={"checks": (PASSED, check)})
            entries[index[cell_id]] = replace(entry, evidence=flagged)
        missing = entries[index["step800-trigger_environment"]]
        entries[index["step800-trigger_environment"]] = Entry(
            cell=missing.cell, evidence=None, problem="KSampler: CUDA out of memory; the other cells went on"
        )
    inputs = {"plan": plan, "reports": reports, "entries": tuple(entries), **changes}
    return Review(**inputs)


def numbers(plan: Plan) -> tuple[Metrics, ...]:
    """Return numbers as a LoRA has them that learns, and then copies; the second checkpoint's distance is not known."""
    return tuple(
        Metrics(
            checkpoint=checkpoint.id,
            step=checkpoint.step,
            effect=3.5 * number,
            distance=None if number == 2 else 0.9 - number * 0.1,
            diversity=1 / number,
        )
        for number, checkpoint in enumerate(plan.checkpoints, 1)
    )


def write_page(review: Review) -> Path:
    """Write the page without pytest-html around it, where its results do not matter."""
    report = review.reports / "report.html"
    report.write_text(f"<!DOCTYPE html><title>Review</title><body><div>{render_page(review)}</div>", "utf-8")
    return report


def write_report(review: Review) -> Path:
    """Have pytest-html write the page, with two results of its own below ours: one passed, one failed."""
    folder = review.reports.parent / "run"
    write_atomically(folder / "fragment.html", render_page(review))
    write_atomically(folder / "pytest.ini", "[pytest]\n")
    write_atomically(
        folder / "conftest.py",
        "from pathlib import Path\n"
        "FRAGMENT = Path(__file__).with_name('fragment.html')\n"
        "def pytest_html_results_summary(prefix): prefix.append(FRAGMENT.read_text('utf-8'))\n",
    )
    write_atomically(folder / "test_run.py", "def test_good(): pass\ndef test_bad(): assert {'a': 1} == {'a': 2}\n")
    report = review.reports / "report.html"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *("-p", "pytest_metadata.plugin", "-p", "pytest_html.plugin", "-p", "no:cacheprovider"),
        f"--html={report}",
        "--self-contained-html",
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=60)
    assert report.exists()
    return report


def training_images(folder: Path, count: int, side: int = 512) -> tuple[Path, ...]:
    """Draw training images in the folder."""
    cell = matrix(spyke())[-1]
    for number in range(count):
        write_atomically(folder / f"spyke_{number:02}.png", drawing(cell, side, seed=number))
    return tuple(sorted(folder.iterdir()))


def evidence(plan: Plan, cell: Cell, png: bytes) -> Evidence:
    """Return evidence that is right in all its parts."""
    digest = hashlib.sha256(png).hexdigest()
    started = datetime(2025, 11, 22, 20, 15, tzinfo=UTC)
    with Image.open(BytesIO(png)) as picture:
        width, height = picture.size
    lora = None
    if cell.checkpoint:
        sha256 = hashlib.sha256(cell.column.encode()).hexdigest()
        lora = LoraRecord(file=plan.staged_file(cell.checkpoint), sha256=sha256, strength=1.0)
    return Evidence(
        plan=PlanRecord(name=plan.name, digest=plan.digest),
        cell=CellRecord(
            column=cell.column,
            row=cell.row,
            step=cell.checkpoint.step if cell.checkpoint else None,
            prompt=cell.prompt.id,
            seed=cell.seed,
            strength=cell.strength,
        ),
        prompt_text=cell.prompt.text,
        negative_text=plan.sampling.negative,
        base_model=f"{plan.sampling.base_model}.safetensors",
        lora=lora,
        inputs_digest=digest,
        workflow={},
        server=ServerInfo(
            url="http://127.0.0.1:8188", comfyui_version="0.3.64", device="NVIDIA RTX 4090", simulated=False
        ),
        run=RunRecord(prompt_id=cell.id, started=started, ended=started + timedelta(seconds=3.4)),
        picture=PictureRecord(sha256=digest, pixels_sha256=digest, width=width, height=height),
        checks=(PASSED,),
    )


def drawing(cell: Cell, side: int, seed: int = 0) -> bytes:
    """Draw a figure that learns with the steps: hair, then cloak, then bracer and pauldron."""
    step = (cell.checkpoint.step or 0) if cell.checkpoint else 0
    tune = random.Random(f"{cell.row}{seed}")  # noqa: S311 (a picture, not a secret)
    unit = side / 64
    hue = tune.randrange(360)
    picture = Image.linear_gradient("L").resize((side, side))
    picture = Image.merge("RGB", [picture.point(lambda v, k=k: int(v * k)) for k in (0.5, 0.7, 0.9)])
    pen = ImageDraw.Draw(picture)
    for _ in range(60 if side > 32 else 0):
        x, y, r = tune.uniform(0, 64), tune.uniform(20, 64), tune.uniform(1, 6)
        colour = f"hsl({(hue + tune.randrange(60)) % 360}, 35%, {tune.randrange(20, 60)}%)"
        pen.ellipse([(x - r) * unit, (y - r) * unit, (x + r) * unit, (y + r) * unit], fill=colour)
    lean = 0 if step >= 900 else {"novel_pose": 9, "trigger_environment": -3}.get(cell.prompt.id, 0)

    def box(x0: float, y0: float, x1: float, y1: float, colour: str) -> None:
        pen.rounded_rectangle([(x0 + lean) * unit, y0 * unit, (x1 + lean) * unit, y1 * unit], unit, fill=colour)

    if step >= 400:
        box(20, 26, 44, 58, "#f3f1ea")
    box(26, 26, 38, 46, "#37475e")
    box(27, 44, 31, 62, "#2b2b33")
    box(33, 44, 37, 62, "#2b2b33")
    box(19, 27, 25, 46, "#d9a982")
    box(39, 27, 45, 46, "#d9a982")
    if step >= 600:
        box(18.5, 36, 25.5, 43, "#7c5a2b")
        box(32.5, 49, 37.5, 53, "#b9bec6")
    hair = "#c9571c" if step >= 200 else "#3a3a4a"
    pen.ellipse([(25 + lean) * unit, 10 * unit, (39 + lean) * unit, 26 * unit], fill=hair)
    pen.ellipse([(27 + lean) * unit, 14 * unit, (37 + lean) * unit, 26 * unit], fill="#e8bc98")
    grain = Image.effect_noise((side, side), 22).convert("RGB")
    picture = Image.blend(picture.filter(ImageFilter.SMOOTH), grain, 0.08)
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
