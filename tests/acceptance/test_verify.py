"""Production is what was selected, and nothing else is there: `pytest -m verify`, at any time."""

from collections.abc import Callable, Iterable

import pytest

from plugins.comfyui.server import Server
from plugins.deploy import claims
from plugins.deploy.serving import model_files_are_as_proven
from plugins.deploy.standing import NOTHING_THERE, rendered_again
from plugins.deploy.templates import Templates, read_templates, templates_load_production
from plugins.deploy.verified import Fail, Once
from plugins.evidence.deployments import Deployment, Rollback, Serving
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.plan.plan import Plan
from plugins.publish.publishing import published_is_of_production
from plugins.publish.record import Published

AssertNone = Callable[[Iterable[str]], None]
Renewed = Callable[[], None]
"""Ends a test where pictures were rendered again since the deployment."""

pytestmark = [pytest.mark.deploy, pytest.mark.verify]


@pytest.fixture(scope="session")
def assert_none(fail: Fail) -> AssertNone:
    """Return what fails a test where there are problems, and lists them all."""

    def assert_none(problems: Iterable[str]) -> None:
        if found := list(problems):
            fail("\n".join(found))

    return assert_none


@pytest.fixture
def there(production: Plan, once: Once) -> Plan:
    """Return the plan, where there is a production file at all."""
    return production if production.production_file.is_file() else once(NOTHING_THERE, claims.is_missing(production))


@pytest.fixture
def templates(production: Plan) -> Templates:
    """Return the workflows that the plan names to be verified."""
    return read_templates(production)


@pytest.fixture
def renewed(request: pytest.FixtureRequest, production: Plan, store: Store, once: Once) -> Renewed:
    """Return what ends a test where pictures were rendered again since the deployment on record."""

    def renewed() -> None:
        standing: Deployment | Rollback = request.getfixturevalue("standing")
        if isinstance(standing, Deployment) and (told := rendered_again(production, standing, store)):
            once("pictures were rendered again", told)

    return renewed


def test_production_lora_is_present(production: Plan, once: Once, assert_none: AssertNone) -> None:
    """The production LoRA is there, and is a complete safetensors file."""
    if not production.production_file.is_file():
        once(NOTHING_THERE, claims.is_missing(production))
    assert_none(claims.production_is_present(production))


def test_production_lora_has_its_size(there: Plan, assert_none: AssertNone) -> None:
    """The production LoRA's size is within the plan's range."""
    assert_none(claims.production_has_its_size(there))


def test_no_evaluation_copies_remain(there: Plan, renewed: Renewed, assert_none: AssertNone) -> None:
    """No step-labelled evaluation copies remain in the loras folder."""
    if problems := claims.no_evaluation_copies_remain(there):
        renewed()
    assert_none(problems)


def test_picker_lists_production_lora(there: Plan, servers: tuple[Server, ...], assert_none: AssertNone) -> None:
    """ComfyUI's LoRA picker offers the production LoRA."""
    assert_none(
        problem
        for server in servers
        for problem in claims.picker_lists_production(there, server.client.loras(), server=server.client.url)
    )


def test_every_checkpoint_was_tested_on_every_prompt(
    judged: ExpectedInputs, store: Store, deployment: Deployment, renewed: Renewed, assert_none: AssertNone
) -> None:
    """Every checkpoint was tested on every prompt before the selection."""
    problems = claims.every_checkpoint_was_tested(judged, store, deployment)
    if problems and all(one.endswith(claims.RENDERED_AGAIN) for one in problems):
        renewed()
    assert_none(problems)


def test_ballot_is_unchanged(deployment: Deployment, assert_none: AssertNone) -> None:
    """The ballot that the deployment was made by, if any, is as it was."""
    assert_none(claims.ballot_is_unchanged(deployment))


def test_production_lora_rendered_what_was_judged(
    judged: ExpectedInputs, store: Store, deployment: Deployment, assert_none: AssertNone
) -> None:
    """The production LoRA, rendered once more after deployment, gave the pictures that were judged."""
    assert_none(claims.proof_was_given(judged, store, deployment))


def test_production_lora_is_the_selected_checkpoint(
    there: Plan, standing: Deployment | Rollback, assert_none: AssertNone
) -> None:
    """The production LoRA holds the bytes of the selected checkpoint."""
    if isinstance(standing, Rollback):
        assert_none(claims.production_is_the_former_file(there, standing))
        pytest.skip(str(standing))
    assert_none(claims.production_is_the_selected_checkpoint(there, standing))


def test_model_files_are_as_proven(
    deployment: Deployment, serving: tuple[Serving, ...], assert_none: AssertNone
) -> None:
    """The base model and the other model files are those that the production LoRA was proven with."""
    if not any(one.files for one in deployment.serving):
        pytest.skip("not checked: the record of the deployment names no model files")
    assert_none(model_files_are_as_proven(deployment, serving))


def test_no_forbidden_lora_on_disk(production: Plan, assert_none: AssertNone) -> None:
    """No forbidden LoRA lies in the loras folder."""
    assert_none(claims.no_forbidden_lora_on_disk(production))


def test_no_forbidden_lora_in_picker(production: Plan, servers: tuple[Server, ...], assert_none: AssertNone) -> None:
    """No forbidden LoRA is offered by ComfyUI's picker."""
    assert_none(
        problem
        for server in servers
        for problem in claims.no_forbidden_lora_in_picker(production, server.client.loras(), server=server.client.url)
    )


def test_workflow_templates_load_production_lora(
    templates: Templates, production: Plan, servers: tuple[Server, ...], assert_none: AssertNone
) -> None:
    """The workflows that the plan names load the production LoRA by its name, and no checkpoint or forbidden LoRA."""
    graphs, problems = templates
    found = (one for server in servers for one in templates_load_production(production, graphs, server.client))
    assert_none([*problems, *found])


def test_published_files_are_of_production_lora(
    production: Plan, published: Published | None, store: Store, assert_none: AssertNone
) -> None:
    """What was published is of the LoRA in production, and the copy to share is as it was written."""
    assert_none(published_is_of_production(production, published, store.reports))
