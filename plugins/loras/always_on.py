"""The LoRAs that are always on: their bytes are part of what a picture is made from."""

from collections.abc import Callable, Mapping
from pathlib import Path

from plugins.loras.copying import digest_of
from plugins.plan.plan import Plan


def digests_of_always_on(plan: Plan, *, digest: Callable[[Path], str] = digest_of) -> Mapping[str, str]:
    """Return the digest of each by its file; one that is out of reach, on a server elsewhere, is left out."""
    found = {}
    for one in plan.loras:
        try:
            found[one.file] = digest(plan.paths.loras / one.file)
        except OSError:
            continue
    return found
