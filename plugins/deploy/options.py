"""The options of a deployment, and which of them go together."""

from dataclasses import dataclass

from plugins.plan.messages import UserError
from plugins.plan.stages import DEPLOY, GENERATE, VERIFY


class OptionError(UserError):
    """Options that do not go together; the message says what to type instead."""


@dataclass(frozen=True, kw_only=True)
class DeployOptions:
    """This room's options as they were typed."""

    selected_step: str | None
    ballots: tuple[str, ...]
    observed: str
    rollback: bool
    accepted: tuple[str, ...] = ()

    def check(self, stages: frozenset[str]) -> None:
        """Refuse stages that do not go together, and options that do nothing with them. Raises `OptionError`."""
        if stages >= {DEPLOY, GENERATE}:
            raise OptionError("generate and deploy are two commands: a person looks at the pictures in between.")
        if self.selected_step and not stages & {DEPLOY, VERIFY}:
            raise OptionError("--selected-step is for a deployment: pytest -m deploy --selected-step=STEP")
        if self.accepted and (self.rollback or DEPLOY not in stages):
            raise OptionError("--accept is for a deployment: pytest -m deploy --selected-step=STEP --accept=CELL")
        if self.rollback and (self.selected_step or DEPLOY not in stages):
            raise OptionError(
                "--rollback finds by itself what was in production before the last deployment. Type it alone: "
                "pytest -m deploy --rollback"
            )
