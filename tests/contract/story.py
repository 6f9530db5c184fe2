"""A run's frames in short, and what they should be.

`told` shortens a frame only if its data have exactly the shape that ComfyUI sends: any other stays as it is, and
differs from every expectation. Left out is what a server may choose: times, ids, the order of sets, the words of
objects and tracebacks.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from tests.contract.wire import Frame, Run, status

Line = tuple[Any, ...]
_META = ("node_id", "display_node_id", "real_node_id")


def told(run: Run) -> list[Line]:
    """Shorten the frames that a client heard of a run, from its POST to its end marker."""
    return [line(frame, run.prompt_id) for frame in run.frames]


def line(frame: Frame, prompt_id: str) -> Line:  # noqa: PLR0911 (one for each type)
    """Shorten one frame; one that is not as it should be stays whole."""
    kind, data = frame
    rest = dict(data)
    if kind == "status":
        remaining = data.get("status", {}).get("exec_info", {}).get("queue_remaining")
        return (kind, remaining) if data == status(remaining) else (kind, "odd", data)
    if rest.pop("prompt_id", None) != prompt_id:
        return kind, "odd", data
    if kind == "progress_state" and rest.keys() == {"nodes"}:
        return kind, {node: _progress(node, state, prompt_id) for node, state in rest["nodes"].items()}
    if kind == "executing" and rest in ({"node": None}, {"node": rest.get("node"), "display_node": rest.get("node")}):
        return kind, rest["node"]
    if kind == "progress" and rest.keys() == {"value", "max", "node"}:
        return kind, rest["node"], rest["value"], rest["max"]
    if (
        kind == "executed"
        and rest.keys() == {"node", "display_node", "output"}
        and rest["display_node"] == rest["node"]
    ):
        return kind, rest["node"], rest["output"]
    return message(kind, data, prompt_id)


def message(kind: str, data: dict[str, Any], prompt_id: str) -> Line:
    """Shorten a frame that the history keeps too."""
    rest = dict(data)
    if rest.pop("prompt_id", None) != prompt_id or not isinstance(rest.pop("timestamp", None), int):
        return kind, "odd", data
    if kind in {"execution_start", "execution_success"} and not rest:
        return (kind,)
    if kind == "execution_cached" and rest.keys() == {"nodes"}:
        return kind, sorted(rest["nodes"])
    if kind == "execution_interrupted" and rest.keys() == {"node_id", "node_type", "executed"}:
        return kind, rest["node_id"], rest["node_type"], sorted(rest["executed"])
    if kind == "execution_error" and rest.keys() == {
        *("node_id", "node_type", "executed", "exception_message", "exception_type"),
        *("traceback", "current_inputs", "current_outputs"),
    }:
        strings = all(isinstance(text, str) for text in rest["traceback"])
        lists = all(isinstance(value, list) for value in rest["current_inputs"].values())
        if strings and lists and rest["exception_message"].endswith("\n"):
            return (
                *(kind, rest["node_id"], rest["node_type"], rest["exception_type"]),
                rest["exception_message"].split("\n")[0],
                {
                    "executed": sorted(rest["executed"]),
                    "inputs": sorted(rest["current_inputs"]),
                    "outputs": sorted(rest["current_outputs"]),
                },
            )
    return kind, "odd", data


def _progress(node: str, state: Any, prompt_id: str) -> Any:
    whole = {**dict.fromkeys(_META, node), "parent_node_id": None, "prompt_id": prompt_id}
    short = {name: state.get(name) for name in ("value", "max", "state")}
    if state != {**whole, **short}:
        return state
    return f"{short['value']}/{short['max']} {short['state']}"


def expected(  # noqa: PLR0913 (a story has many sides)
    *,
    cached: Iterable[str] = (),
    ran: Sequence[str],
    shown: dict[str, Any] | None = None,
    steps: int = 2,
    sampler: str = "3",
    end: Line | None = None,
    reported: Sequence[int] = (),
) -> list[Line]:
    """Write the story of a prompt on an idle server: the nodes that ran, in order, and what the last showed.

    `end` is an error or interruption in the last node that ran; if that is the sampler, after the steps `reported`.
    A node in `shown` that did not run repeats what it showed before.
    """
    shown = shown or {}
    lines: list[Line] = [("status", 1), ("status", 1), ("execution_start",), ("execution_cached", sorted(cached))]
    nodes: dict[str, str] = {}

    def state(node: str, now: str) -> None:
        nodes[node] = now
        lines.append(("progress_state", dict(nodes)))

    for node in ran:
        last = node == ran[-1] and end is not None
        state(node, "0.0/1.0 running")
        lines.append(("executing", node))
        if node == sampler:
            for step in reported if last else range(1, steps + 1):
                state(node, f"{step}/{steps} running")
                lines.append(("progress", node, step, steps))
        if not last:
            if node in shown:
                lines.append(("executed", node, shown[node]))
            state(node, f"{steps}/{steps} finished" if node == sampler else "1.0/1.0 finished")
    for node in shown.keys() - set(ran):
        lines.append(("executed", node, shown[node]))
        state(node, "1/1 finished")
    return [*lines, end or ("execution_success",), ("status", 0), ("executing", None)]


def history(run: Run) -> dict[str, Any]:
    """Shorten a history entry as its frames are."""
    entry = run.history
    return {
        **{name: value for name, value in entry.items() if name != "prompt"},
        "status": {
            **entry["status"],
            "messages": [message(told[0], told[1], run.prompt_id) for told in entry["status"]["messages"]],
        },
    }


def meta(node: str) -> dict[str, Any]:
    """Return what a history entry says of an output node."""
    return {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node}
