"""What production is rendered with: another base model fails a claim, another ComfyUI is said."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plugins.comfyui.answers import ModelFile, ServerInfo
from plugins.deploy.serving import model_files_are_as_proven, serving_now, unproven_servers
from plugins.deploy.standing import headline
from plugins.deploy.verified import Verified
from plugins.evidence.deployments import Deployment, Serving
from plugins.evidence.evidence import FileRecord
from tests.plugins.deploy.judged_plan import Judged

BASE = FileRecord(name="checkpoints/base.safetensors", size=7, modified=1e9, local=False)
VAE = FileRecord(name="vae/vae.safetensors", size=8, modified=1e9, local=False)
OTHER = BASE.model_copy(update={"modified": 2e9})
HOLDS = Verified(claim="it is there", outcome="passed", name="it_is_there")


def at(url: str, *files: FileRecord, version: str = "0.3.64") -> Serving:
    """Return a server with some files."""
    server = ServerInfo(url=url, comfyui_version=version, device="RTX 4090", simulated=False)
    return Serving(server=server, files=files)


def deployed(judged: Judged, *serving: Serving) -> Deployment:
    """Return a deployment that was proven on some servers."""
    return judged.deploy().model_copy(update={"serving": serving})


@pytest.mark.parametrize(
    ("now", "told"),
    [
        pytest.param([at("http://a:1", BASE, VAE), at("http://b:1", OTHER, VAE)], [], id="as-then"),
        pytest.param(
            [at("http://a:1", BASE, VAE), at("http://b:1", BASE, VAE)],
            ["checkpoints/base.safetensors at http://b:1 is another file now, so "],
            id="replaced-on-the-second-server",
        ),
        pytest.param([at("http://a:1", VAE)], ["checkpoints/base.safetensors at http://a:1 is gone, so "], id="gone"),
        pytest.param([at("http://c:1", OTHER, VAE)], [], id="at-another-address"),
        pytest.param(
            [at("http://c:1", BASE, VAE.model_copy(update={"size": 9}))],
            ["vae/vae.safetensors at http://c:1 is another file now, so "],
            id="replaced-at-another-address",
        ),
    ],
)
def test_replaced_model_file_is_named(judged: Judged, now: list[Serving], told: list[str]) -> None:
    """Each server's files are held against what it had; those of an unknown address against any server's."""
    deployment = deployed(judged, at("http://a:1", BASE, VAE), at("http://b:1", OTHER, VAE))

    found = model_files_are_as_proven(deployment, now)
    assert told == [one[: len(start)] for one, start in zip(found, told, strict=True)]


def test_files_are_looked_up_by_their_recorded_names(judged: Judged, tmp_path: Path) -> None:
    """Every server is asked for the files on record alone; what this machine has is read here."""
    (tmp_path / "models" / "vae").mkdir(parents=True)
    (tmp_path / "models" / VAE.name).write_bytes(b"replaced")
    listed = (ModelFile(name="base.safetensors", pathIndex=0, size=7, modified=1e9),)
    client = SimpleNamespace(model_files=lambda folder: listed if folder == "checkpoints" else ())
    server: Any = SimpleNamespace(info=at("http://a:1").server, client=client)

    (now,) = serving_now(deployed(judged, at("http://a:1", BASE, VAE)), (server,), comfyui=tmp_path)
    base, vae = now.files
    assert (BASE, (VAE.name, 8, True)) == (base, (vae.name, vae.size, vae.local))


def test_upgraded_comfyui_is_said(judged: Judged) -> None:
    """A server of another version than production was proven on is named below what is live, with what to type."""
    deployment = deployed(judged, at("http://a:1"), at("http://b:1", version="0.33.0"))
    now = (at("http://b:1", version="0.33.0"), at("http://a:1", version="0.33.0"))

    assert [] == list(unproven_servers(deployment, deployment.serving))
    _, told = headline(judged.plan, deployment, (HOLDS,), now=now).splitlines()
    assert told == (
        "Since then http://a:1 was changed (ComfyUI 0.33.0 instead of 0.3.64): what production renders there now was "
        "not checked. To prove it, deploy again: pytest -m deploy --selected-step=600"
    )


def test_deployment_keeps_what_it_was_proven_with(judged: Judged) -> None:
    """The servers of a deployment, and their model files, are on record."""
    deployment = judged.deploy_selected(replace(judged.selected(), serving=(at("http://a:1", BASE),)))

    assert (at("http://a:1", BASE),) == deployment.serving == judged.record.serving


def test_every_version_in_use_is_named(judged: Judged) -> None:
    """Where production is proven on another version than it was judged on, the headline names both; else the one."""
    later, same = (deployed(judged, at("http://127.0.0.1:8188", version=version)) for version in ("0.33.0", "0.3.64"))

    assert (
        "proven on http://127.0.0.1:8188 (ComfyUI 0.33.0): all 2 rows render what was judged on ComfyUI 0.3.64, pixel"
        in headline(judged.plan, later, (HOLDS,))
    )
    assert "(ComfyUI 0.3.64): all 2 rows render what was judged, pixel" in headline(judged.plan, same, (HOLDS,))
