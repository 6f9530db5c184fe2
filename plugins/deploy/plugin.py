"""Deployment's door to pytest: the selection, the gate before the first test, and the summary after the last."""

from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from plugins.comfyui.errors import ComfyUIError
from plugins.comfyui.plugin import the_servers
from plugins.comfyui.server import Server
from plugins.deploy.deployment import RECORD, Deployment, RecordError, Selected, deploy, read_record
from plugins.deploy.gate import GateError, pass_gate
from plugins.deploy.page import render_deployment
from plugins.deploy.proof import Prover
from plugins.deploy.selection import SelectionError, judged_by, select
from plugins.deploy.summary import Summary, Verified
from plugins.evidence.asked import Asked
from plugins.evidence.canary import read_canary
from plugins.evidence.files import write_atomically
from plugins.evidence.plugin import hold
from plugins.evidence.preparing import pictures, workflow_of
from plugins.evidence.store import Store
from plugins.loras.copying import digest_of
from plugins.loras.errors import LoraError
from plugins.loras.staging import preflight
from plugins.plan.plan import Plan
from plugins.plan.plugin import GROUP, reports, running, stages, the_plan, typed_path
from plugins.plan.stages import DEPLOY, GENERATE, VERIFY
from plugins.render.plugin import live_line
from plugins.review.ballot import Ballot, BallotError, read_ballot
from plugins.review.gathering import gather

_READY: Final = pytest.StashKey[Selected]()
_DEPLOYED: Final = pytest.StashKey[Deployment]()
_BALLOT: Final = pytest.StashKey[Ballot]()
_VERIFIED: Final = pytest.StashKey[dict[str, Verified]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --selected-step and --observed."""
    group = parser.getgroup(GROUP)
    group.addoption("--selected-step", metavar="STEP", help="the checkpoint to deploy: 600, step600, final or 920")
    group.addoption(
        "--ballot", metavar="FILE", help="the ballot saved from the report (default: REPORTS/ballot.json if there)"
    )
    group.addoption("--observed", metavar="TEXT", default="", help="what was seen, for the summary")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Open the gate, or say why not, before the first test; nothing is changed yet."""
    config = session.config
    asked = stages(config)
    if config.getoption("selected_step") and not asked & {DEPLOY, VERIFY}:
        raise pytest.UsageError("--selected-step goes with a deployment: pytest -m deploy --selected-step=STEP")
    if DEPLOY not in running(config):
        return
    if GENERATE in asked:
        raise pytest.UsageError("generate and deploy are two commands: a person looks at the pictures in between.")
    plan = the_plan(config)
    try:
        file = ballot_file(config)
        chosen = read_ballot(file).choice if file else None
        checkpoint = select(plan, config.getoption("selected_step"), chosen=chosen)
        preflight(plan)
        loras = {checkpoint.id: digest_of(plan.training_file(checkpoint)) for checkpoint in plan.checkpoints}
        wanted = Asked(plan=plan, workflow=workflow_of(plan), loras=loras, simulated=config.getoption("demo"))
        store = pictures(reports(config))
        evidence = pass_gate(wanted, store, checkpoint)
        hold(config)
        record = None
        if file:
            shown = gather(wanted, reports(config), failed={}, command="")
            ballot, record = judged_by(file, checkpoint, plan, shown.entries, simulated=wanted.simulated)
            config.stash[_BALLOT] = ballot
        the_servers(config)
    except (SelectionError, BallotError, GateError, ComfyUIError, LoraError) as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_READY] = Selected(
        asked=wanted,
        store=store,
        checkpoint=checkpoint,
        evidence=evidence,
        observed=config.getoption("observed"),
        ballot=record,
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is about to be deployed, and where."""
    ready = config.stash.get(_READY, None)
    if ready is None:
        return []
    plan = ready.asked.plan
    source, target = plan.training_file(ready.checkpoint), plan.paths.loras / plan.production.file
    return [f"{plan.title}: deploying {ready.checkpoint.id}", f"{source} -> {target}"]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Enter every claim before -k or -x can leave it out, so that the summary never tells more than was checked."""
    if item.get_closest_marker(VERIFY):
        _note(item, "not checked")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how each verification ended, for the summary."""
    report = yield
    if item.get_closest_marker(VERIFY) and (report.when == "call" or not report.passed):
        _note(item, report.outcome)
    return report


def _note(item: pytest.Item, outcome: str) -> None:
    doc = getattr(item, "obj", item).__doc__ or item.name
    claim = doc.strip().splitlines()[0].rstrip(".")
    item.config.stash.setdefault(_VERIFIED, {})[item.nodeid] = Verified(claim=claim, outcome=outcome)


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    """Put what was deployed on top of deploy.html."""
    config = session.config
    if deployment := config.stash.get(_DEPLOYED, None):
        prefix.append(render_deployment(the_plan(config), deployment, reports(config)))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the summary of a deployment, in the reports folder and where the plan wants it."""
    config = session.config
    deployment = config.stash.get(_DEPLOYED, None)
    if deployment is None:
        return
    plan = the_plan(config)
    verified = tuple(config.stash.get(_VERIFIED, {}).values())
    ballot = config.stash.get(_BALLOT, None)
    text = Summary(plan=plan, deployment=deployment, ballot=ballot, verified=verified).markdown()
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for place in filter(None, (reports(config) / "SUMMARY.md", plan.paths.summary)):
        try:
            write_atomically(place, text)
            told = f"wrote {place}"
        except OSError as error:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            told = f"The deployment stands, but {place} could not be written: {error}"
        if reporter:
            reporter.ensure_newline()
            reporter.write_line(told)


def ballot_file(config: pytest.Config) -> Path | None:
    """Give the ballot that was named, or the one in the reports folder; None where there is neither."""
    if given := config.getoption("ballot"):
        return typed_path(config, given)
    usual = reports(config) / "ballot.json"
    return usual if usual.exists() else None


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest) -> Store:
    """Give the pictures of this reports folder, with their evidence."""
    return pictures(reports(request.config))


@pytest.fixture(scope="session")
def attempt(request: pytest.FixtureRequest) -> Deployment | LoraError:
    """Deploy the selected checkpoint, once; the gate is open by then. Gives what came of it."""
    config = request.config
    selected = config.stash[_READY]
    prover = Prover(
        asked=selected.asked,
        evidence=selected.evidence,
        store=selected.store,
        servers=the_servers(config),
        canary=read_canary(reports(config)),
        reports=reports(config),
    )
    try:
        with live_line(config) as show:
            deployment = deploy(
                selected,
                record=reports(config) / RECORD,
                prove=lambda: prover.prove(selected.checkpoint, meanwhile=show),
                forget=prover.forget,
            )
    except LoraError as error:
        return error
    config.stash[_DEPLOYED] = deployment
    return deployment


@pytest.fixture
def deployed(attempt: Deployment | LoraError) -> Deployment:
    """Give this run's deployment; fail where there is none."""
    if isinstance(attempt, LoraError):
        pytest.fail(str(attempt), pytrace=False)
    return attempt


@pytest.fixture
def production(request: pytest.FixtureRequest) -> Plan:
    """Give the plan whose production file is to be verified; a deploying run has deployed it by then."""
    if DEPLOY in stages(request.config):
        _deployed_or_skip(request)
    return the_plan(request.config)


@pytest.fixture
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """Give the deployment on record: this run's, or the last one's."""
    config = request.config
    if DEPLOY in stages(config):
        return _deployed_or_skip(request)
    try:
        found = read_record(reports(config) / RECORD)
        plan = the_plan(config)
        selected = select(plan, typed).id if (typed := config.getoption("selected_step")) else found.selected
    except (RecordError, SelectionError) as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    if selected != found.selected:
        pytest.fail(f"{found.selected} is on record as deployed, not {selected}.", pytrace=False)
    if found.plan_name != plan.name or found.simulated != config.getoption("demo"):
        what = "a --demo run" if found.simulated else f"the plan {found.plan_name!r}"
        pytest.fail(f"The deployment on record in {reports(config)} is of {what}.", pytrace=False)
    return found


@pytest.fixture
def judged(deployment: Deployment, production: Plan, request: pytest.FixtureRequest) -> Asked:
    """Give what the evidence must be of: the plan, and the checkpoints' bytes when the selection was made."""
    missing = [one.id for one in production.checkpoints if one.id not in deployment.candidates]
    if missing:
        pytest.fail(f"The plan has checkpoints that were never candidates: {', '.join(missing)}.", pytrace=False)
    return Asked(
        plan=production,
        workflow=workflow_of(production),
        loras={name: one.sha256 for name, one in deployment.candidates.items()},
        simulated=request.config.getoption("demo"),
    )


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> tuple[Server, ...]:
    """Give the servers whose pickers are to be looked at; a claim that cannot be checked does not pass."""
    try:
        return the_servers(request.config)
    except ComfyUIError as error:
        raise pytest.fail.Exception(f"Not checked: {error}", pytrace=False) from None


def _deployed_or_skip(request: pytest.FixtureRequest) -> Deployment:
    attempt: Deployment | LoraError = request.getfixturevalue("attempt")
    if isinstance(attempt, LoraError):
        if any("deployed" in getattr(item, "fixturenames", ()) for item in request.session.items):
            pytest.skip("nothing was deployed")  # the test of the deployment itself says why
        pytest.fail(str(attempt), pytrace=False)
    return attempt
