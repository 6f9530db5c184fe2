"""What changed between versions of ComfyUI, so that a client can be tested against an older and a newer one."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one version speaks. The defaults are 0.3.64's, which the recordings are from."""

    version: str = "0.3.64"
    combo_lists: bool = False
    """Pickers read `["COMBO", {"options": [...]}]` instead of `[[...], {}]`."""
    missing_node_type: bool = False
    """An unknown node is told as `missing_node_type`, with its id and class."""
    canonical_prompt_ids: bool = False
    """Only canonical lowercase UUIDs are taken as `prompt_id`."""
    previews: bool = False
    """Sampling steps send binary preview pictures, as with `--preview-method`."""


TODAY = Dialect()
LATER = Dialect(version="0.4.0", combo_lists=True, missing_node_type=True, canonical_prompt_ids=True)
"""What COMFYUI.md calls "later", all at once."""
