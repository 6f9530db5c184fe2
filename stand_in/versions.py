"""What changed between versions of ComfyUI, so that a client can be tested against an older and a newer one.

docs/comfyui.md, "Versions", lists the differences.
"""

from dataclasses import dataclass
from typing import Any, Final

MAX_UPLOAD: Final = 100 * 1024 * 1024
"""Bytes that a request may have."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """How one version speaks. The defaults are 0.33.0's."""

    version: str = "0.33.0"
    declarations: str = "0.33.0"
    """The version whose node classes are known."""
    combo_lists: bool = False
    """Every picker reads `["COMBO", {"options": [...]}]` instead of `[[...], {}]`, as nodes of the new kind do."""
    missing_node_type: bool = True
    """A node of unknown class, or without one, is refused as `missing_node_type`, with its id, class and title."""
    canonical_prompt_ids: bool = True
    """Only canonical lowercase UUIDs are taken as `prompt_id`; null is as good as none."""
    plain_choices: bool = True
    """A choice that is not offered is quoted as Python writes it, so that a number has no quotes."""
    create_times: bool = True
    """Extra data hold the time at which a prompt was posted, and keys for paid nodes are dropped as soon as it is."""
    describes_packages: bool = True
    """The machine's description has the versions of ComfyUI's packages, and how ComfyUI was installed."""
    more_features: bool = True
    """The features name more than previews and the size of uploads."""
    names_cycles: bool = True
    """Nodes that feed each other are refused as `dependency_cycle`, instead of an internal failure."""
    throttles_progress: bool = True
    """Between the first and the last step, progress is reported every 100 ms at most."""
    log_levels: bool = True
    """Lines of the log begin with their level, in colour."""
    previews: bool = False
    """Sampling steps send binary preview pictures, as with `--preview-method`."""

    @property
    def features(self) -> dict[str, Any]:
        """What the server says that it can do."""
        features: dict[str, Any] = {"supports_preview_metadata": True, "max_upload_size": MAX_UPLOAD}
        if self.more_features:
            features |= {
                "supports_model_type_tags": True,
                "extension": {"manager": {"supports_v4": True}},
                "node_replacements": True,
                "assets": False,
            }
        return features


TODAY = Version()
EARLIER = Version(
    version="0.3.64",
    declarations="0.3.64",
    missing_node_type=False,
    canonical_prompt_ids=False,
    plain_choices=False,
    create_times=False,
    describes_packages=False,
    more_features=False,
    names_cycles=False,
    throttles_progress=False,
    log_levels=False,
)
"""A version of 2025 that many still run."""
LATER = Version(version="0.40.0", combo_lists=True)
"""A version that is not there yet: every node is of the new kind."""
