"""The selected checkpoint becomes the production LoRA: `pytest -m deploy --selected-step=600`, or `--rollback`."""

import pytest

from plugins.evidence.deployments import Deployment, Rollback

pytestmark = pytest.mark.deploy


def test_selected_checkpoint_is_deployed(deployed: Deployment) -> None:
    """The selected checkpoint is put in place of the production LoRA, and renders what was judged."""
    assert deployed.production.is_file()


def test_former_production_is_put_back(rolled_back: Rollback) -> None:
    """The production LoRA of before the last deployment is back in its place, and renders as it should."""
    assert rolled_back.production.is_file()


def test_evaluation_copies_are_removed(deployment: Deployment) -> None:
    """The evaluation copies are removed once production is in place; what is not a checkpoint is left."""
    if deployment.left:
        told = "\n".join(f"  {path} was left: {reason}" for path, reason in deployment.left.items())
        pytest.fail(f"Not every evaluation copy was removed:\n{told}", pytrace=False)
