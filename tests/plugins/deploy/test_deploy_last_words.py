"""After a deployment the last words say what is in production, and how to check and undo it."""

from pathlib import Path

import pytest

from plugins.deploy.last_words import last_words
from plugins.deploy.verified import Verified
from tests.plain_command import plain_command
from tests.plugins.deploy.judged_plan import Judged

UNDO = "Undo it: pytest -m deploy --rollback"
FIRST = (
    "Nothing was in production before, so there is nothing to put back. "
    "Deploy another: pytest -m deploy --selected-step=STEP"
)


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (["passed", "passed"], "step600 is in production. Check it at any time: pytest -m verify"),
        (
            ["passed", "failed"],
            "step600 is in production, but 1 claim about it failed. Check it at any time: pytest -m verify",
        ),
    ],
)
def test_last_words_of_a_deployment(judged: Judged, outcomes: list[str], words: str) -> None:
    """They name the checkpoint, what failed, and what to type; undoing only where something can be put back."""
    here = Path("/here")
    command = plain_command(here, "deploy")
    verified = [Verified(claim="It is there", outcome=outcome) for outcome in outcomes]
    first = judged.deploy()
    assert f"{words}\n{FIRST}" == last_words(first, verified, command, judged.plan)
    later = first.model_copy(update={"replaced_sha256": "0" * 64})
    assert f"{words}\n{UNDO}" == last_words(later, verified, command, judged.plan)


def test_last_words_where_strengths_are_compared(judged: Judged) -> None:
    """Another checkpoint is deployed by a ballot, which alone says which strength was judged."""
    sampling = judged.plan.sampling.model_copy(update={"lora_strengths": (0.8, 1.0)})
    plan = judged.plan.model_copy(update={"sampling": sampling})
    assert last_words(judged.deploy(), [], plain_command(Path("/here"), "deploy"), plan).endswith(
        "Deploy another: save a ballot that chooses it and its strength, then pytest -m deploy"
    )
