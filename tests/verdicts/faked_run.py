"""What people do, in this process: generate, look at what alarms, deploy. And a stand-in that lies in one way."""

import contextlib
import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.server import Server as Client
from plugins.comfyui.timing import Timing
from plugins.deploy.deployment import Selected, deploy
from plugins.deploy.gate import check_files, pass_gate
from plugins.deploy.proof import Prover
from plugins.evidence.deployments import RECORD, Deployment
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.cell_renderer import CellFailedError
from plugins.generate.generation import Generation
from plugins.generate.preparing import prepare
from plugins.generate.stability import StabilityCheck, read_stability
from plugins.loras.copying import digest_of
from plugins.loras.staging import preflight
from plugins.pictures.picture import read_picture
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from stand_in.server import Server
from stand_in.serving import Serving
from stand_in.weights import read_header, write_weights
from tests.plugins.evidence.made_evidence import expected_inputs_of
from tests.small_plan import Posing

Reply = Callable[[web.Request, Server], web.StreamResponse | None]
"""What is answered in place of the server; None lets the server answer."""


class FakingServer(Posing):
    """A stand-in that passes for a real server and lies in one way: `FakingServer(saved=...)` replaces that hook."""

    server: Server

    def __init__(self, *, reply: Reply | None = None, **hooks: Callable[..., Any]) -> None:
        self._reply = reply
        for name, hook in hooks.items():
            setattr(self, name, hook)

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Return the lie, where there is one for this request."""
        lie = self._reply(request, self.server) if self._reply else None
        return lie if lie is not None else await super().answer(request)


class Keeping(FakingServer):
    """Keeps every LoRA that it loaded, by path, until /free is applied, whatever ran in between (`--cache-lru`)."""

    def __init__(self, folder: Path, *, free_now: bool = True, forgets: bool = True, **hooks: Any) -> None:
        super().__init__(free_now=lambda: free_now, **hooks)
        folder.mkdir()
        self._folder = folder
        self._forgets = forgets

    def lora_of(self, path: Path) -> Path:
        """Return the bytes that lay there when it was loaded first."""
        self.server.executor.free = self.forget  # type: ignore[method-assign]
        kept = self._folder / path.name
        if not kept.exists():
            shutil.copyfile(path, kept)
        return kept

    def forget(self) -> None:
        """Do what /free asks for, or not."""
        if self._forgets:
            shutil.rmtree(self._folder)
            self._folder.mkdir()
            type(self.server.executor).free(self.server.executor)


def about(cell: str, lie: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Make a lie about one cell's picture; every other is given as it is."""

    def picture(png: bytes) -> bytes:
        return lie(png) if cell_of(png) == cell else png

    return picture


def graph_of(png: bytes) -> dict[str, Any]:
    """Return the workflow that is written in a picture."""
    with Image.open(BytesIO(png)) as image:
        graph: dict[str, Any] = json.loads(image.info["prompt"])
    return graph


def cell_of(png: bytes) -> str:
    """Return the id of the cell that a picture was rendered for."""
    prefixes = (node["inputs"].get("filename_prefix") for node in graph_of(png).values())
    return next(filter(None, prefixes), "").partition("/")[2].rpartition("-")[0]


def repainted(png: bytes, image: Image.Image, graph: Mapping[str, Any] | None = None) -> bytes:
    """Return other pixels with the same workflow written in them, or with another workflow."""
    chunks = PngInfo()
    chunks.add_text("prompt", json.dumps(graph or graph_of(png)))
    buffer = BytesIO()
    image.save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def bared(png: bytes) -> bytes:
    """Return a picture as a server does that writes no metadata (`--disable-metadata`)."""
    buffer = BytesIO()
    with Image.open(BytesIO(png)) as image:
        image.save(buffer, "PNG", pnginfo=PngInfo())
    return buffer.getvalue()


def trembling(png: bytes) -> bytes:
    """Return a picture as a server does that is not bit-stable: every value is off by one at random, or not."""
    with Image.open(BytesIO(png)) as image:
        values = np.asarray(image.convert("RGB"), dtype=np.int16)
    values = values + np.random.default_rng().integers(-1, 2, values.shape)
    return repainted(png, Image.fromarray(values.clip(0, 255).astype(np.uint8)))


def moved(png: bytes) -> bytes:
    """Return a picture as another version of ComfyUI makes it: every second value is another by one."""
    with Image.open(BytesIO(png)) as image:
        values = np.asarray(image.convert("RGB"), dtype=np.int16).copy()
    values[::2] += np.where(values[::2] > 127, -1, 1)
    return repainted(png, Image.fromarray(values.astype(np.uint8)))


def rewrite(path: Path, shapes: dict[str, tuple[int, ...]] | None = None, **metadata: str) -> None:
    """Write a training file anew: other tensors, or other notes in its header."""
    header = read_header(path)
    notes = header.pop("__metadata__") | metadata
    kept = {name: tuple(entry["shape"]) for name, entry in header.items()}
    write_weights(path, shapes or kept, notes, seed="rewritten")


def without_training_images(plan: Plan) -> Plan:
    """Return a plan that compares with no training images."""
    return plan.model_copy(update={"paths": plan.paths.model_copy(update={"training_images": None})})


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a generating run gave, by cell id."""

    evidence: Mapping[str, Evidence]
    lost: Mapping[str, str]
    """Why a cell has no picture."""
    stability: tuple[StabilityCheck, ...]
    rendered: int
    reused: int

    @property
    def alarms(self) -> dict[str, str]:
        """Name the cells that a person is alarmed about, and what is said of each."""
        said = {cell: [*one.failures, *one.warnings] for cell, one in self.evidence.items()}
        return {cell: "\n".join(map(str, checks)) for cell, checks in said.items() if checks} | {**self.lost}


@dataclass(frozen=True, kw_only=True)
class FakedRun:
    """A plan, a reports folder and a stand-in that may lie."""

    plan: Plan
    reports: Path
    serving: Serving
    timing: Timing

    @property
    def store(self) -> Store:
        """The pictures of the reports folder."""
        return Store(self.reports)

    @property
    def production(self) -> Path:
        """Where the production LoRA goes."""
        return self.plan.paths.loras / self.plan.production.file

    @property
    def url(self) -> str:
        """The stand-in's address."""
        return self.serving.url

    def connect(self, *, timeout: float = 20.0) -> Client:
        """Connect as a run does: a new one remembers nothing of this server."""
        client = ComfyUI(self.url, timing=self.timing)
        return Client(client, client.info(), timeout=timeout)

    def generate(
        self, chosen: Sequence[Cell] = (), *, plan: Plan | None = None, regenerate: bool = False, timeout: float = 20.0
    ) -> Seen:
        """Generate the whole matrix, or the chosen cells, as `pytest -m generate` does."""
        cells = tuple(chosen) or matrix(plan or self.plan)
        server = self.connect(timeout=timeout)
        try:
            prepared = prepare(plan or self.plan, (server,), self.store, headers=preflight(plan or self.plan))
            run = Generation(prepared, cells, regenerate=regenerate)
            for cell in cells:
                with contextlib.suppress(CellFailedError):
                    run.evidence_of(cell, show=_ignore)
            run.close()
        finally:
            server.close()
        evidence = {cell.id: found for cell in cells if cell not in run.failures and (found := self.store.read(cell))}
        lost = {cell.id: reason for cell, reason in run.failures.items()}
        return Seen(
            evidence=evidence,
            lost=lost,
            stability=read_stability(self.reports),
            rendered=run.rendered,
            reused=run.reused,
        )

    def deploy(self, step: str = "step600") -> Deployment:
        """Deploy a checkpoint as `pytest -m deploy` does: gate, production, proof, clean-up."""
        checkpoint = next(one for one in self.plan.checkpoints if one.id == step)
        expected = expected_inputs_of(self.plan)
        evidence = pass_gate(expected, self.store, checkpoint)
        selected = Selected(
            expected=expected, store=self.store, checkpoint=checkpoint, evidence=evidence, observed="", ballot=None
        )
        server = self.connect()
        prover = Prover(
            expected=expected,
            evidence=evidence,
            store=self.store,
            servers=(server,),
            stability=read_stability(self.reports),
        )
        try:
            check_files(expected, evidence, (server,))
            return deploy(
                selected,
                record=self.reports / RECORD,
                prove=lambda: prover.prove(checkpoint, meanwhile=_ignore),
                forget=prover.forget,
            )
        finally:
            server.close()

    def render_production(self) -> str:
        """Render the production LoRA as another person does, who makes nobody forget anything; give its pixels."""
        expected, cell = expected_inputs_of(self.plan), matrix(self.plan)[2]
        server = self.connect()
        filled = expected.filled(
            cell,
            base_model="AnythingXL_inkBase.safetensors",
            lora_file=self.plan.production.file,
            tag=uuid.uuid4().hex,
        )
        try:
            return read_picture(server.render(filled, lambda _: None).png, largest=10**6).pixels_sha256
        finally:
            server.close()

    def filled(self, message: str) -> str:
        """Fill in what a message says of this run: `{url}`, `{loras}`, `{checkpoints}`, digests by checkpoint."""
        digests = {one.id: digest_of(self.plan.training_file(one))[:12] for one in self.plan.checkpoints}
        paths = self.plan.paths
        return message.format(url=self.url, loras=paths.loras, checkpoints=paths.checkpoints, **digests)


def cells_of(plan: Plan, *ids: str) -> list[Cell]:
    """Return the cells with these ids."""
    return [cell for cell in matrix(plan) if cell.id in ids]


def _ignore(_: str) -> None:
    """Take no notice of progress."""
