"""How long a run would take, for `--collect-only`: from the files alone, no server is asked."""

from collections.abc import Sequence

from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.cost import Cost, pace_of
from plugins.generate.expected import ExpectedInputs
from plugins.generate.workflows import workflow_of
from plugins.loras.always_on import digests_of_always_on
from plugins.loras.digests import DIGESTS, Digests
from plugins.plan.cells import Cell
from plugins.plan.command import Command
from plugins.plan.messages import UserError, counted, without_credentials


def cost_line(command: Command, chosen: Sequence[Cell], *, regenerate: bool) -> str:
    """Return how many pictures would be rendered. If the files do not show what is reused, say why."""
    plan, store = command.plan, Store(command.reports)
    cells = list(dict.fromkeys(cell for one in chosen for cell in (one.baseline, one)))
    digest = Digests(command.reports / DIGESTS).of
    try:
        expected = ExpectedInputs(
            plan=plan,
            workflow=workflow_of(plan, command.reports),
            loras={one.id: digest(plan.training_file(one)) for one in plan.tested},
            always_on=digests_of_always_on(plan, digest=digest),
            simulated=command.demo,
        )
    except (UserError, OSError) as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, FileNotFoundError):
            reason = f"{error.filename} is not there" + (" yet; the demo makes it" if command.demo else "")
        return f"{counted(len(cells), 'picture')}; how many would be reused is not known: {reason}"
    every = (expected.found(store, cell) for cell in cells)
    found = [one for one in every if isinstance(one, Evidence) and not one.failures]
    cost = Cost(
        cells=len(cells),
        reused=0 if regenerate else len(found),
        seconds=pace_of(found, {one.server.url for one in found} if command.demo else _urls(command)),
        servers=len(plan.comfyui.servers),
    )
    return f"{cost} (from the files alone; no server was asked)"


def _urls(command: Command) -> set[str]:
    return {without_credentials(url) for url in command.plan.comfyui.servers}
