"""Production is what was selected, and nothing else is there: `pytest -m verify`, at any time."""

from collections.abc import Iterable

import pytest

from plugins.comfyui.server import Server
from plugins.deploy import claims
from plugins.deploy.deployment import Deployment
from plugins.evidence.asked import Asked
from plugins.evidence.store import Store
from plugins.plan.plan import Plan
from plugins.plan.telling import visible

pytestmark = [pytest.mark.deploy, pytest.mark.verify]


def test_production_lora_is_present(production: Plan) -> None:
    """The production LoRA is there, and is a whole safetensors file."""
    _hold(claims.production_is_present(production))


def test_production_lora_has_its_size(production: Plan) -> None:
    """The production LoRA's size is within the plan's range."""
    _hold(claims.production_has_its_size(production))


def test_no_evaluation_copies_remain(production: Plan) -> None:
    """No step-labelled evaluation copies remain in the loras folder."""
    _hold(claims.no_evaluation_copies_remain(production))


def test_picker_lists_production_lora(production: Plan, servers: tuple[Server, ...]) -> None:
    """ComfyUI's LoRA picker offers the production LoRA."""
    _hold(
        problem
        for server in servers
        for problem in claims.picker_lists_production(production, server.client.loras(), server=server.client.url)
    )


def test_every_checkpoint_was_tested_on_every_prompt(judged: Asked, store: Store, deployment: Deployment) -> None:
    """Every checkpoint was tested on every prompt before the selection."""
    _hold(claims.every_checkpoint_was_tested(judged, store, deployment))


def test_ballot_is_unchanged(deployment: Deployment) -> None:
    """The ballot that the deployment was made by, if any, is as it was."""
    _hold(claims.ballot_is_unchanged(deployment))


def test_production_lora_rendered_what_was_judged(judged: Asked, store: Store, deployment: Deployment) -> None:
    """The production LoRA, rendered once more after deployment, gave the pictures that were judged."""
    _hold(claims.proof_was_given(judged, store, deployment))


def test_production_lora_is_the_selected_checkpoint(production: Plan, deployment: Deployment) -> None:
    """The production LoRA holds the bytes of the selected checkpoint."""
    _hold(claims.production_is_the_selected_checkpoint(production, deployment))


def test_no_forbidden_lora_on_disk(production: Plan) -> None:
    """No forbidden LoRA lies in the loras folder (LORA-05)."""
    _hold(claims.no_forbidden_lora_on_disk(production))


def test_no_forbidden_lora_in_picker(production: Plan, servers: tuple[Server, ...]) -> None:
    """No forbidden LoRA is offered by ComfyUI's picker (LORA-05)."""
    _hold(
        problem
        for server in servers
        for problem in claims.no_forbidden_lora_in_picker(production, server.client.loras(), server=server.client.url)
    )


def _hold(problems: Iterable[str]) -> None:
    if told := list(problems):
        pytest.fail(visible("\n".join(told)), pytrace=False)
