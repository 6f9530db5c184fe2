"""The model files that a workflow names, made where its loaders look for them."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Final

from PIL import Image

from stand_in.catalogue import Catalogue
from stand_in.folders import Folders
from stand_in.networks import lora_shapes
from stand_in.training import TrainingRun
from stand_in.versions import TODAY
from stand_in.weights import write_weights

_BASE_MODELS: Final = ("checkpoints", "diffusion_models")
_LARGEST_LORA: Final = 100_000
_SIDE: Final = 512


def make_models(run: TrainingRun, comfyui: Path) -> None:
    """Make what the run's workflow names and `comfyui` lacks: models, LoRAs that change little, pictures.

    The run's base model is made in each folder that the workflow loads one from. Raises `OSError`.
    """
    catalogue = Catalogue(Folders(comfyui), TODAY)
    for kind, name in sorted(set(_named(run.workflow or {}, catalogue))):
        names = {name, run.base_model} if kind in _BASE_MODELS else {name}
        for one in names - set(run.left_out):
            if kind == "input":
                _make_picture(comfyui / kind / one)
            else:
                _make_model(kind, comfyui / "models" / kind / one)


def _named(workflow: Mapping[str, Any], catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Yield the folder and the name of each file that a node of a known class takes."""
    for node in workflow.values():
        if not isinstance(node, dict) or not isinstance(node.get("inputs"), dict):
            continue
        class_type = str(node.get("class_type"))
        for key, entry in catalogue[class_type].inputs if class_type in catalogue else ():
            files = entry[0] if isinstance(entry[0], dict) else (entry[1:] or [{}])[0].get("options")
            value = node["inputs"].get(key)
            if isinstance(files, dict) and isinstance(value, str) and value not in files["more"] and _is_inside(value):
                yield files["files"], value


def _is_inside(name: str) -> bool:
    """Return whether a file of that name lies below the folder that it is looked for in."""
    path = PurePath(name)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _make_model(kind: str, path: Path) -> None:
    if path.exists():
        return
    if kind == "loras":
        shapes = lora_shapes(0, _LARGEST_LORA)[1]
        metadata = {"format": "pt", "simulated": "true", "ss_steps": "0", "ss_max_train_steps": "1"}
        write_weights(path, shapes, metadata, seed=path.name)
    else:
        write_weights(path, {"simulated.weight": (16, 16)}, {"format": "pt"}, seed=path.name)


def _make_picture(path: Path) -> None:
    if path.exists():
        return
    image = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), (96, 128, 160)).save(image, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image.getvalue())
