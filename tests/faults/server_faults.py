"""What a server or the network may do, and what is to become of the cells: a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from plugins.comfyui.timing import Timing
from stand_in.versions import LATER, TODAY, Version
from tests.faults import fault_catalogue as p
from tests.faults.fault_catalogue import TARGET
from tests.faults.faulty_server import CELLS, Fault, json_answer

AGAIN = "un this again"
TIMEOUT = "raise `timeout` under [comfyui] in the plan"
TERMINAL = "ook at its terminal"
HASTY = Timing(poll=0.05, pause=0.02, reconnect=0.02)
"""Pauses that are shorter here. How long a thing is waited for is shortened only where a row waits for its end."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A fault, and what is to become of the cells: those that fail, with words that are to be said."""

    fault: Callable[[], Fault]
    fails: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    timeout: float = 30.0
    at_once: int = 3
    waits: Mapping[str, float] = field(default_factory=dict)
    fronted: bool = False
    dialect: Version = TODAY
    theirs: frozenset[str] = frozenset({"success"})
    """How other people's prompts may end."""
    left: int = 0
    """How many of ours nobody can take out of the queue."""

    @property
    def timing(self) -> Timing:
        """Return how long this row waits."""
        return replace(HASTY, **self.waits)


def finished(fault: Callable[[], Fault], **details: Any) -> Row:
    """Expect every picture, made once."""
    return Row(fault=fault, **details)


def one_fails(fault: Callable[[], Fault], *words: str, **details: Any) -> Row:
    """Expect the target to fail alone."""
    return Row(fault=fault, fails={TARGET: words}, **details)


def stops(fault: Callable[[], Fault], *words: str, fine: int = 0, **details: Any) -> Row:
    """Expect one reason for every cell after the first `fine`, which are rendered one by one."""
    return Row(fault=fault, fails=dict.fromkeys(CELLS[fine:], words), at_once=1, **details)


def page(status: int, **headers: str) -> Callable[[], Any]:
    """Answer as a proxy does."""
    return lambda: p.page(status, **headers)


HISTORY, QUEUE = p.is_about("/history"), p.is_about("/queue")
LOSING = {"gone": 0.2}
FETCHING = {"fetch": 0.2}
REACHING: dict[str, Any] = {"waits": {"reach": 0.5, "reach_fraction": 0.0}}

SOCKET = {
    "socket dropped once": finished(lambda: p.socket_dropped(1)),
    "socket dropped for good": finished(lambda: p.socket_dropped(10**9)),
    "socket open and silent": finished(lambda: p.framing(lambda *_: ())),
    "socket refused with 403": finished(lambda: p.on_sockets(lambda *_: p.page(403))),
    "socket answered 502 by a proxy": finished(lambda: p.on_sockets(lambda *_: p.page(502))),
    "socket redirected": finished(lambda: p.on_sockets(lambda *_: p.page(302, Location="/elsewhere"))),
    "socket opened and closed at once": finished(lambda: p.on_sockets(p.upgrade_and_close)),
    "socket accepted and never opened": finished(lambda: p.on_sockets(p.never), waits={"connect": 0.5}),
    "socket answered with garbage": finished(lambda: p.on_sockets(p.garbage)),
    "socket cut before its answer": finished(lambda: p.on_sockets(lambda _, request: p.reset(request))),
}
FRAMES = {
    "frames in reverse order": finished(p.backwards),
    "frames held back by a proxy that buffers": finished(lambda: p.held_back(40)),
    "frames doubled": finished(lambda: p.framing(lambda _, event, data: [(event, data)] * 3)),
    "frames before the reply to the POST": finished(p.answered_late),
    "end marker never comes": finished(
        lambda: p.framing(lambda _, event, data: [] if "node" in data and not data["node"] else [(event, data)])
    ),
    "frames of unknown types": finished(lambda: p.framing(p.odd_types)),
    "frames with senseless values": finished(lambda: p.framing(p.odd_values)),
    "frames that are broken JSON": finished(lambda: p.raw("{", "", '{"type": ', "\x00", "[" * 100_000)),
    "frames that are no objects": finished(lambda: p.raw("null", "7", '"x"', "[]", '{"data": []}', '{"data": {}}')),
    "frames that are no text": finished(p.not_utf8),
    "binary frames of every kind": finished(
        lambda: p.raw(b"", b"\x00", b"\x00\x00\x00\x01\x00\x00\x00\x01jpeg", b"\x00\x00\x00\x04\xff\xff\xff\xff{}")
    ),
    "previews while sampling": finished(Fault, dialect=replace(TODAY, previews=True)),
    "frames of 20 MB": finished(lambda: p.framing(p.huge)),
    "failures of other prompts": finished(lambda: p.framing(p.of_others)),
    "failure told and not so": finished(lambda: p.framing(p.false_failure)),
    "success told and not so": one_fails(p.claimed_success, "OutOfMemoryError", "smaller pictures", AGAIN),
}
POST = {
    "POST taken, connection reset": finished(lambda: p.lost_answer(lambda _, request: p.reset(request))),
    "POST taken, answer too late": finished(lambda: p.lost_answer(p.never), waits={"answer": 2.0}),
    "POST taken, answer cut": finished(lambda: p.lost_answer(lambda _, request: p.cut(request, b'{"prompt_id"'))),
    "POST taken, answered 200 with a page": finished(lambda: p.lost_answer(lambda *_: p.page(200))),
    "POST taken, answered 502 with a page": finished(lambda: p.lost_answer(lambda *_: p.page(502))),
    "POST taken, answered 500": finished(lambda: p.lost_answer(lambda *_: p.page(500))),
    "POST taken, every answer lost": finished(lambda: p.lost_answer(lambda _, request: p.reset(request), times=10**9)),
    "POST taken, answer lost, no looking for a while": finished(p.lost_answer_and_no_looking),
    "POST that comes late, after it was sent again": finished(p.late_copy),
    "POST that comes late, and the second is refused": finished(p.refused_copy),
    "POST reset before it was taken": finished(lambda: p.resetting(p.is_post, times=2)),
    "POST answered 500 once": finished(lambda: p.answering(p.is_post, page(500), times=1)),
    "POST answered 500 for one workflow": one_fails(p.broken_for_target, "with 500", "3 times", TERMINAL, AGAIN),
    "POST answered 500 for ever": stops(lambda: p.answering(p.is_post, page(500)), "with 500", TERMINAL, AGAIN),
    "POST answered 502 with a page twice": finished(lambda: p.answering(p.is_post, page(502), times=2)),
    "POST answered 504 once": finished(lambda: p.answering(p.is_post, page(504), times=1)),
    "POST answered 503, Retry-After in seconds": finished(
        lambda: p.answering(p.is_post, page(503, Retry_After="1"), times=1)
    ),
    "POST answered 429, Retry-After as a date": finished(
        lambda: p.answering(p.is_post, page(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), times=2)
    ),
    "POST answered 429, Retry-After absurd": finished(
        lambda: p.answering(p.is_post, page(429, Retry_After="9" * 5000), times=1)
    ),
    "POST answered 503, Retry-After a year": finished(
        lambda: p.answering(p.is_post, page(503, Retry_After="31536000"), times=1)
    ),
    "POST answered 503 for ever": stops(
        lambda: p.answering(p.is_post, page(503)), "with 503", TERMINAL, AGAIN, TIMEOUT, **REACHING
    ),
    "POST answered 403": stops(lambda: p.answering(p.is_post, page(403)), "with 403", "COMFYUI_HEADERS"),
    "POST redirected": stops(
        lambda: p.answering(p.is_post, page(307, Location="/elsewhere")), "with 307", "--comfyui-url"
    ),
    "POST taken under another id": stops(p.other_id, "another id", "Update ComfyUI"),
    "POST refused in an odd shape": one_fails(p.refused_target, "refused the workflow", "quota"),
}
WORKER = {
    "out of memory on one cell": one_fails(
        lambda: Fault(before_node=p.out_of_memory), "node 7 (KSampler)", "OutOfMemoryError", "smaller pictures", AGAIN
    ),
    "disk full on the server": one_fails(
        lambda: Fault(saved=p.full_disk), "(SaveImage)", "No space left on device", "Make room", AGAIN
    ),
    "error without words": one_fails(lambda: p.failing("", ""), "(VAEDecode)", TERMINAL, AGAIN),
    "error of many lines with escape codes": one_fails(
        lambda: p.failing("E", "\x1b[2J<script>\n" * 10_000), "\\x1b[2J<script> \\x1b", TERMINAL, AGAIN
    ),
    "worker dead, and accepts": stops(
        lambda: p.dies(2), "no sign of life", TIMEOUT, TERMINAL, fine=1, left=1, timeout=4.0,
        waits={"let_go": 0.2}, theirs=frozenset({"success", "unfinished"}),
    ),
    "one cell hangs, others wait behind it": one_fails(p.hangs, "no sign of life", TIMEOUT, timeout=5.0),
    "one cell hangs, others come after it": one_fails(p.hangs, "no sign of life", TIMEOUT, timeout=5.0, at_once=1),
    "one cell hangs, and is over when it is interrupted": one_fails(
        p.interrupted_too_late, "no sign of life", TIMEOUT, timeout=5.0, at_once=1
    ),
    "models take long to load, each within the time": finished(lambda: p.slow_loading(1.75), timeout=5.0),
    "restarted once, queue and history lost": finished(
        p.restarting_once, waits=LOSING, fronted=True, theirs=frozenset({"success", "unfinished"})
    ),
    "restarted at one cell each time": one_fails(
        lambda: p.restarting(lambda fault, prompt_id: fault.cell(prompt_id) == TARGET),
        "has lost this picture", AGAIN, at_once=1, waits=LOSING, fronted=True,
    ),
    "away between two cells, and back": finished(lambda: p.going_away(0.5), fronted=True),
    "away for good": stops(
        lambda: p.going_away(None), "has not answered", TERMINAL, AGAIN, TIMEOUT, fine=1, **REACHING, fronted=True
    ),
    "never answers any more": stops(
        lambda: p.silent_for(lambda _: True), "did not answer", TERMINAL, AGAIN, TIMEOUT,
        waits={**REACHING["waits"], "answer": 2.0},
    ),
}  # fmt: skip
HISTORIES = {
    "history late after success": finished(lambda: Fault(before_history=p.late_history)),
    "history answered 500 for a while": finished(lambda: p.answering(HISTORY, page(500), times=7)),
    "history answered 500 for ever": stops(
        lambda: p.answering(HISTORY, page(500)), "GET /history", "with 500", TERMINAL, AGAIN, TIMEOUT, **REACHING
    ),
    "history of an odd shape for a while": finished(lambda: p.odd_history(lambda _: ["x"], times=5)),
    "history with an odd entry for a while": finished(lambda: p.odd_history(lambda key: {key: "done"}, times=5)),
    "history without outputs": one_fails(
        lambda: p.odd_history(p.history_of({}), only=TARGET), "saved 0 pictures instead of 1", AGAIN
    ),
    "history with outputs of an odd shape": one_fails(
        lambda: p.odd_history(p.history_of([{"9": 1}]), only=TARGET), "saved 0 pictures instead of 1", AGAIN
    ),
    "history with two pictures": one_fails(
        lambda: p.odd_history(p.history_of({"9": {"images": [{}, {}]}}), only=TARGET), "saved 2 pictures", AGAIN
    ),
    "history with a status of an odd shape": one_fails(
        lambda: p.odd_history(p.history_of({}, ["success"]), only=TARGET), "without a reason", TERMINAL, AGAIN
    ),
    "queue answered 500 for a while": finished(lambda: p.answering(QUEUE, page(500), times=7)),
    "queue of an odd shape for a while": finished(
        lambda: p.answering(QUEUE, lambda: json_answer({"queue_running": 5}), times=5)
    ),
    "every third answer cut": finished(p.every_third_cut),
}
PICTURES = {
    "picture 404 once": finished(lambda: p.viewing(lambda *_: p.page(404), times=1)),
    "picture 404 for ever": one_fails(
        lambda: p.viewing(lambda *_: p.page(404), only=TARGET), "GET /view with 404", AGAIN, waits=FETCHING
    ),
    "picture in a slow drip": finished(lambda: p.viewing(p.dripping)),
    "picture cut once": finished(lambda: p.viewing(lambda request, png: p.cut(request, png[:99]), times=1)),
    "picture cut for ever": one_fails(
        lambda: p.viewing(lambda request, png: p.cut(request, png[:99]), only=TARGET),
        "IncompleteRead", AGAIN, **REACHING,
    ),
    "picture shortened, and not told": finished(
        lambda: p.viewing(lambda _, png: web.Response(body=png[: len(png) // 2]), times=1)
    ),
    "picture is a page once": finished(lambda: p.viewing(lambda *_: p.page(200), times=1)),
    "picture is a page for ever": one_fails(
        lambda: p.viewing(lambda *_: p.page(200), only=TARGET), "it is not a PNG", AGAIN, waits=FETCHING
    ),
    "picture empty once": finished(lambda: p.viewing(lambda *_: web.Response(), times=1)),
    "picture redirected": one_fails(
        lambda: p.viewing(lambda *_: p.page(302, Location="/elsewhere"), only=TARGET),
        "GET /view with 302", "--comfyui-url", waits=FETCHING,
    ),
    "picture answered 503 for a while": finished(
        lambda: p.viewing(lambda *_: p.page(503), times=20, only=TARGET), waits=FETCHING
    ),
}  # fmt: skip
OTHERS = {
    "others before, between and after ours": finished(p.crowded),
    "others' picture takes longer than our time": finished(lambda: p.occupied(p.for_seconds(5.5)), timeout=5.0),
    "others' picture takes for ever": stops(
        lambda: p.occupied(lambda _: False), "somebody else's picture", TIMEOUT, AGAIN, timeout=0.2
    ),
    "somebody interrupts ours": one_fails(p.interrupted, "Somebody interrupted", AGAIN),
    "somebody clears the queue": finished(
        lambda: p.taken_out(all_of_them=True), waits=LOSING, theirs=frozenset({"success", "gone"})
    ),
    "somebody deletes one of ours": finished(lambda: p.taken_out(all_of_them=False), waits=LOSING),
    "a newer server's shapes": finished(Fault, dialect=LATER),
    "a proxy that closes connections behind our back": finished(p.hanging_up, fronted=True),
}
TABLE = {**SOCKET, **FRAMES, **POST, **WORKER, **HISTORIES, **PICTURES, **OTHERS}
SIMILAR = {
    "socket answered 502 by a proxy",
    "socket redirected",
    "socket cut before its answer",
    "frames in reverse order",
    "frames doubled",
    "frames of unknown types",
    "frames with senseless values",
    "frames that are broken JSON",
    "frames that are no objects",
    "frames that are no text",
    "binary frames of every kind",
    "previews while sampling",
    "failures of other prompts",
    "POST taken, answer cut",
    "POST taken, answered 200 with a page",
    "POST taken, answered 502 with a page",
    "POST taken, answered 500",
    "POST answered 502 with a page twice",
    "POST answered 504 once",
    "error without words",
    "one cell hangs, others come after it",
    "one cell hangs, and is over when it is interrupted",
    "models take long to load, each within the time",
    "history of an odd shape for a while",
    "history with an odd entry for a while",
    "history with outputs of an odd shape",
    "history with a status of an odd shape",
    "queue of an odd shape for a while",
    "picture 404 once",
    "picture is a page once",
    "picture empty once",
    "others' picture takes longer than our time",
    "a newer server's shapes",
    "socket refused with 403",
    "socket dropped once",
    "socket open and silent",
    "POST answered 429, Retry-After as a date",
    "POST answered 429, Retry-After absurd",
    "POST answered 500 once",
    "POST redirected",
    "queue answered 500 for a while",
    "history with two pictures",
    "picture cut once",
    "picture 404 for ever",
    "picture redirected",
    "somebody deletes one of ours",
}
"""Rows that come to the same as another, that the tests of `plugins/comfyui` have too, or that wait long: for CI."""
