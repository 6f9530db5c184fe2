"""`python -m stand_in`: a simulated ComfyUI, started by hand, for any ComfyUI client."""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from stand_in.training import TrainingRun, TrainingRunError


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C, or until stdin closes where that was asked for. Return the exit status."""
    options = _parser().parse_args(arguments)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_serve(options))
    return 0


async def _serve(options: argparse.Namespace) -> int:
    # Imported late, so that --help and a wrong option answer at once.
    from stand_in.server import Server  # noqa: PLC0415
    from stand_in.serving import run_server  # noqa: PLC0415
    from stand_in.workspace import make_workspace  # noqa: PLC0415

    try:
        run = TrainingRun() if options.run is None else TrainingRun.from_json(options.run.read_bytes())
        workspace = make_workspace(run, options.workspace)
    except TrainingRunError as error:
        print(f"{options.run} describes no training run: {error}", file=sys.stderr)  # noqa: T201 (a program of its own)
        return 1
    except OSError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    stop = asyncio.Event()
    if options.until_stdin_closes:
        _when_stdin_closes(asyncio.get_running_loop(), stop)
    server = Server(workspace.comfyui, seconds_per_image=options.seconds_per_image)

    def ready(url: str) -> None:
        print(f"ready {url}", flush=True)  # noqa: T201

    try:
        await run_server(server, port=options.port, ready=ready, stop=stop)
    except OSError as error:
        print(f"Port {options.port} cannot be used: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _when_stdin_closes(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    def watch() -> None:
        # Not sys.stdin: a thread that waits in its buffer would hold a lock that the interpreter needs to end.
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, name="stdin watcher", daemon=True).start()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stand_in", description=__doc__)
    parser.add_argument("--port", type=int, default=8188, help="0 picks a free one (default: 8188)")
    parser.add_argument("--workspace", type=Path, required=True, help="folder to work in, made if missing")
    parser.add_argument(
        "--run",
        type=Path,
        metavar="FILE",
        help="training run whose checkpoints to make, as stand_in.training.TrainingRun in JSON (default: its defaults)",
    )
    parser.add_argument(
        "--seconds-per-image",
        type=float,
        default=0.3,
        metavar="S",
        help="how long sampling takes (default: 0.3)",
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when whoever started this does")
    return parser


if __name__ == "__main__":
    sys.exit(main())
