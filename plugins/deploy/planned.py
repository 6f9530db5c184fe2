"""SUMMARY.md as a planning tool reads it: front matter, the sections that it looks for, and a self-check at the end.

The tool is get-shit-done. It looks up backticked paths below the project, and reads the self-check to the end of the
file. What is claimed here was seen in this run; a demonstration claims nothing.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from plugins.deploy.markdown import code, plain
from plugins.deploy.summary import Summary
from plugins.evidence.deployments import Deployment
from plugins.evidence.evidence import Evidence
from plugins.plan.cells import Cell, at
from plugins.plan.messages import counted, visible
from plugins.plan.wanted import PlannedWork
from plugins.review.ballot import Ballot, judge_name

_SIMULATED: Final = "SIMULATED: a demonstration on drawn pictures, in which no LoRA was tested or deployed"


@dataclass(frozen=True, kw_only=True)
class PlannedSummary:
    """A deployment as the work that a plan of a phase asked for."""

    work: PlannedWork
    summary: Summary
    evidence: Mapping[Cell, Evidence]
    """The pictures that the selection rests on."""

    def markdown(self) -> str:
        """Return it as Markdown, with all that the plain summary has."""
        sections = [
            ("Performance", self._performance()),
            ("Accomplishments", self._accomplishments()),
            ("Files Created/Modified", self._files()),
            ("Decisions Made", [plain(one) for one in self._decisions]),
            ("Deviations from Plan", [*self._deviations()]),
            ("Issues Encountered", [*self._issues()]),
            ("Next Phase Readiness", self._next()),
        ]
        head, *others = self.summary.parts()
        parts = [
            self._front_matter(),
            f"# {plain(self._title)}",
            f"**{self._one_liner}**",
            head,
            *(f"## {name}\n\n{_bullets(lines)}" for name, lines in sections),
            *others,
            self._self_check(),
        ]
        return "\n\n".join(parts) + "\n"

    @property
    def _deployment(self) -> Deployment:
        return self.summary.deployment

    @property
    def _simulated(self) -> bool:
        return self._deployment.simulated

    @property
    def _name(self) -> str:
        return self.summary.plan.production.lora_name

    @property
    def _title(self) -> str:
        number = re.match(r"0*(\d+(?:\.\d+)*)", self.work.phase)
        phase = number[1] if number else self.work.phase
        return f"Phase {phase} Plan {self.work.plan}: {self.summary.plan.title} Summary"

    @property
    def _one_liner(self) -> str:
        if self._simulated:
            return _SIMULATED
        plan, one = self.summary.plan, self._deployment
        text = (
            f"{one.choice}, selected out of {counted(len(one.candidates), 'checkpoint')} on "
            f"{counted(len(plan.prompts), 'prompt')}, is deployed as `{plan.production.file}` and gives what was judged"
        )
        return text if self._is_complete else f"{text}; but not all that the plan asks for was verified"

    @cached_property
    def _unmet(self) -> dict[str, list[str]]:
        """The requirements that are not complete, each with the claims that it lacks."""
        needed = self.work.requirements.items()
        lacking: dict[str, list[str]] = {
            name: [one for one in claims if not self._holds(one)] for name, claims in needed
        }
        return {name: claims for name, claims in lacking.items() if claims}

    def _holds(self, claim: str) -> bool:
        """Say whether a claim passed in this run; one that was not checked did not."""
        if claim == "selection_has_a_reason":
            ballot = self.summary.ballot
            return bool(self._deployment.observed.strip() or (ballot and not ballot.is_empty))
        outcomes = [one.outcome for one in self.summary.verified if one.name == claim]
        return bool(outcomes) and all(outcome == "passed" for outcome in outcomes)

    @property
    def _completed(self) -> list[str]:
        return [] if self._simulated else [name for name in self.work.requirements if name not in self._unmet]

    @property
    def _is_complete(self) -> bool:
        return self.summary.complete and not self._unmet and not self._simulated

    @property
    def _decisions(self) -> list[str]:
        """What was decided, who judged and what was seen, each as `what: why`."""
        if self._simulated:
            return []
        one, ballot, selected = self._deployment, self.summary.ballot, self._deployment.choice
        why = [f"{selected} was named by a person"]
        if ballot:
            rule = ballot.suggestion
            gave = f"{at(rule.checkpoint or 'no checkpoint', rule.strength)} ({rule.reason})"
            why = [f"the selection rule chose {gave}", *filter(None, [ballot.reason.strip()])]
        judged = [
            f"Judged by {judge_name(each, number)}: {_manner(each)}"
            for number, each in enumerate(self.summary.ballots, 1)
        ]
        seen = [*self.summary.details(ballot)] if ballot else []
        if observed := one.observed.strip():
            seen.append(observed)
        return [f"Selected {selected}: {'; '.join(why)}", *judged, *(f"Seen on {selected}: {line}" for line in seen)]

    def _front_matter(self) -> str:
        one, work = self._deployment, self.work
        production = [] if self._simulated else [str(one.production)]
        provided = [f"{self._name}: the production LoRA, in ComfyUI's loras folder"] if self._is_complete else []
        is_new = one.replaced_sha256 is None
        lines = [
            "---",
            f"phase: {_quoted(work.phase)}",
            f"plan: {_quoted(work.plan)}",
            f"subsystem: {_quoted(work.subsystem)}",
            *_list("tags", work.tags),
            *(["requires:", *(f"  - phase: {_quoted(one)}" for one in work.requires)] if work.requires else []),
            *_list("provides", provided),
            *_list("affects", work.affects),
            "dependency-graph:",
            *_list("affects", work.affects, indent="  "),
            "tech-stack:",
            *_list("added", (), indent="  "),
            *_list("patterns", (), indent="  "),
            "key-files:",
            *_list("created", production if is_new else [], indent="  "),
            *_list("modified", [] if is_new else production, indent="  "),
            *_list("key-decisions", self._decisions),
            *_list("patterns-established", ()),
            *_list("requirements-completed", self._completed),
            f"duration: {_quoted(_span(one.deployed - self._started))}",
            f"completed: {one.deployed:%Y-%m-%d}",
            "---",
        ]
        return "\n".join(lines)

    @cached_property
    def _started(self) -> datetime:
        """When the first of the pictures was begun."""
        return min((one.run.started for one in self.evidence.values()), default=self._deployment.deployed)

    def _performance(self) -> list[str]:
        one, pictures = self._deployment, self.evidence.values()
        rendering = sum(((each.run.ended - each.run.started) for each in pictures), timedelta())
        return [
            f"**Duration:** {_span(one.deployed - self._started)}, from the first picture to the deployment's proof",
            f"**Started:** {self._started:%Y-%m-%dT%H:%M:%SZ}",
            f"**Completed:** {one.deployed:%Y-%m-%dT%H:%M:%SZ}",
            f"**Rendering:** {_span(rendering)} for {counted(len(pictures), 'picture')}, as the servers report it",
        ]

    def _accomplishments(self) -> list[str]:
        if self._simulated:
            return [f"{_SIMULATED}."]
        one, plan = self._deployment, self.summary.plan
        size = f"{counted(len(one.candidates), 'checkpoint')} tested on {counted(len(plan.prompts), 'prompt')}"
        done = [
            f"{size}: {counted(len(one.judged), 'picture')}.",
            f"{one.choice} is in production, and was rendered once more from there: see What production renders.",
        ]
        return [*done, *(f"{plain(name)}: complete." for name in self._completed)]

    def _files(self) -> list[str]:
        one, plan = self._deployment, self.summary.plan
        source = plan.paths.checkpoints / one.candidates[one.selected].file
        lines = [f"{plain(str(one.production))} - production, a copy of {self._place(source)}"]
        return [*lines, *([f"{plain(str(one.backup))} - the file that was there before"] if one.backup else [])]

    def _place(self, path: Path) -> str:
        """Name a file: relative to the project if it is in it, so that the tool finds it."""
        project = self.summary.plan.paths.project
        return f"`{code(path.relative_to(project).as_posix())}`" if path.is_relative_to(project) else plain(str(path))

    def _deviations(self) -> list[str]:
        one, ballot, lines = self._deployment, self.summary.ballot, []
        if ballot and (ballot.suggestion.checkpoint, ballot.suggestion.strength) != (one.selected, one.strength):
            rule, reason = ballot.suggestion, ballot.reason.strip()
            gave = at(rule.checkpoint or "no checkpoint", rule.strength)
            lines.append(f"Against the selection rule, which chose {gave}: {reason or 'no reason was given'}")
        lines += self.summary.dissent()
        lines += [f"A picture was accepted by name, {cell}: {reason}" for cell, reason in one.accepted.items()]
        lines += [
            f"A warning was accepted, {cell}: {check}"
            for cell, evidence in self.evidence.items()
            if (cell.column, cell.strength) == (one.selected, one.strength)
            for check in evidence.warnings
        ]
        if one.backup:
            lines.append(f"The former production file is kept beside the new one, as {one.backup.name}")
        lines += [f"An evaluation copy was left at {path}: {reason}" for path, reason in one.left.items()]
        return [plain(line) for line in lines] or ["None - the plan was carried out as written."]

    def _issues(self) -> list[str]:
        lines = [f"{one.claim}: {one.outcome}" for one in self.summary.verified if one.outcome != "passed"]
        lines += [f"{name} is not complete, for want of: {', '.join(lacking)}" for name, lacking in self._unmet.items()]
        return [plain(line) for line in lines] or ["None"]

    def _next(self) -> list[str]:
        if not self._is_complete:
            return [f"Not ready: {self._shortfall}."]
        ready = f"`{code(self._name)}`, the file's name without its extension, is what a workflow names."
        return [ready, *(f"{plain(one)}: wire `{code(self._name)}` in." for one in self.work.affects)]

    def _self_check(self) -> str:
        """Return the part that the tool reads to the end; it recognises a failure by the word `incomplete`."""
        if self._is_complete:
            return "## Self-Check: PASSED\n\nEvery claim of the plan was verified in this run."
        verdict = "SIMULATED" if self._simulated else "FAILED"
        return f"## Self-Check: {verdict}\n\nThe plan is incomplete: {self._shortfall}."

    @property
    def _shortfall(self) -> str:
        return "nothing was really tested or deployed" if self._simulated else "see Issues Encountered"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _quoted(text: str) -> str:
    """Return text as YAML and the tool both read it, on one line."""
    return json.dumps(" ".join(visible(text).split()), ensure_ascii=False)


def _list(key: str, values: Iterable[str], *, indent: str = "") -> list[str]:
    """Return a list of YAML, one entry on each line."""
    lines = [f"{indent}  - {_quoted(value)}" for value in values]
    return [f"{indent}{key}:", *lines] if lines else [f"{indent}{key}: []"]


def _span(span: timedelta) -> str:
    """Return a time as the tool's users write it: 35s, 23min, 1h 15min."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:  # noqa: PLR2004 (seconds of a minute)
        return f"{seconds}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}h {minutes}min" if hours else f"{minutes}min"


def _manner(ballot: Ballot) -> str:
    """Say whether a ballot's marks were given blind, or that there are none."""
    if ballot.is_empty:
        return "nothing was marked"
    return "blind" if ballot.judged_blind else "not blind"
