"""Where each `plugin.py` finds the command: `config.stash[COMMAND]`."""

from typing import Final

import pytest

from plugins.plan.command import Command

COMMAND: Final = pytest.StashKey[Command]()
