"""What one deploying, rolling back or verifying command holds, from the gate to the summary."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from plugins.comfyui.server import Server
from plugins.deploy.deployment import Selected, deploy, recover
from plugins.deploy.gate import accepted_among, check_files, pass_gate
from plugins.deploy.last_words import last_words
from plugins.deploy.options import DeployOptions
from plugins.deploy.page import After, render_deployment, render_rollback
from plugins.deploy.planned import PlannedSummary
from plugins.deploy.proof import Prover
from plugins.deploy.rollback import PreviousProduction, ProductionRollback, find_previous, find_taken_back
from plugins.deploy.selection import (
    SelectionError,
    ballot_lines,
    choice_of,
    chosen_strength,
    find_ballots,
    judged_by,
    no_lines,
    select,
    strength_of,
)
from plugins.deploy.serving import serving_now
from plugins.deploy.standing import headline, on_record, properties, standing_of
from plugins.deploy.summary import Summary, rollback_summary
from plugins.deploy.summary_files import write_summary
from plugins.deploy.verified import Verified
from plugins.evidence.deployments import RECORD, ROLLBACK, BallotRecord, Deployment, Rollback, Serving, rollback_of
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.generate.folders import lock_folders
from plugins.generate.stability import read_stability
from plugins.generate.workflows import workflow_of
from plugins.loras import journal
from plugins.loras.always_on import digests_of_always_on
from plugins.loras.copying import digest_of
from plugins.loras.errors import DeploymentError, LoraError
from plugins.loras.journal import Installation
from plugins.loras.staging import preflight
from plugins.plan.cells import at
from plugins.plan.command import Command
from plugins.plan.stages import DEPLOY
from plugins.review.ballot import Ballot
from plugins.review.gathering import gather
from plugins.review.metrics import bleed_of

Attempt = Deployment | Rollback | LoraError
"""What came of putting a file into production, or why nothing did."""


class DeploySession:
    """Selection, gate, attempt and summary of one command. `servers` reaches the servers, or raises `ComfyUIError`."""

    def __init__(self, command: Command, options: DeployOptions, *, servers: Callable[[], tuple[Server, ...]]) -> None:
        self._command = command
        self._options = options
        self._servers = servers
        self._locks: ExitStack | None = None
        self._ballots: tuple[Ballot, ...] = ()
        self._chosen: tuple[str, ...] = ()
        self._selected: Selected | None = None
        self._previous: PreviousProduction | None = None
        self._done: Deployment | Rollback | None = None
        self._now: tuple[Serving, ...] = ()
        self.recovered = ""
        """What a killed run had done to production and was taken back, in words."""
        self.stands: Deployment | Rollback | None = None
        """What is in production by the record, once a claim asked for it."""
        self.verified: dict[str, Verified] = {}
        """Every claim of this command by its test's id, and how it ended."""

    def check(self) -> None:
        """Refuse stages and options that do not go together. Raises `OptionError`."""
        self._options.check(self._command.stages)

    def open(self) -> None:
        """Open the gate, or say why not; nothing is changed yet but what a killed run left half done.

        Raises `UserError`, or `OSError` where that cannot be taken back.
        """
        if DEPLOY not in self._command.runs:
            return
        taken_back = self._recover()
        if self._options.rollback:
            self._prepare_rollback(taken_back)
        else:
            self._open_gate()

    def close(self) -> None:
        """Let the next run have the folders."""
        if self._locks:
            self._locks.close()

    def header(self) -> Iterator[str]:
        """Yield what was taken back, what is about to be deployed or put back, and where."""
        plan = self._command.plan
        yield from filter(None, [self.recovered])
        if self._selected:
            yield f"{plan.title}: deploying {at(self._selected.checkpoint.id, self._selected.strength)}"
            yield f"{plan.training_file(self._selected.checkpoint)} -> {plan.production_file}"
            yield from self._chosen
        if self._previous:
            yield f"{plan.title}: rolling back {self._previous.taken_out}"
            yield f"{self._previous.file} -> {plan.production_file}"

    def attempt(self, show: Callable[[str], None]) -> Attempt:
        """Deploy the selected checkpoint, or put the previous file back. Returns what came of it."""
        try:
            self._done = self._roll_back(show) if self._options.rollback else self._deploy(show)
        except LoraError as error:
            return error
        return self._done

    def standing(self) -> Deployment | Rollback:
        """Return what should be in production, by the record. Raises `UserError` where nothing is, or another step."""
        self.stands = standing_of(
            self._command.plan, self._command.reports, self._options.selected_step, simulated=self._command.demo
        )
        return self.stands

    def judged(self, deployment: Deployment) -> ExpectedInputs:
        """Return what the evidence must be of: the plan, and the checkpoints' bytes when the selection was made.

        Raises `SelectionError` where the plan has other checkpoints now.
        """
        missing = [one.id for one in self._command.plan.checkpoints if one.id not in deployment.candidates]
        if missing:
            raise SelectionError(f"The plan has checkpoints that were not candidates then: {', '.join(missing)}.")
        return self._expected({name: one.sha256 for name, one in deployment.candidates.items()})

    def serving(self, deployment: Deployment, servers: tuple[Server, ...]) -> tuple[Serving, ...]:
        """Return what the servers are now, and have under the names of the files on record. Raises `ComfyUIError`."""
        self._now = serving_now(deployment, servers, comfyui=self._command.plan.paths.comfyui)
        return self._now

    def page(self) -> str:
        """Return the top of deploy.html; empty where nothing was done."""
        match self._done:
            case Deployment():
                return render_deployment(self._command.plan, self._done, self._command.reports, after=self._after())
            case Rollback():
                return render_rollback(self._command.plan, self._done, self._command.reports, after=self._after())
            case None:
                return ""

    def write_summary(self, say: Callable[[str], None]) -> bool:
        """Write the summary of what was done, in the reports folder and where the plan wants it.

        Returns whether that went well; `say` shows a line for each place.
        """
        text, is_rollback = self._summary(), isinstance(self._done, Rollback)
        return not text or write_summary(
            text, plan=self._command.plan, reports=self._command.reports, is_rollback=is_rollback, say=say
        )

    def last_line(self) -> str:
        """Return what is in production now, and what to type then; empty where a verification found something wrong."""
        if self._done:
            return last_words(self._done, self.verified.values(), self._command, self._command.plan)
        found = tuple(self.verified.values())
        return self._command.completed(headline(self._command.plan, self.stands, found, now=self._now))

    def properties(self, claim: str) -> list[tuple[str, object]]:
        """Return a claim in words, by its test's id, and what is in production by the record, by name."""
        return [("claim", self.verified[claim].claim), *properties(self._done or self.stands)]

    def _after(self) -> After:
        return After(
            verified=tuple(self.verified.values()),
            undo=self._command.next("-m deploy --rollback"),
            another=self._command.next(self._command.plan.sampling.deploying),
            summary=self._summary(),
        )

    def _summary(self) -> str:
        plan, verified = self._command.plan, tuple(self.verified.values())
        match self._done:
            case Deployment():
                evidence = self._selected.evidence if self._selected else {}
                summary = Summary(
                    plan=plan,
                    deployment=self._done,
                    ballots=self._ballots,
                    verified=verified,
                    bleed=bleed_of(plan, self._done.selected, evidence.values(), self._done.strength),
                    workflow=tuple(workflow_of(plan, self._command.reports).lines()) if plan.workflow else (),
                )
                if plan.summary:
                    return PlannedSummary(work=plan.summary, summary=summary, evidence=evidence).markdown()
                return summary.markdown()
            case Rollback():
                return rollback_summary(plan, self._done, verified)
            case None:
                return ""

    def _lock(self) -> None:
        if self._locks is None:
            self._locks = lock_folders(self._command.plan, self._command.reports)

    def _recover(self) -> Installation | None:
        """Take back what a killed run did to production, before anything else; return what it was."""
        plan = self._command.plan
        if journal.pending(plan.production_file) is None:
            return None
        self._lock()
        begun = journal.pending(plan.production_file)
        self.recovered = recover(plan, self._command.reports)
        return begun if self.recovered else None

    def _open_gate(self) -> None:
        """See that the selection may be deployed."""
        plan, reports, typed = self._command.plan, self._command.reports, self._options.selected_step
        ballots = find_ballots(reports, map(self._command.path, self._options.ballots))
        used = ballots[: len(self._options.ballots) or 1]
        chosen = choice_of(ballots, typed) if ballots else None
        none = f"The ballot {ballots[0].file} chooses none." if ballots else f"No ballot*.json is in {reports}."
        checkpoint = select(plan, typed, chosen=chosen, ballot=none)
        strength = strength_of(plan, chosen_strength(used, checkpoint))
        preflight(plan)
        gone = {one for one in plan.rivals if not plan.training_file(one).is_file()}
        files = {one.id: plan.training_file(one) for one in plan.tested if one not in gone}
        expected = self._expected({name: digest_of(file) for name, file in files.items()})
        store = Store(reports)
        evidence = pass_gate(expected, store, checkpoint, strength, accepted=self._options.accepted)
        self._lock()
        records: tuple[BallotRecord, ...] = ()
        if ballots:
            shown = gather(expected, reports, failed={}, command="")
            judged = judged_by(used, checkpoint, plan, shown.entries, simulated=expected.simulated)
            self._ballots, records = (tuple(part) for part in zip(*judged, strict=True))
            self._chosen = (
                *ballot_lines(ballots, typed, judges=len(used)),
                *no_lines(self._ballots, checkpoint, plan, strength),
            )
        serving = check_files(expected, evidence, self._servers())
        self._selected = Selected(
            expected=expected,
            store=store,
            checkpoint=checkpoint,
            strength=strength,
            evidence=evidence,
            observed=self._options.observed,
            accepted=accepted_among(evidence, self._options.accepted),
            ballot=records[0] if records else None,
            other_ballots=records[1:],
            serving=serving,
        )

    def _prepare_rollback(self, taken_back: Installation | None) -> None:
        """Find what is to be put back."""
        plan, reports = self._command.plan, self._command.reports
        if taken_back and not taken_back.rollback:
            previous = find_taken_back(plan, taken_back)
        else:  # a rollback that was stopped is done from its start
            deployment = on_record(plan, reports, simulated=self._command.demo)
            if rollback := rollback_of(deployment, reports / ROLLBACK):
                raise DeploymentError(f"{rollback} There is nothing more to roll back. Nothing was changed.")
            self._lock()
            previous = find_previous(plan, deployment)
        self._servers()
        self._previous = previous

    def _deploy(self, show: Callable[[str], None]) -> Deployment:
        selected, reports = self._selected, self._command.reports
        assert selected is not None, "nothing is deployed that did not pass the gate"  # noqa: S101 (a mistake of ours)
        prover = Prover(
            expected=selected.expected,
            evidence=selected.evidence,
            store=selected.store,
            servers=self._servers(),
            stability=read_stability(reports),
        )
        return deploy(
            selected,
            record=reports / RECORD,
            prove=lambda: prover.prove(selected.checkpoint, selected.strength, meanwhile=show),
            forget=prover.forget,
        )

    def _roll_back(self, show: Callable[[str], None]) -> Rollback:
        assert self._previous is not None, "nothing is put back that was not found"  # noqa: S101 (a mistake of ours)
        rollback = ProductionRollback(
            expected=self._expected({}), servers=self._servers(), reports=self._command.reports, meanwhile=show
        )
        return rollback.roll_back(self._previous)

    def _expected(self, loras: dict[str, str]) -> ExpectedInputs:
        plan = self._command.plan
        workflow = workflow_of(plan, self._command.reports)
        return ExpectedInputs(
            plan=plan,
            workflow=workflow,
            loras=loras,
            always_on=digests_of_always_on(plan),
            simulated=self._command.demo,
        )
