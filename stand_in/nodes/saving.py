"""The nodes that write pictures to the disk."""

# ruff: noqa: D102  (the one method of a node does what its class says)

import io
import json
import random
import string
from typing import Any, ClassVar, Final

from PIL.PngImagePlugin import PngInfo

from stand_in.catalogue import NodeType
from stand_in.nodes.node import Kit, Node, Ui, Values
from stand_in.values import Pictures

SIMULATED_CHUNK: Final = "simulated"
"""PNG text chunk that marks a picture of the stand-in."""


class SaveImage(Node):
    """Writes pictures as PNG files, with the workflow in them."""

    kind: ClassVar[str] = "output"
    compress_level: ClassVar[int] = 4
    ending: ClassVar[str] = "_"
    """What stands between a picture's number and the file's extension."""

    def __call__(
        self,
        *,
        images: Pictures,
        filename_prefix: str = "ComfyUI",
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> tuple[Values, Ui]:
        place = self.kit.folders.place(filename_prefix, self.kind, images.images[0].size)
        chunks = PngInfo()
        if prompt is not None:
            chunks.add_text("prompt", json.dumps(prompt))
        for key, value in (extra_pnginfo or {}).items():
            chunks.add_text(key, json.dumps(value))
        chunks.add_text(SIMULATED_CHUNK, "drawn by an embedded stand-in, not by a diffusion model")
        shown = []
        for index, image in enumerate(images.images):
            stem = place.stem.replace("%batch_num%", str(index))
            name = f"{stem}_{place.counter + index:05}{self.ending}.png"
            png = io.BytesIO()
            image.save(png, format="png", pnginfo=chunks, compress_level=self.compress_level)
            (place.folder / name).write_bytes(self.kit.faults.saved(png.getvalue()))
            shown.append({"filename": name, "subfolder": place.subfolder, "type": self.kind})
        return (images,), {"images": shown}


class PreviewImage(SaveImage):
    """Writes pictures into the temp folder, under a name of this node's own."""

    kind: ClassVar[str] = "temp"
    compress_level: ClassVar[int] = 1

    def __init__(self, kit: Kit, declared: NodeType) -> None:
        super().__init__(kit, declared)
        letters = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311 (no secret)
        self._prefix = f"ComfyUI_temp_{letters}"

    def __call__(
        self,
        *,
        images: Pictures,
        filename_prefix: str = "",
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> tuple[Values, Ui]:
        return super().__call__(
            images=images,
            filename_prefix=filename_prefix or self._prefix,
            prompt=prompt,
            extra_pnginfo=extra_pnginfo,
        )


class SaveImageAdvanced(SaveImage):
    """Writes PNG files; other formats are more than a stand-in needs."""

    ending: ClassVar[str] = ""

    def __call__(self, *args: Any, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401
        if inputs.pop("format") != "png":
            raise NotImplementedError("the stand-in saves PNG alone")
        kept = {name: value for name, value in inputs.items() if not name.startswith("format.")}
        return super().__call__(*args, **kept)


class SaveImageWebsocket(Node):
    """Sends pictures instead of saving them; here only the progress of it."""

    def __call__(self, *, images: Pictures) -> tuple[Values, Ui]:
        for index in range(len(images.images)):
            self.kit.step(index, len(images.images))
        return (), {}


class PreviewAny(Node):
    """Shows a value as text."""

    def __call__(self, *, source: object = None) -> tuple[Values, Ui]:
        text = str(source)
        return (text,), {"text": [text]}
