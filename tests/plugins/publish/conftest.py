"""The small plan, judged and deployed, with a copy to share wanted."""

import pytest

from tests.plugins.deploy.conftest import judged, made_judged
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.publish.made_publication import Publication

__all__ = ["judged", "made_judged"]


@pytest.fixture
def publication(judged: Judged) -> Publication:
    """Return the small plan, deployed, of which nothing is published yet."""
    return Publication(judged)
