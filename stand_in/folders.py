"""ComfyUI's folders: what the pickers list, where a named file lies, where pictures go."""

import mimetypes
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_WEIGHTS: Final = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})
_ANYTHING: Final[frozenset[str]] = frozenset()
MODEL_FOLDERS: Final[dict[str, tuple[tuple[str, ...], frozenset[str]]]] = {
    "checkpoints": (("checkpoints",), _WEIGHTS),
    "configs": (("configs",), frozenset({".yaml"})),
    "loras": (("loras",), _WEIGHTS),
    "vae": (("vae",), _WEIGHTS),
    "text_encoders": (("text_encoders", "clip"), _WEIGHTS),
    "diffusion_models": (("unet", "diffusion_models"), _WEIGHTS),
    "clip_vision": (("clip_vision",), _WEIGHTS),
    "style_models": (("style_models",), _WEIGHTS),
    "embeddings": (("embeddings",), _WEIGHTS),
    "diffusers": (("diffusers",), frozenset({"folder"})),
    "vae_approx": (("vae_approx",), _WEIGHTS),
    "controlnet": (("controlnet", "t2i_adapter"), _WEIGHTS),
    "gligen": (("gligen",), _WEIGHTS),
    "upscale_models": (("upscale_models",), _WEIGHTS),
    "custom_nodes": (("../custom_nodes",), _ANYTHING),
    "hypernetworks": (("hypernetworks",), _WEIGHTS),
    "photomaker": (("photomaker",), _WEIGHTS),
    "classifiers": (("classifiers",), frozenset({""})),
    "model_patches": (("model_patches",), _WEIGHTS),
    "audio_encoders": (("audio_encoders",), _WEIGHTS),
}
"""Folder as `/models` names it: folders below `models/`, and the endings it lists (none: any)."""

_MADE: Final = ("loras", "checkpoints", "vae", "diffusion_models", "unet", "text_encoders", "clip", "controlnet")
"""Folders below `models/` that a new ComfyUI folder has here."""


class OutsideOutputError(Exception):
    """A file name prefix that leaves the output folder (recorded in run_prefix_escape.json)."""

    exception_type = "Exception"
    """What ComfyUI reports it as."""


@dataclass(frozen=True)
class _Listing:
    names: tuple[str, ...]
    times: dict[Path, float]


@dataclass(frozen=True, kw_only=True)
class SaveTarget:
    """Where SaveImage puts its next picture."""

    folder: Path
    stem: str
    counter: int
    subfolder: str


class Folders:
    """One ComfyUI folder. Listings are remembered until a folder's mtime changes (docs/comfyui.md, "Files")."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.kinds = dict(MODEL_FOLDERS)
        """The model folders, in the form of `MODEL_FOLDERS`; a pack of custom nodes may add its own."""
        self._listings: dict[str, _Listing] = {}
        for folder in ("output", "temp", "input", *(f"models/{name}" for name in _MADE)):
            (self.root / folder).mkdir(parents=True, exist_ok=True)

    def of_type(self, kind: str) -> Path | None:
        """Return the folder of `output`, `temp` or `input` files; None for any other word."""
        return self.root / kind if kind in {"output", "temp", "input"} else None

    def names(self, kind: str) -> list[str]:
        """List a model folder as a picker shows it: sorted, subfolders with this system's separator.

        "input" lists the pictures that LoadImage offers. Raises `KeyError` for a folder that ComfyUI does not have.
        """
        if kind == "input":
            return sorted(path.name for path in (self.root / kind).iterdir() if path.is_file() and _is_picture(path))
        listing = self._listings.get(kind)
        if listing is None or not _fresh(listing):
            listing = self._listings[kind] = self._search(kind)
        return list(listing.names)

    def files(self, kind: str) -> list[dict[str, Any]]:
        """List a model folder with each file's size and times, hidden files left out.

        Raises `KeyError` for a folder that ComfyUI does not have.
        """
        parts, _ = self.kinds[kind]
        found = []
        for index, part in enumerate(parts):
            top = self.root / "models" / part
            for folder, subfolders, names in os.walk(top, followlinks=True):
                subfolders[:] = [name for name in subfolders if not name.startswith(".")]
                for name in names:
                    if name.startswith(".") or not _listed(name, _WEIGHTS):
                        continue
                    try:
                        seen = Path(folder, name).stat()
                    except OSError:  # a link to nothing
                        continue
                    times = {"modified": seen.st_mtime, "created": seen.st_ctime}
                    inside = os.path.relpath(Path(folder, name), top)
                    found.append({"name": inside, "pathIndex": index, **times, "size": seen.st_size})
        return found

    def find(self, kind: str, name: str) -> Path | None:
        """Return the model file with that name; `..` in it is resolved away before looking."""
        if kind not in self.kinds:
            return None
        inside = os.path.relpath(os.path.join(os.sep, name), os.sep)  # noqa: PTH118 (`..` must not leave)
        for part in self.kinds[kind][0]:
            path = self.root / "models" / part / inside
            if path.is_file():
                return path
        return None

    def place(self, prefix: str, kind: str, size: tuple[int, int]) -> SaveTarget:
        """Work out the next free name below the output (or temp) folder, as `prefix_00001_.png`.

        A folder in the prefix becomes a subfolder. Raises `OutsideOutputError` when the prefix leaves the folder.
        """
        normal = os.path.normpath(_filled(prefix, size))
        subfolder, stem = os.path.split(normal)
        top = str(self.root / kind)
        folder = os.path.abspath(os.path.join(top, subfolder))  # noqa: PTH100, PTH118 (must not follow links)
        common = os.path.commonpath((top, folder))
        if common != top:
            raise OutsideOutputError(
                "**** ERROR: Saving image outside the output folder is not allowed."
                f"\n full_output_folder: {folder}\n         output_dir: {top}"
            )
        Path(folder).mkdir(parents=True, exist_ok=True)
        taken = [_number(path.name, stem) for path in Path(folder).iterdir()]
        return SaveTarget(folder=Path(folder), stem=stem, counter=max(taken, default=0) + 1, subfolder=subfolder)

    def _search(self, kind: str) -> _Listing:
        parts, endings = self.kinds[kind]
        names: set[str] = set()
        times: dict[Path, float] = {}
        for part in parts:
            top = self.root / "models" / part
            for folder, subfolders, files in os.walk(top, followlinks=True):
                subfolders[:] = [name for name in subfolders if name != ".git"]
                times[Path(folder)] = Path(folder).stat().st_mtime
                names.update(os.path.relpath(Path(folder, name), top) for name in files if _listed(name, endings))
        return _Listing(tuple(sorted(names)), times)


def _fresh(listing: _Listing) -> bool:
    try:
        return all(folder.stat().st_mtime == seen for folder, seen in listing.times.items())
    except OSError:
        return False


def _listed(name: str, endings: frozenset[str]) -> bool:
    return not endings or os.path.splitext(name)[1].lower() in endings  # noqa: PTH122 (".pt" alone has none)


def _is_picture(path: Path) -> bool:
    return (mimetypes.guess_type(path.name)[0] or "").startswith("image/")


def _number(name: str, stem: str) -> int:
    """Read the counter in a picture's name; 0 for a file that is not of this stem."""
    if os.path.normcase(name[: len(stem)]) != os.path.normcase(stem) or name[len(stem) : len(stem) + 1] != "_":
        return 0
    digits = name[len(stem) + 1 :].split(".", 1)[0].split("_", 1)[0]
    return int(digits) if digits.isdecimal() else 0


def _filled(prefix: str, size: tuple[int, int]) -> str:
    """Fill in ComfyUI's `%width%`, `%year%` and so on."""
    now = time.localtime()
    fields = {
        "width": str(size[0]),
        "height": str(size[1]),
        "year": f"{now.tm_year}",
        "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}",
        "hour": f"{now.tm_hour:02}",
        "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }
    for name, value in fields.items():
        prefix = prefix.replace(f"%{name}%", value)
    return prefix
