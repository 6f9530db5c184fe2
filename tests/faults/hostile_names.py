"""Names and places in a plan that mean harm, on this system or another."""

from collections.abc import Callable
from pathlib import Path

from plugins.evidence.files import write_atomically
from plugins.evidence.store import Store
from plugins.generate.folders import leads_away
from plugins.loras import journal
from plugins.loras.staging import preflight, stage
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from tests.faults.hostile_case import Ground, fifo, harmless, link, refused

_NAME = 'name = "spyke_plasma_v1"'
_LABEL = 'label = "final"'
_PROMPT = 'id = "novel_pose"'
_FILE = 'file = "spyke_plasma_v1-step00000600.safetensors"'
_PRODUCTION = '[production]\nfile = "spyke_plasma_v1.safetensors"'
_CHECKPOINTS = 'checkpoints = "output/loras/spyke"'
_PLAIN = "must be a plain file name everywhere, without a folder"
_BELOW = "must be a file below `checkpoints`"
_PART = "cannot be part of a file name everywhere; use letters, digits"
_NOWHERE = "names no place on this machine; write a path such as"
_WHERE = "/plan.toml has 1 mistake"


def edit(old: str, new: str) -> Callable[[Ground], Plan]:
    """Read the plan with a piece of it replaced."""
    return lambda ground: ground.draft(old, new)


def of_bytes(content: bytes) -> Callable[[Ground], Plan]:
    """Read a plan of these bytes."""
    return lambda ground: read_plan(ground.file("plan.toml", content))


def with_summary_linked_into_the_loras(ground: Ground) -> object:
    """Return `planning` as a link to the loras folder, where the summary would lie among them."""
    link(ground.folder / "planning", ground.plan.paths.loras)
    return ground.plan


def with_checkpoints_linked_to_the_loras(ground: Ground) -> object:
    """Return the training folder as a link to the loras folder, from which copies are removed."""
    link(ground.folder / "output/loras/spyke", ground.folder / "ComfyUI/models/loras")
    return ground.plan


def with_a_checkpoint_linked_into_the_loras(ground: Ground) -> object:
    """Return a training output as a link to a file among the loras."""
    source = ground.plan.training_file(ground.plan.checkpoints[0])
    target = ground.plan.paths.loras / "theirs.safetensors"
    target.write_bytes(source.read_bytes())
    link(source, target)
    return stage(ground.plan, preflight(ground.plan))


def with_loras_linked_to_themselves(ground: Ground) -> object:
    """Return the loras folder as a link to itself."""
    loras = ground.plan.paths.loras
    loras.rename(loras.with_name("before"))
    link(loras, loras)
    return stage(ground.plan, preflight(ground.plan))


def staged_over_a_link(ground: Ground) -> tuple[object, object]:
    """Stage where a copy's name is a link to a file elsewhere: the link goes, the file stays."""
    outside = ground.elsewhere / "kept.txt"
    copy = ground.plan.paths.loras / ground.plan.staged_file(ground.plan.checkpoints[0])
    link(copy, outside)
    stage(ground.plan, preflight(ground.plan))
    return ("kept", False), (outside.read_text("utf-8"), copy.is_symlink())


def staged_over_a_folder(ground: Ground) -> object:
    """Stage where a copy's name is a folder."""
    (ground.plan.paths.loras / ground.plan.staged_file(ground.plan.checkpoints[0])).mkdir()
    return stage(ground.plan, preflight(ground.plan))


def deployed_over_a_link(ground: Ground) -> object:
    """Deploy where production is a link to a file elsewhere."""
    target = ground.plan.paths.loras / ground.plan.production.file
    link(target, ground.elsewhere / "kept.txt")
    source = ground.plan.training_file(ground.plan.checkpoints[0])
    return journal.begin(source, target, sha256="0" * 64)


def pictures_linked_away(ground: Ground) -> tuple[object, object]:
    """Return the pictures folder as a link to a folder elsewhere: it is named before anything is written."""
    (ground.folder / "reports").mkdir()
    link(ground.folder / "reports/pictures", ground.elsewhere)
    return ground.folder / "reports/pictures", leads_away(ground.folder / "reports")


def column_linked_away(ground: Ground) -> tuple[object, object]:
    """Return one checkpoint's pictures as a link to a folder elsewhere."""
    (ground.folder / "reports/pictures").mkdir(parents=True)
    link(ground.folder / "reports/pictures/step600", ground.elsewhere)
    return ground.folder / "reports/pictures/step600", leads_away(ground.folder / "reports")


def evidence_linked_away(ground: Ground) -> tuple[object, object]:
    """Write evidence where a link to a file elsewhere lies: the link goes, the file stays."""
    outside, path = ground.elsewhere / "kept.txt", Store(ground.folder / "reports").evidence_path(ground.cell)
    path.parent.mkdir(parents=True)
    link(path, outside)
    write_atomically(path, "evidence")
    return ("kept", "evidence"), (outside.read_text("utf-8"), path.read_text("utf-8"))


def plan_that_is_a_pipe(ground: Ground) -> object:
    """Read a plan from a pipe that nobody writes to."""
    return read_plan(fifo(Path(ground.folder, "pipe.toml")))


ROWS = (
    refused("name that leaves its folder", edit(_NAME, 'name = "../spyke"'), _WHERE, "name: '../spyke'", _PART),
    refused("name with a folder", edit(_NAME, 'name = "spyke/v1"'), _WHERE, _PART),
    refused("name with a Windows folder", edit(_NAME, r"name = 'spyke\v1'"), _WHERE, _PART),
    refused("name with NUL", edit(_NAME, r'name = "spyke\u0000"'), _WHERE, r"name: 'spyke\x00'", _PART),
    refused("name of a Windows device", edit(_NAME, 'name = "CON"'), _WHERE, "name: 'CON'", _PART),
    refused("name that ends in a dot", edit(_NAME, 'name = "spyke."'), _WHERE, "name: 'spyke.'", _PART),
    refused("name that ends in a space", edit(_NAME, 'name = "spyke "'), _WHERE, "name: 'spyke '", _PART),
    refused("name that begins as an option", edit(_NAME, 'name = "-rf"'), _WHERE, "name: '-rf'", _PART),
    refused("name that is too long", edit(_NAME, f'name = "{"a" * 300}"'), _WHERE, "has 300 letters; a name"),
    refused("label of a Windows device", edit(_LABEL, 'label = "nul.old"'), _WHERE, "checkpoint[1].label", _PART),
    refused("prompt on a drive", edit(_PROMPT, 'id = "C:pose"'), _WHERE, "prompt[1].id: 'C:pose'", _PART),
    refused("prompt with a line break", edit(_PROMPT, r'id = "a\nb"'), _WHERE, r"prompt[1].id: 'a\nb'", _PART),
    refused("checkpoint above its folder", edit(_FILE, 'file = "../x.safetensors"'), _WHERE, "[0].file", _BELOW),
    refused("checkpoint at the root", edit(_FILE, 'file = "/etc/x.safetensors"'), _WHERE, "[0].file", _BELOW),
    refused("checkpoint on a drive", edit(_FILE, 'file = "C:x.safetensors"'), _WHERE, "[0].file", _BELOW),
    refused("checkpoint in a stream", edit(_FILE, 'file = "a.safetensors:b.safetensors"'), _WHERE, _BELOW),
    refused("checkpoint of a Windows device", edit(_FILE, 'file = "nul.safetensors"'), _WHERE, _PLAIN),
    refused("checkpoint of a numbered device", edit(_FILE, 'file = "COM¹.safetensors"'), _WHERE, _PLAIN),
    refused("checkpoint that begins as an option", edit(_FILE, 'file = "-x.safetensors"'), _WHERE, _PLAIN),
    refused("checkpoint with a line break", edit(_FILE, r'file = "a\nb.safetensors"'), _WHERE, _BELOW),
    refused("checkpoint written backwards", edit(_FILE, r'file = "a\u202egnp.safetensors"'), r"a\u202egnp", _BELOW),
    refused("checkpoint that ends in a space", edit(_FILE, 'file = "x.safetensors "'), _WHERE, ".safetensors"),
    refused("checkpoint that is too long", edit(_FILE, f'file = "{"é" * 120}.safetensors"'), _WHERE, "is too long"),
    refused("production in a folder", edit(_PRODUCTION, '[production]\nfile = "a/b.safetensors"'), _WHERE, _PLAIN),
    refused(
        "production that is an evaluation copy",
        edit(_PRODUCTION, '[production]\nfile = "Spyke_plasma_v1_FINAL.safetensors"'),
        _WHERE,
        "is also the name of an evaluation copy, which is removed after deployment; give production another name",
    ),
    refused(
        "title that clears the screen", edit("Spyke LoRA", r"\u001b[2JSpyke"), "title: holds '\\x1b'", "take it out"
    ),
    refused(
        "prompt that renames the window", edit("standing in", r"\u001b]0;x\u0007"), "prompt[0].text", "take it out"
    ),
    refused(
        "key that clears the screen", edit(_NAME, f'"\\u001b[2J" = 1\n{_NAME}'), r"\x1b[2J: unknown key; known are"
    ),
    refused("place with NUL", edit(_CHECKPOINTS, r'checkpoints = "a\u0000b"'), "paths.checkpoints", _NOWHERE),
    refused("place that is too long", edit(_CHECKPOINTS, f'checkpoints = "{"a" * 9000}"'), "'aaaa", _NOWHERE),
    refused("place of a user who is not there", edit(_CHECKPOINTS, 'checkpoints = "~nobody-here/x"'), _NOWHERE),
    refused(
        "summary linked into the loras", with_summary_linked_into_the_loras, "paths.summary", "name a .md file outs"
    ),
    refused(
        "checkpoints linked to the loras", with_checkpoints_linked_to_the_loras, "are the same folder; keep the tra"
    ),
    refused(
        "checkpoint linked into the loras",
        with_a_checkpoint_linked_into_the_loras,
        "spyke_plasma_v1-step00000600.safetensors is a link into",
        "where files are replaced and removed",
        "Nothing was copied.",
    ),
    refused("loras linked to themselves", with_loras_linked_to_themselves, "cannot be staged in", "run this again"),
    harmless("evaluation copy linked elsewhere", staged_over_a_link),
    refused("evaluation copy that is a folder", staged_over_a_folder, "cannot be staged in", "run this again"),
    refused("production linked elsewhere", deployed_over_a_link, "kept.txt", "remove the link, or point `loras`"),
    harmless("pictures linked elsewhere", pictures_linked_away),
    harmless("a column linked elsewhere", column_linked_away),
    harmless("evidence linked elsewhere", evidence_linked_away),
    refused("plan of bytes", of_bytes(bytes(range(256))), "/plan.toml is not UTF-8", "Save it as UTF-8"),
    refused("plan nested without end", of_bytes(b"a = " + b"[" * 90_000), "is not TOML", "plans/spyke.toml shows"),
    refused("plan with a value of 500 kB", edit("steps = 2", f'steps = "{"x" * 500_000}"'), "must be a whole number"),
    refused(
        "plan with a value nested deep", edit("steps = 2", f"steps = {'[' * 300}{']' * 300}"), "must be a whole num"
    ),
    refused("plan with an endless number", of_bytes(b"a = " + b"1" * 9000), "is not TOML", "plans/spyke.toml shows"),
    refused("plan of 100 MB", lambda ground: read_plan(ground.huge("plan.toml")), "more than 1 MB", "plans/spyke.toml"),
    refused("plan that is a folder", lambda ground: read_plan(ground.folder), "Is a directory", "plans/spyke.toml"),
    refused("plan that is a pipe", plan_that_is_a_pipe, "pipe.toml", "it is not a plain file", "plans/spyke.toml"),
)
