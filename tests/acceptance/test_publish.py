"""What LoRA managers read is written beside production, and a copy to share: `pytest -m publish`."""

import pytest

from plugins.publish.record import Published

pytestmark = pytest.mark.publish


def test_production_lora_is_published(publication: Published) -> None:
    """What the plan wants is published of the LoRA in production, which was proven."""
    assert [path for path in publication.files if not path.is_file()] == []
