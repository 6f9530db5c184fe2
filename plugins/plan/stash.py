"""Where each `plugin.py` finds the command: `config.stash[COMMAND]`.

The only module beside the doors that imports pytest: a stash key is pytest's, and no door imports another one's.
"""

from typing import Final

import pytest

from plugins.plan.command import Command

COMMAND: Final = pytest.StashKey[Command]()
