"""What changed between versions of ComfyUI, so that a client can be tested against an older and a newer one."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Version:
    """How one version speaks. The defaults are 0.3.64's, which the recordings are from."""

    version: str = "0.3.64"
    combo_lists: bool = False
    """Pickers read `["COMBO", {"options": [...]}]` instead of `[[...], {}]`, as nodes of the new kind do already."""
    missing_node_type: bool = False
    """A node of unknown class, or without one, is refused as `missing_node_type`, with its id, class and title."""
    canonical_prompt_ids: bool = False
    """Only canonical lowercase UUIDs are taken as `prompt_id`; null is as good as none."""
    plain_choices: bool = False
    """A choice that is not offered is quoted as Python writes it, so that a number has no quotes."""
    create_times: bool = False
    """Extra data hold the time at which a prompt was posted, and keys for paid nodes are dropped as soon as it is."""
    previews: bool = False
    """Sampling steps send binary preview pictures, as with `--preview-method`."""


TODAY = Version()
LATER = Version(
    version="0.4.0",
    combo_lists=True,
    missing_node_type=True,
    canonical_prompt_ids=True,
    plain_choices=True,
    create_times=True,
)
"""A newer version, with all its differences at once."""
