"""The nodes that write pictures to the disk."""

# ruff: noqa: D102  (the one method of a node does what its class says)

import io
import json
import random
import string
from typing import Any, ClassVar, Final

from PIL.PngImagePlugin import PngInfo

from stand_in.node import Kit, Node, Ui, Values
from stand_in.values import Pictures

SIMULATED_CHUNK: Final = "simulated"
"""PNG text chunk that marks a picture of the stand-in."""


class SaveImage(Node):
    """Writes pictures as PNG files, with the workflow in them."""

    kind: ClassVar[str] = "output"
    compress_level: ClassVar[int] = 4

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
            name = f"{stem}_{place.counter + index:05}_.png"
            png = io.BytesIO()
            image.save(png, format="png", pnginfo=chunks, compress_level=self.compress_level)
            (place.folder / name).write_bytes(self.kit.faults.saved(png.getvalue()))
            shown.append({"filename": name, "subfolder": place.subfolder, "type": self.kind})
        return (), {"images": shown}


class PreviewImage(SaveImage):
    """Writes pictures into the temp folder, under a name of this node's own."""

    kind: ClassVar[str] = "temp"
    compress_level: ClassVar[int] = 1

    def __init__(self, kit: Kit) -> None:
        super().__init__(kit)
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
