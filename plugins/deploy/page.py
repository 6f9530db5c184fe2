"""The top of deploy.html: what was deployed, and production's pictures beside the judged ones."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from plugins.deploy.deployment import Deployment
from plugins.deploy.proof import Proven
from plugins.plan.cells import column
from plugins.plan.plan import Plan
from plugins.review.page import frame_script
from plugins.review.previews import Preview, Source, make_previews

_TEMPLATES: Final = Path(__file__).parent / "template"


@dataclass(frozen=True)
class _Pair:
    judged: Preview
    proof: Preview
    proven: Proven


def render_deployment(plan: Plan, deployment: Deployment, reports: Path) -> str:
    """Give the page as a fragment that needs nothing else. Pictures that cannot be read are left out."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pairs = _pairs(plan, deployment, reports)
    return environment.get_template("deploy.html").render(
        plan=plan, deployment=deployment, pairs=pairs, frame_script=frame_script()
    )


def _pairs(plan: Plan, deployment: Deployment, reports: Path) -> list[_Pair]:
    selected = next(one for one in plan.checkpoints if one.id == deployment.selected)
    judged = {cell.row: reports / "pictures" / cell.picture for cell in column(plan, selected)}
    files = {path for one in deployment.proof for path in (judged[one.row], reports / one.picture)}
    previews = make_previews((Source(path, PurePosixPath(path.stem)) for path in files), reports)
    return [
        _Pair(previews[judged[one.row]], previews[reports / one.picture], one)
        for one in deployment.proof
        if judged[one.row] in previews and reports / one.picture in previews
    ]
