"""What clients look at: pictures, pickers, node types, metadata, the machine."""

import io
import mimetypes
import os
import platform
import sys
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from PIL import Image

from stand_in.catalogue import Catalogue
from stand_in.faults import Faults
from stand_in.folders import Folders
from stand_in.versions import Version
from stand_in.weights import read_header

_GIB: Final = 1 << 30
_UNKNOWN: Final = "application/octet-stream"
_PAGES: Final = {"text/html", "text/html-sandboxed", "application/xhtml+xml", "text/javascript", "text/css"}
"""Kinds that a browser would run, and that are therefore given out as unknown."""
_HEADER_LIMIT: Final = 1 << 20
"""Headers longer than this are not shown by /view_metadata."""
_WELCOME: Final = """<!doctype html><title>Stand-in</title>
<p>This is a <b>simulated</b> ComfyUI. It draws cartoons; no diffusion model runs here.</p>
"""


class Views:
    """Handlers that only read (and one that takes an upload)."""

    def __init__(
        self, folders: Folders, catalogue: Catalogue, faults: Faults, *, device: str, dialect: Version
    ) -> None:
        self._folders = folders
        self._catalogue = catalogue
        self._faults = faults
        self._device = device
        self._dialect = dialect

    def add_to(self, app: web.Application, prefix: str) -> None:
        """Add the handlers below `prefix`."""
        router = app.router
        router.add_get(f"{prefix}/", self.get_root)
        router.add_get(f"{prefix}/view", self.get_view)
        router.add_get(f"{prefix}/object_info", self.get_object_info)
        router.add_get(f"{prefix}/object_info/{{name}}", self.get_object_info_of)
        router.add_get(f"{prefix}/models", self.get_models)
        router.add_get(f"{prefix}/models/{{folder}}", self.get_models_in)
        router.add_get(f"{prefix}/embeddings", self.get_embeddings)
        router.add_get(f"{prefix}/experiment/models/{{folder}}", self.get_files_in)
        router.add_get(f"{prefix}/view_metadata/{{folder}}", self.get_metadata)
        router.add_get(f"{prefix}/system_stats", self.get_system_stats)
        router.add_get(f"{prefix}/features", self.get_features)
        router.add_post(f"{prefix}/upload/image", self.post_upload)

    async def get_root(self, _request: web.Request) -> web.Response:
        """Say what answers here, to whoever opens the address in a browser."""
        return web.Response(text=_WELCOME, content_type="text/html")

    async def get_view(self, request: web.Request) -> web.StreamResponse:
        """Return a picture: 404 absent, 400 bad name, 403 outside."""
        name, kind = _annotated(request.query.get("filename"), request.query.get("type", "output"))
        if name is None:
            return web.Response(status=404)
        folder = self._folders.of_type(kind)
        if not name or name.startswith("/") or ".." in name or folder is None:
            return web.Response(status=400)
        inside = _inside(folder, request.query.get("subfolder", ""))
        if inside is None:
            return web.Response(status=403)
        path = inside / Path(name).name
        if not path.is_file():
            return web.Response(status=404)
        body, content_type = _rendition(path, request.query)
        shown = self._faults.picture(body)
        headers = {"Content-Disposition": f'filename="{path.name}"', "Content-Type": content_type}
        if _is_whole(request.query) and shown == body:
            return web.FileResponse(path, headers=headers)  # also in part, or not at all when it did not change
        return web.Response(body=shown, headers=headers)

    async def get_object_info(self, _request: web.Request) -> web.Response:
        """Describe every node type that the stand-in knows."""
        return web.json_response({name: self._catalogue.info(name) for name in self._catalogue})

    async def get_object_info_of(self, request: web.Request) -> web.Response:
        """Describe one node type; `{}` for an unknown one."""
        name = request.match_info["name"]
        return web.json_response({name: self._catalogue.info(name)} if name in self._catalogue else {})

    async def get_models(self, _request: web.Request) -> web.Response:
        """Name the model folders."""
        return web.json_response(list(self._folders.kinds))

    async def get_models_in(self, request: web.Request) -> web.Response:
        """List one model folder; 404 for an unknown one."""
        folder = request.match_info["folder"]
        if folder not in self._folders.kinds:
            return web.Response(status=404)
        return web.json_response(self._folders.names(folder))

    async def get_files_in(self, request: web.Request) -> web.Response:
        """List one model folder with the files' sizes and times; 404 for an unknown one."""
        folder = request.match_info["folder"]
        if folder not in self._folders.kinds:
            return web.Response(status=404)
        return web.json_response(self._folders.files(folder))

    async def get_embeddings(self, _request: web.Request) -> web.Response:
        """List the embeddings, without their file endings."""
        return web.json_response([os.path.splitext(name)[0] for name in self._folders.names("embeddings")])  # noqa: PTH122

    async def get_metadata(self, request: web.Request) -> web.Response:
        """Return the metadata of a safetensors file; 404 where there is none."""
        name = request.query.get("filename", "")
        path = self._folders.find(request.match_info["folder"], name)
        if not name.endswith(".safetensors") or path is None:
            return web.Response(status=404)
        try:
            metadata = read_header(path, limit=_HEADER_LIMIT).get("__metadata__")
        except ValueError:
            metadata = None
        return web.Response(status=404) if metadata is None else web.json_response(metadata)

    async def get_system_stats(self, _request: web.Request) -> web.Response:
        """Describe the machine, and say that it is simulated."""
        memory = {"vram_total": 24 * _GIB, "vram_free": 20 * _GIB}
        device: dict[str, Any] = {"name": self._device, "type": "cpu", "index": None, **memory}
        device |= {f"torch_{key}": value for key, value in memory.items()}
        described = self._dialect.describes_packages
        system = {
            "os": sys.platform if described else os.name,
            "ram_total": 32 * _GIB,
            "ram_free": 24 * _GIB,
            "comfyui_version": self._dialect.version,
            "required_frontend_version": "0",
            "installed_templates_version": "0",
            "required_templates_version": "0",
            "python_version": f"{platform.python_version()} (simulated)",
            "pytorch_version": "none (simulated)",
            "embedded_python": False,
            "argv": [Path(sys.argv[0]).name],
            "simulated": True,
        }
        if described:
            packages = ("comfyui-frontend-package", "comfyui-workflow-templates", "comfyui-embedded-docs")
            system["comfy_package_versions"] = [{"name": name, "installed": "0", "required": "0"} for name in packages]
            system["deploy_environment"] = "local-git"
        return web.json_response({"system": system, "devices": [device]})

    async def get_features(self, _request: web.Request) -> web.Response:
        """Name what the server can do."""
        return web.json_response(self._dialect.features)

    async def post_upload(self, request: web.Request) -> web.Response:
        """Take a picture into the input folder; a name that is taken gets a number, unless overwritten.

        A folder of an unknown kind is an internal error, as in ComfyUI.
        """
        form = await request.post()
        image, subfolder, kind = form.get("image"), str(form.get("subfolder", "")), str(form.get("type", "input"))
        folder = self._folders.of_type(kind)
        if folder is None:
            raise ValueError(f"no folder for uploads of type {kind}")
        if not isinstance(image, web.FileField) or not image.filename:
            return web.Response(status=400)
        target = _inside(folder, subfolder, image.filename)
        if target is None:
            return web.Response(status=400)
        content = image.file.read()
        target.parent.mkdir(parents=True, exist_ok=True)
        if form.get("overwrite") not in {"true", "1"}:
            target = _free(target, content)
        target.write_bytes(content)
        return web.json_response({"name": target.name, "subfolder": subfolder, "type": kind})


def _inside(folder: Path, *parts: str) -> Path | None:
    """Join paths, unless the result leaves the folder. Links are not followed, as ComfyUI does not."""
    path = Path(os.path.abspath(os.path.join(folder, *parts)))  # noqa: PTH100, PTH118
    return path if path.is_relative_to(folder) else None


def _annotated(name: str | None, kind: str) -> tuple[str | None, str]:
    """Take a name like `a.png [temp]` apart: the note in brackets wins over the type.

    The note takes whatever character stands before it along, as in ComfyUI.
    """
    for other in ("output", "input", "temp"):
        if name is not None and name.endswith(f"[{other}]"):
            return name[: -len(f" [{other}]")], other
    return name, kind


def _is_whole(query: Any) -> bool:  # noqa: ANN401 (a MultiDict of strings)
    """Return whether a picture is asked for as it is, and not as a preview or a channel."""
    return "preview" not in query and query.get("channel", "rgba") not in {"rgb", "a"}


def _rendition(path: Path, query: Any) -> tuple[bytes, str]:  # noqa: ANN401 (a MultiDict of strings)
    """Return a file as it is, or as the `preview` or `channel` that was asked for. Raises `OSError` for no picture."""
    if _is_whole(query):
        kind = mimetypes.guess_type(path.name)[0]
        return path.read_bytes(), _UNKNOWN if kind is None or kind in _PAGES else kind
    preview, channel = query.get("preview"), query.get("channel", "")
    output = io.BytesIO()
    with Image.open(path) as image:
        if preview is not None:
            form, *rest = preview.split(";")
            form = form if form in {"webp", "jpeg"} and "a" not in channel else "webp"
            quality = int(rest[-1]) if rest and rest[-1].isdigit() else 90
            plain = form == "jpeg" or channel == "rgb"
            (image.convert("RGB") if plain else image).save(output, format=form, quality=quality)
            return output.getvalue(), f"image/{form}"
        if channel == "rgb":
            image.convert("RGB").save(output, format="png")
        else:
            alpha = Image.new("RGBA", image.size)
            alpha.putalpha(image.convert("RGBA").getchannel("A"))
            alpha.save(output, format="png")
    return output.getvalue(), "image/png"


def _free(path: Path, content: bytes) -> Path:
    """Find a name for an upload: its own, that of an equal file, or one with a number."""
    candidate, number = path, 0
    while candidate.exists() and candidate.read_bytes() != content:
        number += 1
        candidate = path.with_name(f"{path.stem} ({number}){path.suffix}")
    return candidate
