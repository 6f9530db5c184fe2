"""The selected checkpoint becomes the production LoRA: `pytest -m deploy --selected-step=600`."""

import pytest

from plugins.deploy.deployment import Deployment
from plugins.loras.errors import LoraError

pytestmark = pytest.mark.deploy


def test_selected_checkpoint_is_deployed(request: pytest.FixtureRequest) -> None:
    """The selected checkpoint is put in place of the production LoRA, in one step."""
    try:
        request.getfixturevalue("deployed")
    except (LoraError, OSError) as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def test_evaluation_copies_are_removed(request: pytest.FixtureRequest) -> None:
    """The evaluation copies are removed once production is in place; what is not a checkpoint is left."""
    try:
        deployment: Deployment = request.getfixturevalue("deployed")
    except (LoraError, OSError):
        pytest.skip("nothing was deployed")
    if deployment.left:
        told = "\n".join(f"  {path} was left: {reason}" for path, reason in deployment.left.items())
        pytest.fail(f"Not every evaluation copy was removed:\n{told}", pytrace=False)
