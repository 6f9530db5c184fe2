"""Ways in which the stand-in could drift away from ComfyUI, and for each a scenario that must notice it."""

# ruff: noqa: ARG005, D103  (a mutation's name says what it does; what it puts in place repeats a signature)

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest
from aiohttp import web

from stand_in import caches, folders, routes, server, validation
from stand_in import views as demo_views
from stand_in.caches import Caches
from stand_in.catalogue import Catalogue
from stand_in.execution import Executor
from stand_in.faults import Faults
from stand_in.folders import Folders
from stand_in.graph import Schedule
from stand_in.nodes import loaders, sampling
from stand_in.prompt_queue import Outcome, PromptQueue
from stand_in.routes import Routes
from stand_in.server import Server
from stand_in.websockets import WebSockets
from tests.contract import test_contract_loras as loras
from tests.contract import test_contract_nodes as nodes
from tests.contract import test_contract_queue as queue
from tests.contract import test_contract_refusals as refusals
from tests.contract import test_contract_runs as runs
from tests.contract import test_contract_sockets as sockets
from tests.contract import test_contract_views as views
from tests.contract.subject import Subject

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One way to drift, and who notices."""

    apply: Callable[[Patch], object]
    scenario: Callable[[Subject], None]


MUTATIONS: Final[dict[str, Mutation]] = {}


def noticed_by(scenario: Callable[..., None], **case: Any) -> Callable[..., Any]:
    """Note a mutation under its function's name; `case` are a scenario's parameters."""

    def note(apply: Callable[[Patch], object]) -> Callable[[Patch], object]:
        name = apply.__name__.replace("_", " ")
        MUTATIONS[name] = Mutation(apply=apply, scenario=partial(scenario, **case))
        return apply

    return note


def frames(patch: Patch, change: Callable[[str, dict[str, Any]], list[tuple[str, dict[str, Any]]]]) -> None:
    """Send other frames than those that are due."""
    patch.setattr(Faults, "frames", lambda _, event, data, client_id: change(event, data))


def wrap(patch: Patch, owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Put a function around another one, which it is given first."""
    inner = getattr(owner, name)

    def plain(*args: Any, **options: Any) -> Any:
        return around(inner, *args, **options)

    async def awaited(*args: Any, **options: Any) -> Any:
        return await around(inner, *args, **options)

    patch.setattr(owner, name, awaited if inspect.iscoroutinefunction(inner) else plain)


def built(patch: Patch, change: Callable[[Server], object]) -> None:
    """Change a server once it is put together."""

    def init(inner: Any, self: Server, *args: Any, **options: Any) -> None:
        inner(self, *args, **options)
        change(self)

    wrap(patch, Server, "__init__", init)


# Frames


@noticed_by(runs.test_success)
def no_execution_cached_frame(patch: Patch) -> None:
    frames(patch, lambda kind, data: [] if kind == "execution_cached" else [(kind, data)])


@noticed_by(runs.test_success)
def no_frame_when_a_node_starts(patch: Patch) -> None:
    frames(patch, lambda kind, data: [] if "'running'" in str(data) and "0.0" in str(data) else [(kind, data)])


@noticed_by(runs.test_success)
def no_end_marker(patch: Patch) -> None:
    frames(patch, lambda kind, data: [] if data.get("node", 0) is None else [(kind, data)])


@noticed_by(runs.test_success)
def no_status_after_a_prompt(patch: Patch) -> None:
    frames(patch, lambda kind, data: [] if "'queue_remaining': 0}}}" in str(data) else [(kind, data)])


@noticed_by(runs.test_success)
def a_frame_twice(patch: Patch) -> None:
    frames(patch, lambda kind, data: [(kind, data)] * (2 if kind == "executed" else 1))


@noticed_by(runs.test_success)
def a_frame_without_its_prompt(patch: Patch) -> None:
    def change(kind: str, data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        return [(kind, {name: value for name, value in data.items() if kind != "progress" or name != "prompt_id"})]

    frames(patch, change)


@noticed_by(runs.test_success)
def a_frame_with_a_key_more(patch: Patch) -> None:
    frames(patch, lambda kind, data: [(kind, data | {"more": 1} if kind == "executing" else data)])


@noticed_by(runs.test_success)
def executing_before_its_progress_state(patch: Patch) -> None:
    held: list[tuple[str, dict[str, Any]]] = []

    def change(kind: str, data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        told = [(kind, data), *held]
        held.clear()
        if kind == "progress_state" and "0.0" in str(data):
            held.extend(told)
            return []
        return told

    frames(patch, change)


@noticed_by(runs.test_success)
def end_marker_before_the_status(patch: Patch) -> None:
    def early(made: Server) -> None:
        def done(inner: Any, prompt_id: str, outcome: Outcome) -> None:
            made.hub.send("executing", {"node": None, "prompt_id": prompt_id}, made.executor.client_id)
            inner(prompt_id, outcome)

        wrap(patch, made.queue, "done", done)

    built(patch, early)


@noticed_by(runs.test_identical_again)
def cached_outputs_are_not_told_again(patch: Patch) -> None:
    patch.setattr(Executor, "_repeat", lambda self, node_id: None)


@noticed_by(runs.test_two_outputs)
def nodes_run_in_order_of_discovery(patch: Patch) -> None:
    patch.setattr(Schedule, "next", lambda self: next((key for key, needs in self._waiting.items() if not needs), None))


# History


@noticed_by(runs.test_success)
def history_after_the_end_marker(patch: Patch) -> None:
    def late(made: Server) -> None:
        def done(inner: Any, prompt_id: str, outcome: Outcome) -> None:
            made.hub.send("status", {"status": {"exec_info": {"queue_remaining": 0}}})
            made.hub.send("executing", {"node": None, "prompt_id": prompt_id}, made.executor.client_id)
            time.sleep(0.2)
            inner(prompt_id, outcome)

        wrap(patch, made.queue, "done", done)

    built(patch, late)


@noticed_by(queue.test_queue_as_it_fills)
def history_before_the_end(patch: Patch) -> None:
    def early(inner: Any, self: Any) -> Any:
        if item := inner(self):
            self._history[item[1]] = {"prompt": item, "outputs": {}, "status": None, "meta": {}}
        return item

    wrap(patch, PromptQueue, "take", early)


@noticed_by(runs.test_interrupted)
def interrupted_is_a_status_of_its_own(patch: Patch) -> None:
    def done(inner: Any, self: Any, prompt_id: str, outcome: Outcome) -> None:
        inner(self, prompt_id, outcome)
        if outcome.messages[-1][0] == "execution_interrupted":
            self._history[prompt_id]["status"]["status_str"] = "interrupted"

    wrap(patch, PromptQueue, "done", done)


@noticed_by(runs.test_extra_data)
def history_keeps_secrets(patch: Patch) -> None:
    patch.setattr("stand_in.prompt_queue.SECRETS", ())
    patch.setattr(routes, "SECRETS", ())


@noticed_by(queue.test_history_limits)
def history_gives_the_oldest(patch: Patch) -> None:
    wrap(patch, PromptQueue, "history", lambda inner, self, most=None, offset=-1: inner(self, most=most, offset=0))


@noticed_by(queue.test_history_delete)
def history_cannot_be_deleted(patch: Patch) -> None:
    patch.setattr(PromptQueue, "forget", lambda self, prompt_id: None)


# Caches


@noticed_by(runs.test_identical_again)
def nothing_is_remembered(patch: Patch) -> None:
    def take(inner: Any, self: Any, workflow: Any) -> None:
        Caches.__init__(self)
        inner(self, workflow)

    wrap(patch, Caches, "take", take)


@noticed_by(runs.test_only_the_last_prompt_is_remembered)
def everything_is_remembered(patch: Patch) -> None:
    def take(inner: Any, self: Any, workflow: Any) -> None:
        results, shown = self._results, self._shown
        inner(self, workflow)
        self._results, self._shown = results | self._results, shown | self._shown

    wrap(patch, Caches, "take", take)


@noticed_by(runs.test_node_ids_do_not_matter)
def ids_are_part_of_a_node(patch: Patch) -> None:
    wrap(patch, caches, "signature", lambda inner, workflow, node_id: node_id + inner(workflow, node_id))


@noticed_by(runs.test_failed_node_is_not_remembered)
def a_failure_forgets_everything(patch: Patch) -> None:
    def run(inner: Any, self: Any, item: Any) -> Outcome:
        outcome: Outcome = inner(self, item)
        if not outcome.completed:
            self.free()
        return outcome

    wrap(patch, Executor, "run", run)


@noticed_by(loras.test_replaced_lora_is_stale)
def fresh_weights(patch: Patch) -> None:
    def load(inner: Any, self: Any, name: str) -> Any:
        self._path = None
        return inner(self, name)

    wrap(patch, loaders.LoraNode, "load", load)


@noticed_by(loras.test_replaced_lora_is_stale)
def a_replaced_file_makes_another_node(patch: Patch) -> None:
    def run(inner: Any, self: Any, item: Any) -> Any:
        for node in item[2].values():
            if node["class_type"] == "LoraLoader":
                node["inputs"]["seen"] = self._kit.folders.find("loras", node["inputs"]["lora_name"]).stat().st_ino
        return inner(self, item)

    wrap(patch, Executor, "run", run)


@noticed_by(loras.test_lora_written_into_is_seen_when_its_node_runs)
def files_are_not_mapped(patch: Patch) -> None:
    patch.setattr(loaders, "_place", lambda path: object())


def keeping_objects(inner: Any, self: Any, workflow: Any) -> None:
    """Forget results as always, but no node object."""
    objects = self._objects
    inner(self, workflow)
    self._objects = objects | self._objects


@noticed_by(loras.test_replaced_lora_is_seen_after_a_prompt_without_it)
def weights_outlive_their_node(patch: Patch) -> None:
    wrap(patch, Caches, "take", keeping_objects)


@noticed_by(loras.test_free_while_busy)
def free_does_nothing(patch: Patch) -> None:
    patch.setattr(Executor, "free", lambda self: None)


@noticed_by(loras.test_free_of_an_idle_server)
def free_waits_for_the_next_prompt(patch: Patch) -> None:
    patch.setattr(Faults, "free_now", lambda self: False)


@noticed_by(loras.test_unload_keeps_the_results)
def unloading_models_frees_all(patch: Patch) -> None:
    wrap(patch, PromptQueue, "take_flags", lambda inner, self: {"free_memory": True} if inner(self) else {})


# Files


@noticed_by(loras.test_picker_follows_the_folder)
def picker_is_not_refreshed(patch: Patch) -> None:
    patch.setattr(folders, "_fresh", lambda listing: True)


@noticed_by(loras.test_picker_follows_the_folder)
def picker_shows_half_files(patch: Patch) -> None:
    patch.setattr(folders, "_listed", lambda name, endings: True)


@noticed_by(loras.test_picker_lists_every_kind_of_weights)
def picker_shows_safetensors_alone(patch: Patch) -> None:
    wrap(patch, folders, "_listed", lambda inner, name, endings: inner(name, endings) and name.endswith("safetensors"))


@noticed_by(loras.test_subfolders)
def picker_is_not_refreshed_below_subfolders(patch: Patch) -> None:
    def search(inner: Any, self: Any, kind: str) -> Any:
        found = inner(self, kind)
        deep = {folder for folder in found.times if folder.name == "sub"}
        return type(found)(found.names, {folder: seen for folder, seen in found.times.items() if folder not in deep})

    wrap(patch, Folders, "_search", search)


@noticed_by(runs.test_corrupt_lora, content=b"", message="Error while deserializing header: header too small")
def broken_loras_load(patch: Patch) -> None:
    patch.setattr("stand_in.weights.check", lambda path: {"__metadata__": {}})


@noticed_by(runs.test_lora_without_matching_keys)
def any_lora_has_an_effect(patch: Patch) -> None:
    patch.setattr("stand_in.weights._MODEL_KEYS", ("",))


@noticed_by(runs.test_strength_0_is_the_baseline)
def strength_0_opens_the_file(patch: Patch) -> None:
    wrap(
        patch,
        loaders.LoraLoader,
        "__call__",
        lambda inner, self, **inputs: (self.load(inputs["lora_name"]), inner(self, **inputs))[1],
    )


@noticed_by(runs.test_new_seed_runs_from_the_sampler_on)
def seeds_do_not_matter(patch: Patch) -> None:
    wrap(patch, sampling.KSampler, "__call__", lambda inner, self, **inputs: inner(self, **{**inputs, "seed": 0}))


@noticed_by(runs.test_every_input_changes_the_picture)
def clip_skip_does_not_matter(patch: Patch) -> None:
    patch.setattr(loaders.CLIPSetLastLayer, "__call__", lambda self, *, clip, stop_at_clip_layer: ((clip,), {}))


@noticed_by(runs.test_same_graph_same_pixels)
def pictures_are_never_the_same(patch: Patch) -> None:
    wrap(
        patch,
        sampling.KSampler,
        "__call__",
        lambda inner, self, **inputs: inner(self, **{**inputs, "cfg": inputs["cfg"] + time.time() % 1}),
    )


@noticed_by(runs.test_prefix_escape)
def prefixes_may_escape(patch: Patch) -> None:
    wrap(patch, Folders, "place", lambda inner, self, prefix, *rest: inner(self, prefix.replace("../", ""), *rest))


# Status codes and bodies


def answering(patch: Patch, owner: Any, name: str, status: int) -> None:
    """Change one handler's status code."""

    async def handle(inner: Any, self: Any, request: web.Request) -> web.StreamResponse:
        answer: web.StreamResponse = await inner(self, request)
        if answer.status >= 400:
            answer.set_status(status)
        return answer

    wrap(patch, owner, name, handle)


@noticed_by(refusals.test_no_outputs)
def refusals_are_422(patch: Patch) -> None:
    answering(patch, Routes, "post_prompt", 422)


@noticed_by(
    views.test_view_answers, query={"filename": "{name}", "subfolder": "{corner}", "type": "elsewhere"}, status=400
)
def every_view_that_fails_is_404(patch: Patch) -> None:
    answering(patch, demo_views.Views, "get_view", 404)


@noticed_by(views.test_view_answers, query={"filename": "{name}", "subfolder": "/etc"}, status=403)
def views_may_leave_the_folder(patch: Patch) -> None:
    patch.setattr(demo_views, "_inside", lambda folder, *parts: folder.joinpath(*parts))


@noticed_by(views.test_view_renditions, options={"preview": "jpeg"}, form="JPEG", mode="RGB")
def no_previews(patch: Patch) -> None:
    patch.setattr(demo_views, "_is_whole", lambda query: True)


@noticed_by(refusals.test_bad_json)
def bad_json_is_400(patch: Patch) -> None:
    async def handle(inner: Any, self: Any, request: web.Request) -> web.StreamResponse:
        try:
            answer: web.StreamResponse = await inner(self, request)
        except ValueError:
            return web.Response(status=400)
        return answer

    wrap(patch, Routes, "post_prompt", handle)


@noticed_by(views.test_models)
def unknown_folders_are_empty(patch: Patch) -> None:
    answering(patch, demo_views.Views, "get_models_in", 200)


@noticed_by(views.test_below_api)
def nothing_below_api(patch: Patch) -> None:
    wrap(patch, Routes, "add_to", lambda inner, self, app, prefix: None if prefix else inner(self, app, prefix))


@noticed_by(views.test_foreign_hosts)
def foreign_pages_are_welcome(patch: Patch) -> None:
    patch.setattr(server, "_is_foreign", lambda request: False)


@noticed_by(views.test_object_info, node="KSampler")
def another_default(patch: Patch) -> None:
    def config(inner: Any, self: Any, entry: Any) -> Any:
        kind, options = inner(self, entry)
        return [kind, options | {"default": 30} if options.get("default") == 20 else options]

    wrap(patch, Catalogue, "config", config)


@noticed_by(runs.test_success)
def the_server_picks_the_id(patch: Patch) -> None:
    patch.setattr(Routes, "_prompt_id", lambda self, body: "11111111-1111-4111-8111-111111111111")


@noticed_by(runs.test_partly_valid)
def partial_refusals_are_not_told(patch: Patch) -> None:
    def validate(inner: Any, *args: Any) -> Any:
        verdict = inner(*args)
        return verdict if verdict.error else type(verdict)(outputs=verdict.outputs, node_errors={})

    wrap(patch, routes, "validate", validate)


@noticed_by(refusals.test_two_mistakes)
def only_the_first_mistake_is_told(patch: Patch) -> None:
    def check(inner: Any, self: Any, node_id: str) -> Any:
        valid, reasons = inner(self, node_id)
        self._checked[node_id] = (valid, reasons[:1])
        return self._checked[node_id]

    wrap(patch, validation._Validation, "_check", check)


@noticed_by(
    refusals.test_out_of_range,
    place=("3", "seed"),
    value=-1,
    kind="value_smaller_than_min",
    message="Value -1 smaller than min of 0",
)
def ranges_are_not_checked(patch: Patch) -> None:
    def config(inner: Any, self: Any, entry: Any) -> Any:
        kind, options = inner(self, entry)
        return [kind, {name: value for name, value in options.items() if name not in {"min", "max"}}]

    wrap(patch, Catalogue, "config", config)


@noticed_by(refusals.test_unknown_lora)
def lists_are_always_spelled_out(patch: Patch) -> None:
    patch.setattr(validation, "_LONG_LIST", 1000)


@noticed_by(refusals.test_link_of_another_type)
def links_may_be_of_any_type(patch: Patch) -> None:
    wrap(patch, validation._Validation, "_check_link", lambda inner, self, *args: (None, inner(self, *args)[1]))


@noticed_by(refusals.test_values_are_converted)
def values_stay_as_they_came(patch: Patch) -> None:
    patch.setattr(validation, "_CONVERSIONS", {})


# Queue


@noticed_by(queue.test_number_and_front)
def first_come_first_served(patch: Patch) -> None:
    count = iter(range(1000))
    wrap(patch, PromptQueue, "put", lambda inner, self, item: inner(self, (next(count), *item[1:])))


@noticed_by(queue.test_number_and_front)
def front_does_nothing(patch: Patch) -> None:
    wrap(
        patch,
        Routes,
        "_next_number",
        lambda inner, self, body: inner(self, {name: value for name, value in body.items() if name != "front"}),
    )


@noticed_by(refusals.test_refused_prompts_use_up_numbers)
def refused_prompts_take_no_number(patch: Patch) -> None:
    async def post(inner: Any, self: Any, request: web.Request) -> web.Response:
        before = self._number
        answer: web.Response = await inner(self, request)
        self._number = before if answer.status >= 400 else self._number
        return answer

    wrap(patch, Routes, "post_prompt", post)


@noticed_by(queue.test_delete)
def waiting_prompts_stay(patch: Patch) -> None:
    patch.setattr(PromptQueue, "delete", lambda self, prompt_id: None)


@noticed_by(queue.test_delete_of_the_only_one)
def a_deletion_is_told_once(patch: Patch) -> None:
    patch.setattr(PromptQueue, "clear", lambda self: setattr(self, "_pending", []))


@noticed_by(queue.test_same_id_while_it_waits)
def a_second_prompt_under_an_id_replaces_the_first(patch: Patch) -> None:
    wrap(patch, PromptQueue, "put", lambda inner, self, item: (self.delete(item[1]), inner(self, item)))


@noticed_by(queue.test_interrupt_spares_others)
def any_interrupt_stops_whatever_runs(patch: Patch) -> None:
    async def interrupt(inner: Any, self: Any, request: web.Request) -> web.Response:
        self._executor.interrupt()
        answer: web.Response = await inner(self, request)
        return answer

    wrap(patch, Routes, "post_interrupt", interrupt)


@noticed_by(queue.test_interrupt_of_whatever_runs, body={})
def only_named_prompts_are_interrupted(patch: Patch) -> None:
    async def interrupt(self: Any, request: web.Request) -> web.Response:
        prompt_id = (await request.json()).get("prompt_id")
        if any(item[1] == prompt_id for item in self._queue.current()[0]):
            self._executor.interrupt()
        return web.Response()

    patch.setattr(Routes, "post_interrupt", interrupt)


@noticed_by(queue.test_interrupt_of_an_idle_server)
def an_interrupt_waits_for_the_next_prompt(patch: Patch) -> None:
    built(patch, lambda made: patch.setattr(made.executor._interrupted, "clear", lambda: None))


# Sockets


@noticed_by(sockets.test_reconnecting_goes_silent)
def the_newer_connection_survives(patch: Patch) -> None:
    class Sockets(dict[str, Any]):
        def pop(self, key: str, default: Any = None) -> Any:
            return default if self[key] is not None and not self[key].closed else super().pop(key, default)

    def init(inner: Any, self: Any, *args: Any) -> None:
        inner(self, *args)
        self._sockets = Sockets()

    wrap(patch, WebSockets, "__init__", init)


@noticed_by(sockets.test_two_clients)
def everybody_hears_everything(patch: Patch) -> None:
    patch.setattr(WebSockets, "_sockets_of", lambda self, client_id: list(self._sockets.values()))


@noticed_by(sockets.test_prompt_without_client)
def progress_without_client_is_not_told(patch: Patch) -> None:
    def send(inner: Any, self: Any, event: str, data: Any, client_id: str | None = None) -> None:
        if event == "status" or client_id is not None:
            inner(self, event, data, client_id)

    wrap(patch, WebSockets, "send", send)


@noticed_by(sockets.test_reconnecting_while_running)
def whoever_comes_back_is_not_told_what_runs(patch: Patch) -> None:
    wrap(patch, Server, "_greeting", lambda inner, self, client_id: inner(self, client_id)[:1])


@noticed_by(sockets.test_features)
def features_are_not_answered(patch: Patch) -> None:
    async def heard(self: Any, client_id: str, text: str, *, first: bool) -> None:
        """Say nothing."""

    patch.setattr(WebSockets, "_heard", heard)


@noticed_by(queue.test_ids_must_be_canonical, prompt_id="A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11")
def any_uuid_will_do(patch: Patch) -> None:
    patch.setattr(routes, "_canonical", lambda prompt_id: isinstance(prompt_id, str) and len(prompt_id) == 36)


@noticed_by(refusals.test_unknown_node, title="My sampler", name="My sampler")
def titles_are_not_told(patch: Patch) -> None:
    wrap(
        patch,
        validation,
        "_unknown_node",
        lambda inner, node_id, node, dialect: inner(node_id, {"class_type": node["class_type"]}, dialect),
    )


@noticed_by(views.test_log)
def the_log_keeps_quiet(patch: Patch) -> None:
    patch.setattr(loaders, "not_loaded", lambda lora, with_clip: [])


@noticed_by(views.test_files_with_sizes)
def files_have_no_size(patch: Patch) -> None:
    wrap(patch, Folders, "files", lambda inner, self, kind: [one | {"size": 0} for one in inner(self, kind)])


@noticed_by(nodes.test_links_in_a_circle)
def circles_are_not_named(patch: Patch) -> None:
    wrap(
        patch,
        validation._Validation,
        "_check",
        lambda inner, self, node_id: (self._visiting.clear(), inner(self, node_id))[1],
    )


@noticed_by(nodes.test_inputs_that_a_choice_brings)
def choices_bring_nothing(patch: Patch) -> None:
    wrap(patch, Catalogue, "accepted", lambda inner, self, name, given: inner(self, name, {}))


@noticed_by(runs.test_steps_are_reported_now_and_then)
def every_step_is_reported(patch: Patch) -> None:
    patch.setattr(Executor, "_reports", lambda self, done, of: True)
