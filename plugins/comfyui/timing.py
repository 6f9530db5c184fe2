"""How long everything may take that waits for a ComfyUI server, in one value that is passed in."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds, unless a line says otherwise; a run uses these defaults, and a test passes its own.

    The plan's `timeout` is not among them: it is the user's, and `Server` and `Timeouts` take it beside these.
    """

    connect: float = 5.0
    """To open a connection: HTTP, the event socket, a Dask scheduler."""
    answer: float = 30.0
    """Until the first byte of an HTTP answer, and between two."""
    body: float = 120.0
    """For all of an HTTP answer."""
    pause: float = 0.25
    """Before something is tried again for the first time; each pause after it is twice as long."""
    longest_pause: float = 5.0
    """A pause grows no longer than this."""
    poll: float = 1.0
    """Between two looks at the history while the event socket says nothing, and at the workers of a cluster."""
    written: float = 0.02
    """Between two looks at the history after the end: it is written last (docs/comfyui.md, "History comes last")."""
    reconnect: float = 1.0
    """Before the event socket is opened again."""
    reach: float = 60.0
    """That a server with a prompt of ours may not answer at all, as while it is restarted; at least."""
    reach_fraction: float = 0.1
    """Part of the plan's `timeout` that a server may not answer, where that is longer."""
    gone: float = 3.0
    """That a prompt may be neither in the history nor in the queue, since one follows the other."""
    others: float = 6.0
    """Times the plan's `timeout` that one prompt of somebody else's may take: its progress does not reach us."""
    let_go: float = 10.0
    """For a server to stop an interrupted prompt: it looks between nodes and sampling steps."""
    fetch: float = 5.0
    """That a finished picture may not be there yet, or break off."""
    listed: float = 10.0
    """For a picker to notice a new file: it looks at the folder's time, which a network share may delay."""
    describe: float = 60.0
    """For a Dask worker to say what its ComfyUI is."""
    leave: float = 15.0
    """For Dask workers to withdraw their prompts."""

    def reach_of(self, timeout: float) -> float:
        """Return the seconds that a server may not answer at all, for the plan's `timeout`."""
        return max(self.reach, timeout * self.reach_fraction)
