"""Finding a model that a person named in the server's own list."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath
from unicodedata import normalize

from plugins.comfyui.errors import NotListed


def find_base_model(
    wanted: str, listed: Sequence[str], *, server: str, folder: str = "ComfyUI's models/checkpoints"
) -> str:
    """Return the base model as the server lists it, for its stem, its file name, or its name with folders.

    Raises `NotListed` with the nearest names where it is absent, and where two files answer to the name.
    """
    target = _spellings(wanted)[0]
    for spelling in range(3):
        found = [name for name in listed if _spellings(name)[spelling] == target]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotListed(
                f"Several base models at {server} are called {wanted!r}: {', '.join(found)}. "
                "Write the one that is meant as `base_model` under [sampling] in the plan."
            )
    stems = {_spellings(name)[-1].casefold(): name for name in listed}
    near = [stems[stem] for stem in get_close_matches(PurePosixPath(target).stem.casefold(), stems, n=3, cutoff=0.4)]
    offer = f"Nearest are: {', '.join(near)}." if near else f"It has: {', '.join(listed[:8]) or 'none at all'}."
    raise NotListed(
        f"The base model {wanted!r} is not in the list of {server}. {offer} "
        f"Put the file into {folder}, or correct `base_model` under [sampling] in the plan."
    )


def check_offered(wanted: str, listed: Sequence[str], *, key: str, server: str) -> None:
    """Refuse a sampler or scheduler that the server's drop-down does not offer, and name the nearest.

    Raises `NotListed`.
    """
    if wanted in listed:
        return
    spelled = {name.replace("_", " "): name for name in listed}
    near = [spelled[name] for name in get_close_matches(wanted.casefold().replace("_", " "), spelled, n=4, cutoff=0.4)]
    offer = f"Nearest are: {', '.join(near)}." if near else f"It has: {', '.join(listed)}."
    raise NotListed(f"{server} offers no {key} {wanted!r}. {offer} Correct `{key}` under [sampling] in the plan.")


def is_called(wanted: str, name: str) -> bool:
    """Return whether a model as a server lists it is what a plan calls `wanted`."""
    return _spellings(wanted)[0] in _spellings(name)


def _plain(name: str) -> str:
    """Return a name with slashes, and letters with their accents in one, which macOS may take apart."""
    return normalize("NFC", name.replace("\\", "/"))


def _spellings(name: str) -> tuple[str, str, str]:
    """Return a model's name with its folders, without them, and without its extension."""
    path = PurePosixPath(_plain(name))
    return str(path), path.name, path.stem


def is_listed(name: str, listed: Sequence[str], *, folder: object) -> bool:
    """Say whether a server lists a LoRA that lies in `folder`, as `find_lora` finds it."""
    try:
        find_lora(name, listed, server="", folder=folder)
    except NotListed:
        return False
    return True


def find_always_on(name: str, listed: Sequence[str], *, server: str, folder: object) -> str:
    """Return a LoRA that the plan has always on, as the server spells it. Raises `NotListed` with the nearest names."""
    try:
        return find_lora(name, listed, server=server, folder=folder)
    except NotListed:
        spelled = [_plain(one) for one in listed]
        near = get_close_matches(name, spelled, n=3, cutoff=0.4)
        offer = f"Nearest are: {', '.join(near)}." if near else f"It has: {', '.join(spelled[:8]) or 'none at all'}."
    raise NotListed(
        f"The [[lora]] {name!r} is not in the LoRA list of {server}. {offer} Put the file into {folder}, or correct "
        "`file` under [[lora]] in the plan."
    )


def find_lora(name: str, listed: Sequence[str], *, server: str, folder: object) -> str:
    """Return a LoRA as the server spells it: with a backslash between folders on Windows.

    `name` is seen from the server's models/loras, with `/`. A file of that name in another folder is another file,
    unless `folder` is a folder elsewhere that ends in it: below a folder that the server's settings add.
    Raises `NotListed` where the picker does not have it: then the server reads another folder.
    """
    for spelled in sorted(listed, key=lambda one: one != name):
        if _plain(spelled) == _plain(name):
            return spelled
    file = PurePosixPath(name).name
    whole = PurePosixPath(_plain(str(folder)), _plain(file))
    if name == file and whole.parts[-3:-1] != ("models", "loras"):
        for spelled in listed:
            parts = PurePosixPath(_plain(spelled)).parts
            if len(parts) > 1 and parts == whole.parts[-len(parts) :]:
                return spelled
    raise NotListed(
        f"{file} lies in {folder}, but is not in the LoRA list of {server}. That server reads another folder: name its "
        "ComfyUI folder with --comfyui-dir, or correct `comfyui` and `loras` under [paths] in the plan."
    )
