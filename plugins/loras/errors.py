"""What can go wrong with LoRA files.

* LoraError
  * HeaderError: not a complete safetensors file, or one that contradicts the plan
  * StagingError: a checkpoint cannot be put before ComfyUI
  * DeploymentError: the production file could not be put in place
  * FolderInUse: another run writes there
"""

from plugins.plan.messages import UserError


class LoraError(UserError):
    """A LoRA file cannot be used; the message names the file and the next step."""


class HeaderError(LoraError):
    """A file that is not a complete safetensors file, or contradicts the plan."""


class StagingError(LoraError):
    """A checkpoint that cannot be staged."""


class DeploymentError(LoraError):
    """A production file that could not be put in place; the former one is still there."""


class FolderInUse(LoraError):
    """A folder that another run writes into."""
