"""The last words of a deploying run: what is in production now, and what to type then."""

from collections.abc import Iterable

from plugins.deploy.verified import Verified
from plugins.evidence.deployments import Deployment, Rollback
from plugins.plan.command import Command
from plugins.plan.messages import counted
from plugins.plan.plan import Plan


def last_words(done: Deployment | Rollback, verified: Iterable[Verified], command: Command, plan: Plan) -> str:
    """Return what is in production, whether the claims about it hold, and how to check or undo it."""
    deploy_one = command.completed(plan.sampling.how_to_deploy)
    if isinstance(done, Rollback):
        return f"{done} No checkpoint is selected until you deploy one: {deploy_one}"
    failed = sum(one.outcome == "failed" for one in verified)
    but = f", but {counted(failed, 'claim')} about it failed" if failed else ""
    check = f"{done.selected} is in production{but}. Check it at any time: {command.next('-m verify')}"
    if not (done.backup or done.replaced_sha256):
        nothing = "Nothing was in production before, so there is nothing to put back."
        return f"{check}\n{nothing} Deploy another: {deploy_one}"
    return f"{check}\nUndo it: {command.next('-m deploy --rollback')}"
