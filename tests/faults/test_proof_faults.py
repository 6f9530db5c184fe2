"""A server that is restarted while production is proven does not undo what was put there."""

from collections.abc import Iterator

import pytest

from plugins.comfyui.server import Server
from plugins.comfyui.timing import Timing
from plugins.deploy.deployment import Selected, deploy
from plugins.deploy.gate import pass_gate
from plugins.deploy.proof import Prover
from plugins.deploy.rollback import ProductionRollback, find_previous
from plugins.evidence.deployments import RECORD, Deployment
from plugins.generate.generation import Generation
from plugins.loras.copying import digest_of
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from tests.faults.fault_catalogue import restarting_once
from tests.faults.faulty_server import Stage, staged


@pytest.fixture
def rendered(plan: Plan) -> Iterator[Stage]:
    """Render the whole plan on a server that is restarted once, from when its fault is armed on."""
    with staged(plan, restarting_once(), timeout=30, timing=Timing(gone=0.2), fronted=True) as stage:
        run = Generation(stage.prepared, matrix(plan), regenerate=False)
        for cell in matrix(plan):
            run.evidence_of(cell, show=_ignore)
        yield stage


def test_restart_during_the_proof_does_not_undo_a_deployment(rendered: Stage) -> None:
    """The picture that was lost is rendered again, and the deployment stands."""
    rendered.faults[0].armed.set()

    deployment = _deploy(rendered, "step600")

    assert [True, True] == [one.identical for one in deployment.proof]
    assert deployment.sha256 == digest_of(deployment.production)


def test_restart_during_the_proof_does_not_undo_a_rollback(rendered: Stage) -> None:
    """The picture that was lost is rendered again, and the former file stays in place."""
    first = _deploy(rendered, "final")
    second = _deploy(rendered, "step600")
    rendered.faults[0].armed.set()
    expected = rendered.prepared.expected
    undoing = ProductionRollback(
        expected=expected, servers=_servers(rendered), reports=rendered.store.reports, meanwhile=_ignore
    )

    rollback = undoing.roll_back(find_previous(expected.plan, second))

    assert "final" == rollback.checkpoint
    assert first.sha256 == digest_of(rollback.production)


def _deploy(rendered: Stage, step: str) -> Deployment:
    expected, store = rendered.prepared.expected, rendered.store
    checkpoint = expected.plan.checkpoint(step)
    assert checkpoint
    evidence = pass_gate(expected, store, checkpoint)
    prover = Prover(
        expected=expected,
        evidence=evidence,
        store=store,
        servers=_servers(rendered),
        stability=(),
    )
    selected = Selected(
        expected=expected, store=store, checkpoint=checkpoint, evidence=evidence, observed="", ballot=None
    )
    return deploy(
        selected,
        record=store.reports / RECORD,
        prove=lambda: prover.prove(checkpoint, meanwhile=_ignore),
        forget=prover.forget,
    )


def _servers(rendered: Stage) -> tuple[Server, ...]:
    return tuple(one for one in rendered.prepared.servers if isinstance(one, Server))


def _ignore(_: str) -> None:
    """Take no notice of progress."""
