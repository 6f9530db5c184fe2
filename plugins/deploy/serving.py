"""What production is rendered with beside the LoRA: whether it is what it was when production was proven."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from plugins.comfyui.server import Server
from plugins.evidence.deployments import Deployment, Serving
from plugins.generate.model_files import files_again


def serving_now(deployment: Deployment, servers: Sequence[Server], *, comfyui: Path) -> tuple[Serving, ...]:
    """Return what servers are now, and have under the names of the files on record. Raises `ComfyUIError`."""
    recorded = {file.name: file for one in deployment.serving for file in one.files}.values()
    return tuple(Serving(server=one.info, files=files_again(recorded, one.client, comfyui=comfyui)) for one in servers)


def model_files_are_as_proven(deployment: Deployment, now: Sequence[Serving]) -> list[str]:
    """Look for model files that were replaced or taken away since production was proven with them."""
    return [
        f"{change}, so what production renders is not what was judged. Put the former file back, or render with what "
        "is there and judge again: pytest -m generate"
        for one in now
        for change in _changed(deployment, one)
    ]


def unproven_servers(deployment: Deployment, now: Sequence[Serving]) -> Iterator[str]:
    """Yield each server that is of another kind than when production was proven there."""
    for one in now:
        found = [one.server.differences(then.server) for then in _then(deployment, one)]
        if differences := min(found, key=len, default=()):
            step = deployment.selected.removeprefix("step")
            yield (
                f"Since then {one.server.url} was changed ({'; '.join(differences)}): what production renders there "
                f"now was not checked. To prove it, deploy again: pytest -m deploy --selected-step={step}"
            )


def _then(deployment: Deployment, now: Serving) -> Sequence[Serving]:
    """Return what is on record of a server; of one at another address, any may be it."""
    return [one for one in deployment.serving if one.server.is_at(now.server)] or deployment.serving


def _changed(deployment: Deployment, now: Serving) -> list[str]:
    """Return the model files that a server has not as any server on record had them."""
    return min((_changed_since(then, now) for then in _then(deployment, now)), key=len, default=[])


def _changed_since(then: Serving, now: Serving) -> list[str]:
    there = {file.name: file for file in now.files}
    same = then.server.is_at(now.server)
    return [
        f"{file.name} at {now.server.url} {'is another file now' if file.name in there else 'is gone'}"
        for file in then.files
        if file.name not in there or file.is_other(there[file.name], same_server=same)
    ]
