"""What was published is replaced or removed with production; what is somebody else's stays, and is named."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from plugins.evidence.deployments import RECORD as DEPLOYED
from plugins.evidence.deployments import write_record
from plugins.publish.publishing import published_is_of_production, withdraw_outdated
from plugins.publish.record import RECORD, PublishError, read_published
from tests.plugins.publish.made_publication import Publication


def follow(publication: Publication) -> list[str]:
    """Bring what was published in line with production."""
    return list(withdraw_outdated(publication.plan, publication.judged.reports))


def problems(publication: Publication) -> list[str]:
    """Return what speaks against what was published."""
    found = read_published(publication.judged.reports, publication.plan.paths.project)
    return published_is_of_production(publication.plan, found, publication.judged.reports)


def beside(publication: Publication, suffix: str) -> Path:
    """Name a file beside production."""
    return publication.judged.production.with_suffix(suffix)


def test_publishing_again_changes_nothing(publication: Publication) -> None:
    """What is published already is published again under the same names, and nothing speaks against it."""
    publication.publish()
    before = publication.names
    publication.publish()

    assert (before, [], []) == (publication.names, problems(publication), follow(publication))


def test_places_say_where_the_files_are(publication: Publication) -> None:
    """A person who published reads how many files lie beside production, and how many in the copy's folder."""
    dist = publication.plan.paths.project / "dist"

    assert [
        f"wrote 4 files into {publication.judged.production.parent}",
        f"wrote 2 files into {dist}",
        f"wrote 2 files into {dist / 'images'}",
    ] == publication.publish().places


def test_what_is_wanted_no_more_is_removed(publication: Publication) -> None:
    """Publishing less removes what was published before."""
    publication.publish()
    publication.want(sidecars=["preview"], copy=None)
    publication.publish()

    loras = "ComfyUI/models/loras/spyke_plasma_v1"
    assert [f"{loras}.preview.png", f"{loras}.safetensors"] == publication.names


def test_another_production_takes_it_back(publication: Publication) -> None:
    """When another checkpoint is deployed, verifying says so, and what was published is removed."""
    publication.publish()
    publication.judged.deploy("final")
    told = problems(publication)
    done = follow(publication)

    assert 8 == len(told)
    assert all("was published of step600" in one and "holds other bytes" in one for one in told)
    assert ["8 published files of step600 removed. Publish again: pytest -m publish"] == done
    assert ["ComfyUI/models/loras/spyke_plasma_v1.safetensors"] == publication.names
    assert read_published(publication.judged.reports, publication.plan.paths.project) is None
    assert [] == follow(publication)


@pytest.mark.parametrize(
    ("theirs", "left"),
    [
        pytest.param(None, [], id="made-by-us"),
        pytest.param("dist", ["dist"], id="was-there-before"),
        pytest.param("dist/images/mine.png", ["dist", "dist/images", "dist/images/mine.png"], id="theirs-lies-there"),
    ],
)
def test_folders_go_with_what_was_published(publication: Publication, theirs: str | None, left: list[str]) -> None:
    """The folders that publishing made go with the files, also when published twice; others, and what is used, stay."""
    project = publication.plan.paths.project
    if theirs == "dist":
        (project / theirs).mkdir()
    publication.publish()
    publication.publish()
    if theirs and theirs != "dist":
        (project / theirs).touch()
    publication.judged.deploy("final")
    follow(publication)

    assert left == sorted(one.relative_to(project).as_posix() for one in project.rglob("*") if "dist" in one.parts)


def test_another_strength_takes_it_back(publication: Publication) -> None:
    """When the same checkpoint is deployed at another strength, verifying says so, and what names the old one goes."""
    publication.publish()
    deployed = publication.deployment.model_copy(update={"strength": 0.8})
    write_record(deployed, publication.judged.reports / DEPLOYED)

    (problem,) = problems(publication)
    assert problem.startswith("The published files are of step600, which was deployed anew since.")
    assert ["8 published files of step600 removed. Publish again: pytest -m publish"] == follow(publication)


def test_another_deployment_of_the_same_bytes_takes_it_back(publication: Publication) -> None:
    """When the same bytes are deployed by another judgement, what names the former one goes."""
    publication.publish()
    deployed = publication.deployment.deployed + timedelta(seconds=1)
    write_record(
        publication.deployment.model_copy(update={"deployed": deployed}), publication.judged.reports / DEPLOYED
    )

    (problem,) = problems(publication)
    assert problem.startswith("The published files are of step600, which was deployed anew since.")
    assert ["8 published files of step600 removed. Publish again: pytest -m publish"] == follow(publication)


def test_hidden_file_of_a_person_is_left(publication: Publication) -> None:
    """Beside unfinished files of ours, others may lie whose names are only alike."""
    publication.publish()
    theirs = publication.plan.paths.project / "dist/.README.md.mine.part"
    theirs.write_text("theirs")
    publication.publish()

    assert "theirs" == theirs.read_text()


def test_project_may_be_moved(publication: Publication, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What was published is found where the project is now."""
    publication.publish()
    reports, project = publication.judged.reports, publication.plan.paths.project
    moved = tmp_path_factory.mktemp("moved") / "project"
    project.rename(moved)
    found = read_published(moved / reports.relative_to(project), moved)

    assert found
    assert [] == [path for path in (*found.files, *found.folders) if not path.exists()]


def test_file_that_is_not_found_is_named(publication: Publication) -> None:
    """What was published and is not there is named when the record goes."""
    publication.publish()
    path = beside(publication, ".json")
    path.unlink()
    publication.judged.deploy("final")
    done = follow(publication)

    assert "7 published files of step600 removed" in done[0]
    assert done[1].startswith(f"warning: {path} was published of step600 and is not there.")


def test_sidecar_of_another_file_is_told_without_a_record(publication: Publication) -> None:
    """A sidecar beside production that names another file's SHA-256 is told, also where no record has it."""
    publication.publish()
    (publication.judged.reports / RECORD).unlink()
    assert [] == problems(publication)
    publication.judged.deploy("final")
    metadata, civitai = problems(publication)

    assert metadata.startswith(f"{beside(publication, '.metadata.json')} is of another file (SHA-256 ")
    assert civitai.startswith(f"{beside(publication, '.civitai.info')} is of another file (SHA-256 ")
    assert [] == follow(publication)
    assert beside(publication, ".metadata.json").exists()


def test_file_that_was_changed_since_is_left(publication: Publication) -> None:
    """What a manager or a person changed is theirs: it is left and named when production changes."""
    publication.publish()
    beside(publication, ".metadata.json").write_text("{}")
    publication.judged.deploy("final")
    done = follow(publication)

    assert "7 published files of step600 removed" in done[0]
    assert done[1].startswith(f"warning: {beside(publication, '.metadata.json')} was published of step600, was changed")
    assert "{}" == beside(publication, ".metadata.json").read_text()
    for _ in range(2):
        (problem,) = problems(publication)
        assert problem.startswith(f"{beside(publication, '.metadata.json')} was published of step600 (")
        (again,) = follow(publication)
        assert again.endswith("was changed since, and was left")
    beside(publication, ".metadata.json").unlink()
    assert [] == problems(publication)


@pytest.mark.parametrize("was_published", [False, True])
def test_somebody_elses_file_is_never_replaced(publication: Publication, *, was_published: bool) -> None:
    """A file that this suite did not write, or that was changed since, stops publishing before anything is written."""
    if was_published:
        publication.publish()
    theirs = beside(publication, ".json")
    theirs.write_text("theirs")
    before = publication.names
    with pytest.raises(PublishError, match=r"(?s)not as this suite left them.*\.json.*Nothing was published"):
        publication.publish()

    assert ("theirs", before) == (theirs.read_text(), publication.names)


def test_link_is_not_written_through(publication: Publication, tmp_path: Path) -> None:
    """A link in a published file's place is refused, and what it points to is not touched."""
    (tmp_path / "elsewhere").write_text("theirs")
    beside(publication, ".json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PublishError, match="not as this suite left them"):
        publication.publish()

    assert "theirs" == (tmp_path / "elsewhere").read_text()


def test_changed_copy_is_told(publication: Publication) -> None:
    """A copy that is not as it was written is told; a sidecar that a manager changed is its own affair."""
    publication.publish()
    copy = publication.plan.paths.project / "dist/spyke_plasma_v1.safetensors"
    copy.write_bytes(copy.read_bytes() + b"x")
    beside(publication, ".metadata.json").write_text("{}")

    (problem,) = problems(publication)
    assert problem.startswith(f"{copy} was changed since it was published.")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes() + b"x"), id="other-bytes"),
    ],
)
def test_nothing_is_published_of_another_file(publication: Publication, change: Callable[[Path], None]) -> None:
    """Where production is not the deployment on record, nothing is published of it."""
    change(publication.judged.production)
    with pytest.raises(PublishError, match="Nothing was published"):
        publication.publish()

    assert not (publication.judged.reports / RECORD).exists()


@pytest.mark.parametrize("is_done", ["false", "no"])
def test_word_is_no_yes_or_no(publication: Publication, is_done: str) -> None:
    """A record that says in words whether it was done is refused, not read as one or the other."""
    publication.publish()
    path = publication.judged.reports / RECORD
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"is_done": is_done}), "utf-8")

    with pytest.raises(PublishError, match="is not a readable record of what was published"):
        publication.publish()


@pytest.mark.parametrize("content", ["{", '{"format": 2}'])
def test_broken_record_is_told(publication: Publication, content: str) -> None:
    """A record that cannot be read stops publishing: whose the files are is not known."""
    (publication.judged.reports / RECORD).write_text(content)
    with pytest.raises(PublishError, match="is not a readable record of what was published"):
        publication.publish()
