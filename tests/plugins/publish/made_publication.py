"""The small plan, judged and deployed, and what is published of it."""

from typing import Any

from plugins.evidence.deployments import BallotRecord, Deployment
from plugins.loras.copying import digest_of
from plugins.plan.plan import Plan
from plugins.plan.wanted import Publish
from plugins.publish.publishing import publish_production
from plugins.publish.record import Published
from plugins.review.ballot import Judged as BallotPicture
from tests.plugins.deploy.judged_plan import Judged

WANTED = {
    "copy": "dist",
    "title": "Spyke",
    "trigger_words": ["spyke_plasma_v1"],
    "base_model": "SD 1.5",
    "author": "Ed",
    "license": "openrail",
}


class Publication:
    """Production of the small plan, with step600 deployed by a ballot, and what is published of it."""

    def __init__(self, judged: Judged) -> None:
        self.judged = judged
        self.deployment: Deployment = judged.deploy(observed="Bracer on the right arm")
        self.plan: Plan = judged.plan
        self.want()

    def star(self, starred: str, **changes: Any) -> None:
        """Deploy step600 again, by a ballot with a star on this picture."""
        file = self.judged.reports / "ballot.json"
        pictures = {
            one.cell.id: BallotPicture(file=one.digest, pixels=one.pixels) for one in self.judged.entries if one.digest
        }
        ballot = self.judged.ballot().model_copy(update={"starred": starred, "pictures": pictures | changes})
        file.write_text(ballot.model_dump_json(), "utf-8")
        self.deployment = self.judged.deploy(ballot=BallotRecord(file=file, sha256=digest_of(file)))

    def want(self, **changes: Any) -> None:
        """Change what the plan wants to be published."""
        wanted = Publish.model_validate({**WANTED, **changes}, context={})
        self.plan = self.plan.model_copy(update={"publish": wanted})

    def publish(self) -> Published:
        """Publish it."""
        assert self.plan.publish
        return publish_production(self.plan, self.plan.publish, self.deployment, self.judged.store)

    @property
    def names(self) -> list[str]:
        """What lies in the loras folder and in the copy's, but for locks."""
        folders = [self.plan.paths.loras, self.plan.paths.project / "dist"]
        return sorted(
            path.relative_to(self.plan.paths.project).as_posix()
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file()
        )
