"""The state of one `pytest -m generate`, from its first check to its last line."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from PIL import Image

from plugins.comfyui.server import Server
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.disk import check_room
from plugins.generate.expected import ExpectedInputs
from plugins.generate.folders import lock_folders
from plugins.generate.generation import Generation
from plugins.generate.preparing import Prepared, prepare, prepare_on_cluster
from plugins.loras.doubts import said_of_strengths
from plugins.loras.staging import Action, preflight, staged_line
from plugins.plan.cells import Cell
from plugins.plan.command import Command
from plugins.plan.messages import counted
from plugins.plan.tested import Checkpoint

if TYPE_CHECKING:
    from plugins.render.cluster import Cluster


class GenerateSession:
    """Everything is checked and staged when it is made; the rendering starts when the first test asks for a picture.

    `cluster` connects to the cluster that was asked for; None where the servers render. Raises `LoraError`,
    `FolderError` or `ComfyUIError`; `locks` keeps the folders from other runs until it is closed, also then.
    """

    def __init__(
        self,
        command: Command,
        *,
        locks: ExitStack,
        servers: Callable[[], tuple[Server, ...]],
        cluster: "Callable[[], Cluster] | None",
    ) -> None:
        plan, store = command.plan, Store(command.reports)
        headers = preflight(plan)
        # a cluster's workers lock their own loras folders while they write
        locks.enter_context(lock_folders(plan, command.reports, loras=cluster is None))
        self._plan = plan
        self._prepared: Prepared = (
            prepare_on_cluster(plan, cluster(), store, headers=headers)
            if cluster
            else prepare(plan, servers(), store, headers=headers)
        )
        self._generation: Generation | None = None

    @property
    def expected(self) -> ExpectedInputs:
        """The inputs that the evidence of this run must have."""
        return self._prepared.expected

    @property
    def failures(self) -> Mapping[Cell, str]:
        """The cells that gave no picture in this run, with the reason."""
        return self._generation.failures if self._generation else {}

    @property
    def known(self) -> Mapping[Cell, Evidence]:
        """The evidence that this run made or compared with the plan: no need to read it again."""
        return self._generation.known if self._generation else {}

    @property
    def doubts(self) -> tuple[str, ...]:
        """Doubts about the checkpoints, one sentence each."""
        return self._prepared.doubts

    def check_room(self, chosen: Collection[Cell]) -> None:
        """Check that there is room for pictures of the selected cells and their baselines. Raises `EvidenceError`."""
        cells = {*chosen, *(cell.baseline for cell in chosen)}
        check_room(self._prepared.store, cells, self.expected.workflow.size(self._plan.sampling))

    def begin(
        self,
        chosen: Sequence[Cell],
        *,
        regenerate: bool,
        row_by_row: bool,
        on_kept: Callable[[Cell, Image.Image], None],
    ) -> Generation:
        """Start to render the chosen cells, ahead of the tests that ask for them."""
        self._generation = Generation(
            self._prepared, chosen, regenerate=regenerate, row_by_row=row_by_row, on_kept=on_kept
        )
        return self._generation

    def header(self) -> Iterable[str]:
        """Yield what will be rendered, where, what staging did, and the doubts about the checkpoints."""
        plan, prepared = self._plan, self._prepared
        where = " and ".join(str(server.info) for server in prepared.servers)
        axes = {"checkpoint": len(plan.checkpoints), "prompt": len(plan.prompts)}
        axes |= {"strength": len(plan.sampling.strengths)} if plan.sampling.compares_strengths else {}
        cells = " x ".join(counted(number, what) for what, number in axes.items())
        yield f"{plan.title}: {cells} on {where}"
        if prepared.left_out is None:
            copies = tuple(one for one in prepared.staged if one.action is not Action.RIVAL)
            yield staged_line(copies, plan.paths.loras)
            yield from (f"rival {one.label}: {plan.training_file(one)}" for one in plan.rivals)
        else:
            yield from (f"left out: {reason}" for reason in prepared.left_out.values())
        yield from prepared.expected.workflow.lines()
        headers = {one.checkpoint: one.header for one in prepared.staged if isinstance(one.checkpoint, Checkpoint)}
        yield from said_of_strengths(plan, headers)
        yield from (f"warning: {doubt}" for doubt in prepared.doubts)

    def last_lines(self) -> Iterable[str]:
        """Yield what the terminal shows in the end; nothing where no test asked for a picture."""
        return self._generation.last_lines() if self._generation else ()
