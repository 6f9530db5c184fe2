"""What is in production by the records: the state that a verification reports, and what several claims fail for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from plugins.deploy.gate import tested_cells
from plugins.deploy.selection import select
from plugins.deploy.serving import unproven_servers
from plugins.deploy.verified import Verified
from plugins.evidence.deployments import (
    RECORD,
    ROLLBACK,
    Deployment,
    RecordError,
    Rollback,
    Serving,
    read_record,
    rollback_of,
)
from plugins.evidence.store import EvidenceError, Store
from plugins.plan.messages import minute_of
from plugins.plan.plan import Plan

NOTHING_THERE: Final = "no production LoRA is there"
"""A cause that keeps several claims from being checked."""


def on_record(plan: Plan, reports: Path, *, simulated: bool) -> Deployment:
    """Return the last deployment of this plan from these reports. Raises `RecordError`."""
    found = read_record(reports / RECORD)
    if found.plan_name != plan.name or found.simulated != simulated:
        what = "a --demo run" if found.simulated else f"the plan {found.plan_name!r}"
        raise RecordError(f"The deployment on record in {reports} is of {what}.")
    return found


def standing_of(plan: Plan, reports: Path, typed: str | None, *, simulated: bool) -> Deployment | Rollback:
    """Return what should be in production: the last deployment, or the rollback that took it back.

    Raises `UserError` where nothing is on record, or another checkpoint than was `typed`.
    """
    found = on_record(plan, reports, simulated=simulated)
    rollback = rollback_of(found, reports / ROLLBACK)
    selected = select(plan, typed).id if typed else found.selected
    if selected != found.selected:
        raise RecordError(f"{found.selected} is on record as deployed, not {selected}.")
    if rollback and typed:
        raise RecordError(none_selected(rollback))
    return rollback or found


def none_selected(rollback: Rollback) -> str:
    """Say that no checkpoint counts as selected after a rollback, and how to select one."""
    step = (rollback.checkpoint or "STEP").removeprefix("step")
    return f"{rollback} Deploy a checkpoint: pytest -m deploy --selected-step={step}"


def rendered_again(plan: Plan, deployment: Deployment, store: Store) -> str:
    """Say that pictures were rendered again since a deployment, for which evaluation copies are there; else empty."""
    count, cells = 0, tested_cells(plan)
    for cell in cells:
        judged = deployment.judged.get(cell.id)
        try:
            evidence = store.read(cell)
        except EvidenceError:
            continue
        count += bool(judged and evidence and evidence.run.prompt_id != judged.prompt_id)
    if not count:
        return ""
    return (
        f"{count} of {len(cells)} pictures were rendered again since {deployment.selected} was deployed on "
        f"{minute_of(deployment.deployed)}, and the evaluation copies in {plan.paths.loras} are there for that. "
        f"When you have judged them, deploy one: {plan.sampling.how_to_deploy}. That removes the copies."
    )


def headline(
    plan: Plan, standing: Deployment | Rollback | None, verified: Sequence[Verified], *, now: Sequence[Serving] = ()
) -> str:
    """Return what is live, how many claims were not checked, and which servers are others `now`.

    Nothing where a claim failed.
    """
    if standing is None or not verified:
        return ""
    if any(one.outcome == "failed" for one in verified):
        return ""
    if isinstance(standing, Rollback):
        return (
            f"Production holds {standing.name}, as before {standing.taken_out} was deployed: it was put back on "
            f"{minute_of(standing.rolled_back)}, and proven. No checkpoint is selected until you deploy one."
        )
    unchecked = [one for one in verified if one.outcome != "passed"]
    live = f"{standing.selected} of {plan.production.lora_name} is in production since {minute_of(standing.deployed)}"
    others = "".join(f"\n{line}" for line in unproven_servers(standing, now))
    if unchecked:
        return f"{live}, according to the record; {len(unchecked)} of {len(verified)} claims were not checked.{others}"
    return f"{live}, {_proven(standing)}.{others}"


def properties(standing: Deployment | Rollback | None) -> list[tuple[str, object]]:
    """Return what is in production by the record, by name; nothing where that is not known."""
    match standing:
        case Deployment():
            return [
                ("selected", standing.selected),
                ("deployed", standing.deployed.isoformat()),
                ("sha256", standing.sha256),
            ]
        case Rollback():
            return [("rolled_back_to", standing.name), ("sha256", standing.sha256)]
        case None:
            return []


def _proven(deployment: Deployment) -> str:
    rows = {one.row for one in deployment.proof}
    same = all(one.identical for one in deployment.proof)
    versions = {one.server.url: f"ComfyUI {one.server.comfyui_version}" for one in deployment.serving}
    urls = dict.fromkeys(one.server for one in deployment.proof)
    servers = " and ".join(f"{url} ({versions[url]})" if url in versions else url for url in urls)
    judged_on = list(dict.fromkeys(one.partition(" (")[0] for one in deployment.made_on))
    elsewhere = f" on {' and '.join(judged_on)}" if versions and {*versions.values()} != {*judged_on} else ""
    rendered = "the only row renders" if len(rows) == 1 else f"all {len(rows)} rows render"
    how = "pixel for pixel" if same else "by nearness, since the server does not repeat its own pixels"
    return f"proven on {servers}: {rendered} what was judged{elsewhere}, {how}"
