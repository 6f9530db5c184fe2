"""The plan's claims about production, each checked by one function.

Every function returns what contradicts the claim, in lines for a person to act on; none means that it holds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from plugins.comfyui.names import is_listed
from plugins.deploy.gate import tested_cells
from plugins.evidence.deployments import BallotRecord, Deployment, Rollback
from plugins.evidence.store import EvidenceError, Store
from plugins.generate.expected import ExpectedInputs
from plugins.loras import journal
from plugins.loras.copies import evaluation_copies
from plugins.loras.copying import digest_of
from plugins.loras.errors import DeploymentError, HeaderError
from plugins.loras.forbidden import files_below, forbidden_among
from plugins.loras.header import read_header
from plugins.pictures.picture import PictureError, read_picture
from plugins.plan.cells import cells_at, named
from plugins.plan.messages import minute_of
from plugins.plan.plan import Plan

RENDERED_AGAIN: Final = "its picture is not the one that was judged; it was rendered again since"
_LARGEST: Final = 16384 * 16384
"""Pixels of the largest picture that a plan can ask for."""
_SMALL: Final = 100_000
"""Bytes; a smaller size is shown in kB, since 0.0 MB says nothing."""


def production_is_present(plan: Plan) -> list[str]:
    """Look for the production LoRA, and whether it is a complete safetensors file."""
    path = plan.production_file
    if not path.is_file():
        return [is_missing(plan)]
    try:
        read_header(path)
    except HeaderError as error:
        return [str(error)]
    return []


def is_missing(plan: Plan) -> str:
    """Return that there is no production LoRA, and what to do."""
    return f"{plan.production_file} is not there. Deploy a checkpoint: {plan.sampling.how_to_deploy}."


def production_has_its_size(plan: Plan) -> list[str]:
    """Compare the production file's size with the plan's."""
    path = plan.production_file
    if not path.is_file():
        return [is_missing(plan)]
    size = path.stat().st_size
    if plan.production.min_size <= size <= plan.production.max_size:
        return []
    low, high = _shown(plan.production.min_size), _shown(plan.production.max_size)
    return [f"{path} has {_shown(size)} ({size} bytes), and the plan allows {low} to {high}. Is it the right file?"]


def no_evaluation_copies_remain(plan: Plan) -> list[str]:
    """Look for step-labelled copies in the loras folder."""
    return [
        f"{path} is an evaluation copy that is still there. Deploying removes it; if its bytes are none of the "
        "checkpoints', look at it and remove it yourself."
        for path in evaluation_copies(plan)
    ]


def picker_lists_production(plan: Plan, listed: Sequence[str], *, server: str) -> list[str]:
    """Look for the production LoRA in the picker, and for evaluation copies that should be gone from it.

    Copies in the plan's own folder are another claim's: the picker goes by the folder.
    """
    names = [name.replace("\\", "/") for name in listed]
    problems = []
    if not is_listed(plan.picker_name(plan.production.file), listed, folder=plan.paths.loras):
        shown = ", ".join(names[:8]) or "nothing"
        problems.append(
            f"The picker of {server} does not offer {plan.production.lora_name}; it has {shown}. "
            "Does that server read another folder (--comfyui-dir)?"
        )
    staged = {plan.staged_file(checkpoint) for checkpoint in plan.checkpoints}
    on_disk = {path.name for path in evaluation_copies(plan)}
    problems += [
        f"The picker of {server} still offers the evaluation copy {name}; remove it from its models/loras."
        for name in names
        if name.rpartition("/")[2] in staged - on_disk
    ]
    return problems


def every_checkpoint_was_tested(expected: ExpectedInputs, store: Store, deployment: Deployment) -> list[str]:
    """Look for the evidence that the selection rested on: every checkpoint, on every prompt, as it was judged."""
    plan = expected.plan
    looked_up = {cell: expected.found(store, cell) for cell in tested_cells(plan)}
    problems = [f"{cell}: {reason}" for cell, reason in looked_up.items() if isinstance(reason, str)]
    for cell in looked_up:
        judged = deployment.judged.get(cell.id)
        if judged is None:
            problems.append(f"{cell}: it is not among the pictures that the selection was made from")
            continue
        try:
            evidence = store.read(cell)
        except EvidenceError:
            continue  # named above
        if evidence and evidence.picture.pixels_sha256 != judged.pixels_sha256:
            problems.append(f"{cell}: {RENDERED_AGAIN}")
        elif (
            evidence
            and evidence.run.prompt_id == judged.prompt_id
            and digest_of(store.evidence_path(cell)) != judged.evidence_sha256
        ):
            problems.append(f"{cell}: {store.evidence_path(cell)} was changed after the selection was made")
    return problems


def ballot_is_unchanged(deployment: Deployment) -> list[str]:
    """Compare the ballots, if any, with those that the deployment was made by."""
    return [problem for ballot in deployment.ballots for problem in _changed_ballot(ballot, deployment)]


def _changed_ballot(ballot: BallotRecord, deployment: Deployment) -> list[str]:
    if not ballot.file.is_file():
        return [f"{ballot.file} is gone; {deployment.selected} was deployed by that ballot. Put it back."]
    if digest_of(ballot.file) != ballot.sha256:
        again = "If it is a new judgement, deploy by it: pytest -m deploy --selected-step=STEP"
        return [f"{ballot.file} was changed since {deployment.selected} was deployed by it. {again}"]
    return []


def proof_was_given(expected: ExpectedInputs, store: Store, deployment: Deployment) -> list[str]:
    """Look for the proof that production renders what was judged: every row of the selected checkpoint.

    The pictures of the proof must be there, and unchanged.
    """
    selected = expected.plan.checkpoint(deployment.selected)
    if selected is None:
        return [f"The plan no longer has {deployment.selected}, which was deployed. Put its [[checkpoint]] back."]
    proven = {one.row for one in deployment.proof}
    problems = [
        f"{cell}: no picture of the production LoRA was compared with it when it was deployed"
        for cell in cells_at(expected.plan, selected, deployment.strength)
        if cell.row not in proven
    ]
    problems += [
        f"{one.row}: the record says that production gave the judged picture, and holds other pixels"
        for one in deployment.proof
        if one.identical
        and (judged := deployment.judged.get(f"{deployment.selected}-{named(one.row, deployment.strength)}"))
        if one.pixels_sha256 != judged.pixels_sha256
    ]
    # The record keeps the last server's picture of each row, and so does the folder.
    last = {one.picture: one.pixels_sha256 for one in deployment.proof}
    problems += [_changed(store.reports / picture, pixels) for picture, pixels in last.items()]
    return list(filter(None, problems))


def _changed(path: Path, pixels_sha256: str) -> str:
    """Return how a picture is not the one with these pixels; empty where it is."""
    try:
        found = read_picture(path.read_bytes(), largest=_LARGEST).pixels_sha256
    except OSError:
        return f"{path} is gone; it was rendered from production to prove the deployment"
    except PictureError as error:
        return f"{path} was changed after the deployment: {error}"
    return "" if found == pixels_sha256 else f"{path} was changed after the deployment: its pixels are others"


def production_is_the_selected_checkpoint(plan: Plan, deployment: Deployment) -> list[str]:
    """Compare the bytes in production with those of the checkpoint that was selected."""
    path = plan.production_file
    if not path.is_file():
        return [is_missing(plan)]
    try:
        begun = journal.pending(path)
    except DeploymentError as error:
        return [str(error)]
    if begun:
        again = f"pytest -m deploy --selected-step={deployment.selected}, or --rollback"
        return [f"{path} was put there by a deployment that was stopped before it was proven. Deploy again: {again}"]
    digest = digest_of(path)
    if digest == deployment.sha256:
        return []
    others = [name for name, candidate in deployment.candidates.items() if candidate.sha256 == digest]
    what = f"the bytes of {others[0]}" if others else "bytes of no checkpoint of the plan"
    problem = f"{path} holds {what} (SHA-256 {digest[:12]}), but {deployment.selected} was selected"
    remedy = f"Deploy again: pytest -m deploy --selected-step={deployment.selected}"
    return [f"{problem} ({deployment.sha256[:12]}). {remedy}"]


def production_is_the_former_file(plan: Plan, rollback: Rollback) -> list[str]:
    """Compare the bytes in production with those that a rollback put back."""
    path = plan.production_file
    digest = digest_of(path)
    if digest == rollback.sha256:
        return []
    again = f"Deploy a checkpoint: {plan.sampling.how_to_deploy}"
    put_back = f"{minute_of(rollback.rolled_back)} ({rollback.sha256[:12]})"
    return [f"{path} holds other bytes (SHA-256 {digest[:12]}) than those that were put back on {put_back}. {again}"]


def no_forbidden_lora_on_disk(plan: Plan) -> list[str]:
    """Look for LoRAs that must not exist, in upper or lower case, in any subfolder."""
    try:
        names = forbidden_among(files_below(plan.paths.loras), plan.production.forbidden)
    except OSError as error:
        problem = f"{error.filename} cannot be looked into ({error.strerror}), so what the plan forbids may be there."
        return [f"{problem} Make it readable, and verify again."]
    return [
        f"{plan.paths.loras / name} must not exist: the plan forbids {_words(plan)}. Move it elsewhere."
        for name in names
    ]


def no_forbidden_lora_in_picker(plan: Plan, listed: Sequence[str], *, server: str) -> list[str]:
    """Look for forbidden LoRAs that a server finds elsewhere, through its extra_model_paths.yaml."""
    return [
        f"The picker of {server} offers {name}, and the plan forbids {_words(plan)}. Move the file elsewhere."
        for name in forbidden_among(listed, plan.production.forbidden)
    ]


def _words(plan: Plan) -> str:
    return " and ".join(plan.production.forbidden)


def _shown(size: int) -> str:
    return f"{size / 1e3:.1f} kB" if 0 < size < _SMALL else f"{size / 1e6:.1f} MB"
