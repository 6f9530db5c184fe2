"""A verification says what is live, and each cause once."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from plugins.deploy.claims import production_is_the_former_file
from plugins.deploy.standing import headline, properties, rendered_again, standing_of
from plugins.deploy.verified import Verified
from plugins.evidence.deployments import RECORD, ROLLBACK, Deployment, RecordError, Rollback, write_record
from plugins.loras.copying import digest_of
from plugins.plan.cells import matrix
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import keep

HOLDS = Verified(claim="it is there", outcome="passed", name="it_is_there")
FAILS = Verified(claim="it is there", outcome="failed", name="it_is_there")
LEFT_OUT = Verified(claim="it is there", outcome="not checked", name="it_is_there")


@pytest.fixture
def deployed(judged: Judged) -> Deployment:
    """Deploy step600."""
    return judged.deploy()


def rolled_back(deployment: Deployment) -> Rollback:
    """Return the record of a rollback."""
    return Rollback(
        installed="x",
        plan_name=deployment.plan_name,
        simulated=False,
        production=deployment.production,
        sha256="a" * 64,
        checkpoint="final",
        taken_out="step600",
        proof={},
        undone=deployment.deployed,
        rolled_back=datetime(2026, 1, 2, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("name", "simulated", "told"),
    [
        pytest.param("another", False, "the plan 'spyke_plasma_v1'", id="of-another-plan"),
        pytest.param("spyke_plasma_v1", True, "a --demo run", id="of-a-demo"),
    ],
)
def test_deployment_of_something_else_is_not_what_stands(
    judged: Judged, deployed: Deployment, *, name: str, simulated: bool, told: str
) -> None:
    """A record in this folder that is of another plan, or of the demo, says nothing about this plan's production."""
    write_record(deployed.model_copy(update={"simulated": simulated}), judged.reports / RECORD)
    plan = judged.plan.model_copy(update={"name": name})

    with pytest.raises(RecordError) as refused:
        standing_of(plan, judged.reports, None, simulated=False)
    assert f"The deployment on record in {judged.reports} is of {told}." == str(refused.value)


def test_green_says_what_is_live(judged: Judged, deployed: Deployment) -> None:
    """Where every claim holds, the step, the name, since when, and on which server it was proven."""
    day = f"{deployed.deployed:%Y-%m-%d %H:%M} UTC"
    told = headline(judged.plan, deployed, (HOLDS,))

    assert told.startswith(f"step600 of spyke_plasma_v1 is in production since {day}, proven on http")
    assert told.endswith("all 2 rows render what was judged, pixel for pixel.")


@pytest.mark.parametrize("verified", [(), (HOLDS, FAILS)], ids=["nothing-was-checked", "one-claim-fails"])
def test_nothing_is_live_where_a_claim_fails(
    judged: Judged, deployed: Deployment, verified: tuple[Verified, ...]
) -> None:
    """A claim that does not hold takes the headline away, and so does a run that checked nothing."""
    assert "" == headline(judged.plan, deployed, verified)


def test_claims_that_were_left_out_are_counted(judged: Judged, deployed: Deployment) -> None:
    """A run that checked one claim of two does not say that all is proven."""
    told = headline(judged.plan, deployed, (HOLDS, LEFT_OUT))

    assert told.endswith(", according to the record; 1 of 2 claims were not checked.")
    assert "proven" not in told


def test_rollback_is_green_with_what_that_means(judged: Judged, deployed: Deployment) -> None:
    """After a rollback, production is as it was, and nothing counts as selected."""
    told = headline(judged.plan, rolled_back(deployed), (HOLDS, LEFT_OUT))

    assert told.startswith("Production holds final, as before step600 was deployed: it was put back on ")
    assert told.endswith("No checkpoint is selected until you deploy one.")


def test_other_bytes_than_were_put_back_are_told(judged: Judged, deployed: Deployment) -> None:
    """After a rollback, production must hold the bytes that were put back."""
    back = rolled_back(deployed)
    right = back.model_copy(update={"sha256": digest_of(deployed.production)})

    assert [] == production_is_the_former_file(judged.plan, right)
    (told,) = production_is_the_former_file(judged.plan, back)
    assert "than those that were put back on 2026-01-02 00:00 UTC (aaaaaaaaaaaa)" in told


def test_what_stands_is_the_rollback_where_there_was_one(judged: Judged, deployed: Deployment) -> None:
    """A rollback of the deployment on record stands in its place; one of another deployment does not."""

    def standing() -> Deployment | Rollback:
        return standing_of(judged.plan, judged.reports, None, simulated=False)

    assert deployed == standing()
    write_record(rolled_back(deployed), judged.reports / ROLLBACK)
    assert rolled_back(deployed) == standing()


def test_checkpoint_that_was_rolled_back_is_not_what_stands(judged: Judged, deployed: Deployment) -> None:
    """Asked for by its step, a deployed checkpoint stands until it is rolled back; another one never."""
    assert deployed == standing_of(judged.plan, judged.reports, "600", simulated=False)
    with pytest.raises(RecordError, match="step600 is on record as deployed, not final"):
        standing_of(judged.plan, judged.reports, "final", simulated=False)

    write_record(rolled_back(deployed), judged.reports / ROLLBACK)

    with pytest.raises(
        RecordError, match=r"rolled back from step600 to final .* Deploy a checkpoint: pytest -m deploy"
    ):
        standing_of(judged.plan, judged.reports, "600", simulated=False)


@pytest.mark.parametrize("state", [lambda one: one, rolled_back], ids=["deployed", "rolled-back"])
def test_state_is_given_by_name(deployed: Deployment, state: Callable[[Deployment], Deployment | Rollback]) -> None:
    """What --junitxml carries names what is in production."""
    found = properties(state(deployed))

    assert ("sha256", state(deployed).sha256) in found
    assert found[0][0] in {"selected", "rolled_back_to"}
    assert [] == properties(None)


def test_pictures_that_were_rendered_again_are_one_cause(judged: Judged, deployed: Deployment) -> None:
    """After generating again, the number of new pictures and what the copies are there for is said in one message."""
    assert "" == rendered_again(judged.plan, deployed, judged.store)
    for cell in matrix(judged.plan)[:3]:
        evidence = judged.store.read(cell)
        assert evidence
        keep(judged.expected, judged.store, cell, run=evidence.run.model_copy(update={"prompt_id": "new"}))

    told = rendered_again(judged.plan, deployed, judged.store)
    assert told.startswith("1 of 4 pictures were rendered again since step600 was deployed on ")
