"""A row is made by servers that are alike, from model files that are the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from plugins.comfyui.answers import ModelFile, ServerInfo
from plugins.comfyui.choices import ServerChoices
from plugins.comfyui.workflow import Workflow
from plugins.evidence.evidence import Evidence, FileRecord
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.generate.model_files import files_used
from plugins.generate.population import RowPopulations, several_populations
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from tests.plugins.evidence.made_evidence import BASE, keep

FILE = FileRecord(name=f"checkpoints/{BASE}", size=7, modified=1e9, local=False)
LOCAL = FILE.model_copy(update={"local": True, "sampled": "a" * 64})


def served(version: str, *, url: str = "http://127.0.0.1:8188") -> Any:
    """Return a server of a version, of which no more is asked."""
    return Served(ServerInfo(url=url, comfyui_version=version, device="RTX 4090", simulated=False))


@dataclass(frozen=True)
class Served:
    """A server that only says what it is."""

    info: ServerInfo


def rows_of(reusable: Mapping[Cell, Evidence], plan: Plan, *servers: Any) -> RowPopulations:
    """Return the rows of a run over the whole matrix."""
    return RowPopulations(matrix(plan), reusable, dict.fromkeys(servers, ()))


@pytest.fixture
def kept(asked: ExpectedInputs, store: Store) -> dict[Cell, Evidence]:
    """Keep a picture of every cell, as ComfyUI 0.3.64 made it."""
    return {cell: keep(asked, store, cell) for cell in matrix(asked.plan)}


def test_rows_that_are_whole_stay(kept: dict[Cell, Evidence], plan: Plan) -> None:
    """Where nothing is to be rendered, pictures of another version than the server's stay."""
    assert kept == rows_of(kept, plan, served("0.33.0")).kept


def test_row_that_gets_a_picture_of_another_version_is_made_anew(kept: dict[Cell, Evidence], plan: Plan) -> None:
    """One picture to render on a newer ComfyUI takes its row along, with the baseline, and no other row."""
    cells = matrix(plan)
    del kept[cells[2]]

    assert set(cells[1::2]) == set(rows_of(kept, plan, served("0.33.0")).kept)


def test_row_that_gets_a_picture_of_its_version_stays(kept: dict[Cell, Evidence], plan: Plan) -> None:
    """One picture to render on the ComfyUI that made its row changes nothing else."""
    del kept[matrix(plan)[2]]
    rows = rows_of(kept, plan, served("0.3.64"))

    assert kept == rows.kept


def test_mixed_row_keeps_what_the_server_would_make(kept: dict[Cell, Evidence], plan: Plan) -> None:
    """Of a row that two versions made, the pictures of the version that is there stay."""
    cells = matrix(plan)
    old = kept[cells[0]]
    kept[cells[0]] = old.model_copy(update={"server": served("0.33.0").info})

    assert set(cells[1:]) == set(rows_of(kept, plan, served("0.3.64")).kept)
    assert {cells[0], *cells[1::2]} == set(rows_of(kept, plan, served("0.33.0")).kept)


def test_first_server_decides_on_its_row(plan: Plan) -> None:
    """A row goes to servers like the first that takes a cell of it, until it gives that back with nothing made."""
    old, new, alike = served("0.3.64"), served("0.33.0"), served("0.3.64", url="http://b:1")
    cells = matrix(plan)
    rows = rows_of({}, plan, old, new, alike)

    assert [True, False, True, True] == [
        rows.take(cells[0], old),
        rows.take(cells[2], new),
        rows.take(cells[2], alike),
        rows.take(cells[1], new),
    ]
    rows.give_back(cells[0])
    assert rows.may(cells[2], new)
    assert rows.take(cells[0], new)
    rows.made(cells[0])
    rows.give_back(cells[2])
    assert not rows.may(cells[2], old)


def test_row_that_is_kept_goes_to_servers_that_are_alike(kept: dict[Cell, Evidence], plan: Plan) -> None:
    """What is missing of a row is rendered by servers like the one that made the rest."""
    cells = matrix(plan)
    del kept[cells[2]]
    old, new = served("0.3.64"), served("0.33.0")
    rows = rows_of(kept, plan, new, old)

    assert (False, True) == (rows.take(cells[2], new), rows.take(cells[2], old))


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        pytest.param(LOCAL, False, id="the-same"),
        pytest.param(LOCAL.model_copy(update={"sampled": "b" * 64}), True, id="other-bytes"),
        pytest.param(LOCAL.model_copy(update={"sampled": None}), False, id="an-older-record"),
        pytest.param(LOCAL.model_copy(update={"modified": 2e9}), True, id="another-time"),
    ],
)
def test_bytes_decide_where_they_are_known_of_both(now: FileRecord, *, changed: bool) -> None:
    """A file of the same size and time is another one where its bytes are; what is not known of both says nothing."""
    assert changed is LOCAL.is_other(now, same_server=True)
    assert changed is now.is_other(LOCAL, same_server=False)


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        pytest.param(FILE, (), id="the-same"),
        pytest.param(FILE.model_copy(update={"size": 8}), (FILE.name,), id="another-size"),
        pytest.param(FILE.model_copy(update={"modified": 1e9 + 60}), (FILE.name,), id="another-time"),
        pytest.param(FILE.model_copy(update={"modified": 1e9 + 2}), (), id="the-clock-of-another-file-system"),
        pytest.param(FILE.model_copy(update={"modified": 1e9 + 2.01}), (FILE.name,), id="just-another-time"),
        pytest.param(FILE.model_copy(update={"modified": 1e9 + 60, "local": True}), (), id="seen-otherwise"),
    ],
)
def test_replaced_model_file_is_found(
    asked: ExpectedInputs, store: Store, now: FileRecord, changed: tuple[str, ...]
) -> None:
    """A model file of another size, or on the same server of another time, is not what the picture was made from."""
    cell = matrix(asked.plan)[2]
    evidence = keep(asked, store, cell, files=(FILE,))
    there = ExpectedInputs(
        plan=asked.plan, workflow=asked.workflow, loras=asked.loras, simulated=False, files={evidence.server: (now,)}
    )

    assert changed == there.changed_files(evidence)
    assert bool(changed) == there.mismatch(cell, evidence).startswith(f"{FILE.name} is another file now")


def test_copy_on_another_server_may_have_another_time(asked: ExpectedInputs, store: Store) -> None:
    """Two servers' copies of a model were saved at different times: only their sizes are compared."""
    evidence = keep(asked, store, matrix(asked.plan)[2], files=(FILE,))
    elsewhere = evidence.server.model_copy(update={"url": "http://b:1"})

    assert () == evidence.changed_files((FILE.model_copy(update={"modified": 2e9}),), elsewhere)
    assert (FILE.name,) == evidence.changed_files((FILE.model_copy(update={"size": 9}),), elsewhere)


def test_files_are_those_that_the_workflow_names(asked: ExpectedInputs, tmp_path: Path) -> None:
    """The base model is recorded as the server lists it; the file itself is looked at where it is at hand."""
    listed = {
        f"checkpoints/{BASE}": ModelFile(name=BASE, pathIndex=0, size=7, modified=1e9),
        "checkpoints/other.safetensors": ModelFile(name="other.safetensors", pathIndex=0, size=8, modified=1e9),
    }
    choices = ServerChoices(url="http://a:1", base_models=(BASE,), samplers=(), schedulers=(), files=listed)
    there = tmp_path / "models" / "checkpoints" / BASE
    there.parent.mkdir(parents=True)

    assert (FILE,) == files_used(asked, choices, base_model=BASE, comfyui=tmp_path)
    there.write_bytes(b"replaced")
    (seen,) = files_used(asked, choices, base_model=BASE, comfyui=tmp_path)
    assert (8, True) == (seen.size, seen.local)


def test_files_are_also_loras_in_dictionaries_and_tags(asked: ExpectedInputs, tmp_path: Path) -> None:
    """A LoRA that a dictionary or a tag loads counts as one that an input names; switched off, it does not."""
    names = ("plain", "style", "styles/tag", "off", "unnamed")
    listed = {f"loras/{name}.safetensors": ModelFile(name=name, pathIndex=0, size=7, modified=1e9) for name in names}
    choices = ServerChoices(url="http://a:1", base_models=(BASE,), samplers=(), schedulers=(), files=listed)
    graph = asked.filled(matrix(asked.plan)[0], base_model=BASE, lora_file=None).graph
    sampler = next(content for content in graph.values() if content["class_type"] == "KSampler")
    own = tmp_path / "own.json"
    loaders: dict[str, Any] = {
        "a": {"class_type": "LoraLoader", "inputs": {"lora_name": "plain.safetensors"}},
        "b": {
            "class_type": "Power Lora Loader (rgthree)",
            "inputs": {
                "lora_1": {"on": True, "lora": "style.safetensors", "strength": 1},
                "lora_2": {"on": False, "lora": "off.safetensors", "strength": 1},
            },
        },
        "c": {"class_type": "LoraTagLoader", "inputs": {"text": "a forest <lora:tag:1>"}},
    }
    for node, content in loaders.items():
        content["inputs"] |= {"model": sampler["inputs"]["model"]}
        sampler["inputs"]["model"] = [node, 0]
    own.write_text(json.dumps(graph | loaders), encoding="utf-8")

    used = files_used(replace(asked, workflow=Workflow.read(own)), choices, base_model=BASE)
    assert [f"loras/{name}.safetensors" for name in names[:3]] == [one.name for one in used]


def test_several_versions_are_named(kept: dict[Cell, Evidence], plan: Plan) -> None:
    """Pictures of several versions are counted, with what makes them one; pictures of one version are no news."""
    cells = matrix(plan)
    assert [] == list(several_populations(kept.values()))
    for cell in cells[::2]:
        kept[cell] = kept[cell].model_copy(update={"server": served("0.33.0").info})

    (told,) = several_populations(kept.values())
    assert "3 on ComfyUI 0.33.0 (RTX 4090), 3 on ComfyUI 0.3.64 (RTX 4090)" in told
