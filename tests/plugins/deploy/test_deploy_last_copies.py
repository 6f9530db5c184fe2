"""No deployment destroys the last copy of a checkpoint, and none rests on pictures that were not compared."""

import pytest

from plugins.deploy.gate import NEEDED, GateError
from plugins.loras.copies import remove_evaluation_copies
from plugins.loras.errors import StagingError
from plugins.loras.staging import preflight, stage
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import keep


def test_last_copy_of_a_checkpoint_is_left(plan: Plan) -> None:
    """An evaluation copy whose training output is gone is not removed, and is reported."""
    staged = stage(plan, preflight(plan))
    plan.training_file(plan.checkpoints[0]).unlink()

    cleaned = remove_evaluation_copies(plan, frozenset(one.sha256 for one in staged))

    assert {staged[0].file: "no training output has these bytes any more, so this is the last copy"} == cleaned.left
    assert (staged[1].file,) == cleaned.removed


def test_training_output_that_links_into_the_loras_folder_is_refused(plan: Plan) -> None:
    """A training output that is a link to an evaluation copy would be removed with it; nothing is staged."""
    staged = stage(plan, preflight(plan))
    source = plan.training_file(plan.checkpoints[0])
    source.unlink()
    source.symlink_to(staged[0].file)

    with pytest.raises(StagingError, match=r"is a link into .*, where files are replaced and removed"):
        preflight(plan)


@pytest.mark.parametrize("name", NEEDED)
def test_gate_stays_shut_where_a_check_was_not_made(judged: Judged, name: str) -> None:
    """A picture that was never put to a check, as after a kill before it was compared, opens no gate."""
    cell = matrix(judged.plan)[-1]
    made = judged.store.read(cell)
    assert made is not None
    keep(judged.expected, judged.store, cell, checks=tuple(check for check in made.checks if check.name != name))

    with pytest.raises(GateError, match=f"{cell}: its check '{name}' was not made"):
        judged.selected()


def test_gate_stays_shut_for_pictures_of_two_base_models(judged: Judged) -> None:
    """Pictures that were made on different base models do not compare."""
    cell = matrix(judged.plan)[-1]
    other = f"{judged.plan.sampling.base_model}.ckpt"
    digest = judged.expected.inputs_digest(cell, base_model=other)
    keep(judged.expected, judged.store, cell, base_model=other, inputs_digest=digest)

    with pytest.raises(GateError, match="made on several base models"):
        judged.selected()
