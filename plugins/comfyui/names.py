"""A model that a person named is found in the server's own list."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath

from plugins.comfyui.errors import NotListed


def find_base_model(wanted: str, listed: Sequence[str], *, server: str) -> str:
    """Give the base model as the server lists it, for its stem, its file name, or its name with folders.

    Raises `NotListed` with the nearest names where it is absent, and where two files answer to the name.
    """
    whole = {name: name.replace("\\", "/") for name in listed}
    target = wanted.replace("\\", "/")
    for spelled in (
        lambda path: path,
        lambda path: PurePosixPath(path).name,
        lambda path: PurePosixPath(path).stem,
    ):
        found = [name for name, path in whole.items() if spelled(path) == target]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotListed(
                f"Several base models at {server} are called {wanted!r}: {', '.join(found)}. "
                "Write the one that is meant as `base_model` under [sampling] in the plan."
            )
    stems = {PurePosixPath(path).stem.casefold(): name for name, path in whole.items()}
    near = [stems[stem] for stem in get_close_matches(PurePosixPath(target).stem.casefold(), stems, n=3, cutoff=0.4)]
    offer = f"Nearest are: {', '.join(near)}." if near else f"It has: {', '.join(listed[:8]) or 'none at all'}."
    raise NotListed(
        f"The base model {wanted!r} is not in the list of {server}. {offer} "
        "Put the file into ComfyUI's models/checkpoints, or correct `base_model` under [sampling] in the plan."
    )
