"""SUMMARY.md: what was compared, what was selected and seen, and what was verified."""

from collections.abc import Iterator
from dataclasses import dataclass

from plugins.deploy.markdown import code, plain
from plugins.deploy.verified import Verified
from plugins.evidence.deployments import Deployment, Rollback
from plugins.plan.cells import at, named
from plugins.plan.messages import minute_of
from plugins.plan.plan import Plan
from plugins.plan.tested import Prompt
from plugins.review.agreement import agreements
from plugins.review.ballot import Ballot, figures, judge_name, required_no
from plugins.review.figures import Figure
from plugins.review.rivals import compared_with


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All that the summary contains."""

    plan: Plan
    deployment: Deployment
    ballots: tuple[Ballot, ...] = ()
    """Of each judge."""
    verified: tuple[Verified, ...]
    bleed: str = ""
    """What the selected checkpoint changes without the trigger word, in a sentence."""
    workflow: tuple[str, ...] = ()
    """Which own workflow was used, and what was found where in it; nothing for the built-in one."""

    def markdown(self) -> str:
        """Return it as Markdown."""
        plan, deployment = self.plan, self.deployment
        title = f"# {plain(plan.title)}: {deployment.choice} deployed as {plan.production.lora_name}"
        return "\n\n".join([title, *self.parts()]) + "\n"

    def parts(self) -> list[str]:
        """Return what stands below the title, part by part."""
        parts = [
            self._head(),
            self._compared(),
            self._observed(),
            self._accepted(),
            self._deployed(),
            self._proof(),
            _verifications(self.verified),
            self._settings(),
        ]
        return [part for part in parts if part]

    @property
    def complete(self) -> bool:
        """Whether every claim was verified."""
        return bool(self.verified) and all(one.outcome == "passed" for one in self.verified)

    def _head(self) -> str:
        deployment, lines = self.deployment, []
        if deployment.simulated:
            lines.append("> **SIMULATED.** This was a demonstration (`--demo`): no LoRA was really tested or deployed.")
        state = (
            "Every claim of the plan was verified." if self.complete else "**Not every claim was verified: see below.**"
        )
        lines.append(f"{minute_of(deployment.deployed)}. {state}")
        return "\n\n".join(lines)

    def _quoted(self, text: str) -> str:
        """Quote words as they are; a planning tool takes what has a `/` between backticks for a file of its project."""
        return plain(text) if self.plan.summary and "/" in text else f"`{code(text)}`"

    def _compared(self) -> str:
        plan, deployment = self.plan, self.deployment
        size = f"{len(plan.checkpoints)} checkpoints on {len(plan.prompts)} prompts"
        if plan.rivals:
            size += f" beside {', '.join(rival.label for rival in plan.rivals)}, which is never deployed,"
        if plan.sampling.compares_strengths:
            size += f" at {len(plan.sampling.strengths)} strengths ({_strengths(plan)})"
        seeds = ", ".join(map(str, plan.sampling.seeds))
        lines = [
            "## What was compared",
            "",
            f"{size}: {len(deployment.judged)} pictures, seed {seeds}.",
            "",
            "| checkpoint | step | file | SHA-256 |",
            "|---|---|---|---|",
        ]
        for name, candidate in deployment.candidates.items():
            chosen = "**" if name == deployment.selected else ""
            step = "-" if candidate.step is None else candidate.step
            lines.append(f"| {chosen}{name}{chosen} | {step} | {plain(candidate.file)} | `{candidate.sha256}` |")
        lines += ["", "Prompts:", ""]
        lines += [
            f"{number}. {plain(prompt.purpose or prompt.id)}: {self._quoted(prompt.text)}{_own(prompt)}"
            for number, prompt in enumerate(plan.prompts, 1)
        ]
        return "\n".join(lines)

    def _observed(self) -> str:
        plan = self.plan
        parts = ["## What was selected, and why", f"**{self.deployment.choice}** was selected by a person."]
        if plan.selection_rule:
            parts.append(f"Selection rule: {plain(plan.selection_rule)}")
        parts += self._judges() if self.ballots else self._criteria()
        if self.bleed:
            parts.append(f"{self.deployment.choice}: {plain(self.bleed)}")
        seen = self.deployment.observed.strip()
        if seen or not self.ballots:
            quote = "\n".join(f"> {plain(line)}" for line in seen.splitlines())
            parts += ["Observed:", quote or "Not recorded: there is no ballot, and no `--observed=TEXT` was given."]
        return "\n\n".join(part for part in parts if part)

    def _criteria(self) -> list[str]:
        lines = [f"- {plain(one.text)}{' (required)' if one.required else ''}" for one in self.plan.criteria]
        return ["The criteria:", "\n".join(lines)] if lines else []

    @property
    def ballot(self) -> Ballot | None:
        """The ballot that counts first, or None."""
        return self.ballots[0] if self.ballots else None

    def _judges(self) -> list[str]:
        """Return each ballot in words and, where there are several, how far they agree: what is in dispute first."""
        if len(self.ballots) == 1:
            return self._judged(self.ballots[0])
        parts = [f"**{plain(line)}.**" for line in self.dissent()]
        parts.append("How far the judges agree (Krippendorff's alpha: 1 is agreement, 0 is chance), least first:")
        found = sorted(agreements(self.ballots, self.plan), key=lambda one: one.alike - len(one.units))
        parts.append("\n".join(f"- {plain(one.criterion.text)}: {one}" for one in found))
        for name, ballot in self._named():
            parts += [f"### {plain(name)}", *self._judged(ballot)]
        return parts

    def _named(self) -> Iterator[tuple[str, Ballot]]:
        return ((judge_name(ballot, number), ballot) for number, ballot in enumerate(self.ballots, 1))

    def dissent(self) -> Iterator[str]:
        """Yield what a judge among several holds against the selection, which no majority hides."""
        selected = self.deployment.selected
        for name, ballot in self._named() if len(self.ballots) > 1 else ():
            if denied := required_no(ballot, selected, self.plan, self.deployment.strength):
                yield f"{name} says no on {selected}: {'; '.join(denied)}"
            if ballot.choice not in {None, selected}:
                yield f"{name} chose {ballot.choice}"

    def _judged(self, ballot: Ballot) -> list[str]:
        """Return the ballot in words: the choice and its reason, the marks criterion by criterion, and the notes."""
        selected, rule = self.deployment.selected, ballot.suggestion
        sentences = [
            f"The selection rule chose: {plain(at(rule.checkpoint or 'none', rule.strength))} ({plain(rule.reason)})."
        ]
        if ballot.choice is None:
            sentences.append("The ballot itself chose none; the checkpoint was named on the command line.")
        elif not ballot.follows_rule:
            sentences.append(f"The person chose otherwise: {plain(ballot.reason or 'no reason was given')}.")
        elif ballot.reason:
            sentences.append(f"Reason: {plain(ballot.reason)}.")
        by = f" by {plain(ballot.judge)}" if ballot.judge.strip() else ""
        sentences.append(
            f"Judged blind{by}." if ballot.judged_blind else f"Not judged blind{', judged' * bool(by)}{by}."
        )
        if ballot.preference:
            sentences.append(f"Blind duels: {plain(ballot.preference)}.")
        if ballot.is_empty:
            sentences.append("**Nothing was marked on the ballot.**")
        strength = self.deployment.strength
        columns = [*self.deployment.candidates, *(rival.id for rival in self.plan.rivals)]
        counted = figures(ballot, self.plan, strength)
        table = [f"| criterion | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for criterion in self.plan.criteria:
            marks = " | ".join(_figure(counted.get(one, {}).get(criterion.id)) for one in columns)
            table.append(f"| {plain(criterion.text)}{' (required)' if criterion.required else ''} | {marks} |")
        others = "" if strength is None else f" All are at strength {strength:g}; the ballot has the others."
        proves = "Each entry says how many of n pictures got a yes, with the 95 % interval (Wilson's)."
        table += ["", proves + others]
        rivals = [
            plain(compared_with(rival, ballot, self.plan, selected=selected, strength=strength))
            for rival in self.plan.rivals
        ]
        parts = [" ".join(sentences), "\n".join(table), *rivals, self._visible(ballot)]
        if note := ballot.notes.checkpoints.get(selected):
            parts.append(f"Note on {selected}: {plain(note)}")
        cells = [
            f"- {plain(cell)}: {plain(note)}"
            for cell, note in ballot.notes.cells.items()
            if note and cell.startswith(f"{selected}-") and cell.endswith(named("", strength))
        ]
        return [*parts, "\n".join(cells)]

    def _visible(self, ballot: Ballot) -> str:
        lines, strength = [f"- {plain(line)}" for line in self.details(ballot)], self.deployment.strength
        selected = self.deployment.selected
        return f"On {selected}'s pictures{at('', strength)}:\n\n" + "\n".join(lines) if lines else ""

    def details(self, ballot: Ballot) -> Iterator[str]:
        """Yield which details were seen on each prompt that is there to show them."""
        counted = figures(ballot, self.plan, self.deployment.strength).get(self.deployment.selected, {})
        for prompt in self.plan.prompts:
            looked_for = [one for one in self.plan.criteria if one.prompts == (prompt.id,)]
            answers = {one.id: figure.answer for one in looked_for if (figure := counted.get(one.id))}
            seen = [f"{one.text}: {answers.get(one.id) or 'not marked'}" for one in looked_for]
            if seen:
                yield f"{prompt.purpose or prompt.id}: {'; '.join(seen)}"

    def _accepted(self) -> str:
        lines = [f"- **{plain(cell)}**: {plain(reason)}" for cell, reason in self.deployment.accepted.items()]
        said = "## Accepted by name\n\nThese pictures were accepted as they are:\n\n"
        return said + "\n".join(lines) if lines else ""

    def _deployed(self) -> str:
        deployment = self.deployment
        lines = [
            "## What was deployed",
            "",
            f"- Production: {self._quoted(str(deployment.production))}",
            f"- SHA-256: `{deployment.sha256}`",
        ]
        if deployment.backup:
            lines.append(f"- The file that was there before is kept: {self._quoted(str(deployment.backup))}")
        elif deployment.replaced_sha256 == deployment.sha256:
            lines.append("- The same bytes were there already.")
        elif deployment.replaced_sha256:
            before = next(
                (name for name, one in deployment.candidates.items() if one.sha256 == deployment.replaced_sha256), "?"
            )
            lines.append(f"- It replaced {before}, which the training folder still has.")
        lines.append(f"- Evaluation copies removed: {len(deployment.removed)}")
        lines += [
            f"- Left in place: {self._quoted(path)}, since {plain(reason)}" for path, reason in deployment.left.items()
        ]
        lines += [
            f"- By the ballot {self._quoted(str(one.file))} (SHA-256 `{one.sha256}`)" for one in deployment.ballots
        ]
        return "\n".join(lines)

    def _proof(self) -> str:
        lines = ["## What production renders", "", "The production LoRA was rendered once more, after deployment:", ""]
        lines += [
            f"- [{plain(one.row)}]({one.picture}): {plain(str(one).partition(': ')[2])}"
            for one in self.deployment.proof
        ]
        return "\n".join(lines)

    def _settings(self) -> str:
        sampling, server = self.plan.sampling, self.deployment.server
        if self.plan.workflow:
            settings = [("Settings", ", ".join((*self.plan.settings, "all else as in the workflow")))]
            settings += [("Found", line) for line in self.workflow]
        else:
            settings = [
                ("Base model", sampling.base_model),
                ("Sampler", f"{sampling.sampler}, scheduler {sampling.scheduler}, {sampling.steps} steps"),
                ("CFG", f"{sampling.cfg:g}"),
                ("Clip skip", str(sampling.clip_skip)),
                ("Size", f"{sampling.width}x{sampling.height}"),
                ("LoRA strength", _strengths(self.plan)),
                *(("Always on", str(one)) for one in self.plan.loras),
            ]
        made_on = self.deployment.made_on or (server.version_and_machine,)
        settings += [("Made on", one) for one in made_on]
        settings += [("Proven on", str(one.server)) for one in self.deployment.serving]
        settings.append(("Server", server.url))
        lines = [f"- {name}: {plain(value)}" for name, value in settings]
        return "\n".join(["## How the pictures were made", "", *lines])


def rollback_summary(plan: Plan, rollback: Rollback, verified: tuple[Verified, ...]) -> str:
    """Return what a rollback did, as Markdown."""
    head = [f"# {plain(plan.title)}: rolled back to {plain(rollback.name)}"]
    if rollback.simulated:
        head.append("> **SIMULATED.** This was a demonstration (`--demo`): no LoRA was really tested or deployed.")
    head.append(plain(str(rollback)))
    put = [f"- Production: `{code(str(rollback.production))}`", f"- SHA-256: `{rollback.sha256}`"]
    proof = [f"- {plain(row)}: {plain(rendered)}" for row, rendered in rollback.proof.items()]
    parts = [*head, "\n".join(["## What was put back", "", *put])]
    parts.append("\n".join(["## What production renders", "", *proof]))
    return "\n\n".join([*parts, _verifications(verified)]) + "\n"


def _own(prompt: Prompt) -> str:
    """Say which settings a prompt has of its own."""
    settings = [f"{key} {plain(str(value)) or 'none'}" for key, value in prompt.own.items()]
    return f" ({', '.join(settings)})" if settings else ""


def _strengths(plan: Plan) -> str:
    return ", ".join(f"{one:g}" for one in plan.sampling.strengths)


def _figure(figure: Figure | None) -> str:
    return f"{figure.answer} ({figure})" if figure and figure.answer else "not marked"


def _verifications(verified: tuple[Verified, ...]) -> str:
    lines = ["## What was verified", ""]
    for one in verified:
        box, outcome = ("x", "") if one.outcome == "passed" else (" ", f" (**{one.outcome.upper()}**)")
        lines.append(f"- [{box}] {plain(one.claim)}{outcome}")
    return "\n".join(lines) if verified else "## What was verified\n\nNothing: no verification ran."
