"""What other rooms may say of a deployment."""

from collections.abc import Collection

import pytest


class Hooks:
    """What other rooms may do about deploying."""

    @pytest.hookspec
    def pytest_acceptance_left_out(self, config: pytest.Config) -> Collection[str]:  # type: ignore[empty-body]
        """Return fixtures whose tests this command leaves out: of what it has nothing to verify."""
