"""A plan file is read, or every mistake in it is told at once, with its key and what would be right."""

import os
from pathlib import Path

import pytest

from plugins.plan.reading import PlanError, read_plan
from tests.plugins.plan.plan_draft import Draft

_FILE = 'file = "spyke-600.safetensors"'
_NOT_PORTABLE = (
    "cannot be part of a file name everywhere; "
    "use letters, digits, '_', '-' and '.', starting with a letter or digit, and no folder"
)
_TRIGGER = "the evaluation copies are named after it. The trigger word goes into the prompts, spelled as it was trained"
_BELOW = "must be a file below `checkpoints`, with '/' between folders, and no '..'"
_ADDRESS = "is not the address of a server; write it like http://127.0.0.1:8188"
_TAKEN = "already means something else; a label is a word such as 'final'"
_PLACE = "names no place on this machine; write a path such as '~/Code/plasma'"


def test_right_plan_is_read(draft: Draft) -> None:
    """A plan without a mistake becomes a plan with what it says, and defaults for the rest."""
    plan = draft.read()

    assert plan.name == "spyke"
    assert [one.id for one in plan.checkpoints] == ["step600", "final"]
    assert [one.id for one in plan.prompts] == ["forest", "novel_pose"]
    assert plan.sampling.seeds == (42,)
    assert (plan.sampling.clip_skip, plan.sampling.lora_strength, plan.sampling.negative) == (1, 1.0, "")
    assert (plan.production.min_size, plan.production.max_size, plan.production.forbidden) == (0, 2**63, ())
    assert plan.criteria[0].required is False
    assert plan.selection.rate is None


@pytest.mark.parametrize(("written", "rate"), [('"all"', None), ("0.8", 0.8)])
def test_selection_says_when_a_criterion_passes(draft: Draft, written: str, rate: float | None) -> None:
    """A criterion passes on all pictures that were looked at, or by a rate that the interval must reach."""
    draft.change("[sampling]", f"[selection]\npass = {written}\n[sampling]")
    assert rate == draft.read().selection.rate


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        pytest.param(
            'name = "spyke"',
            'name = "a/b"',
            f"name: 'a/b' {_NOT_PORTABLE}. Try name = 'a_b': {_TRIGGER}",
            id="name-with-folder",
        ),
        pytest.param(
            'name = "spyke"',
            "name = '..\\x'",
            rf"name: '..\\x' {_NOT_PORTABLE}. Try name = 'x': {_TRIGGER}",
            id="name-with-backslash",
        ),
        pytest.param(
            'name = "spyke"',
            'name = ".hidden"',
            f"name: '.hidden' {_NOT_PORTABLE}. Try name = 'hidden': {_TRIGGER}",
            id="name-hidden",
        ),
        pytest.param(
            'name = "spyke"',
            'name = "spyké"',
            f"name: 'spyké' {_NOT_PORTABLE}. Try name = 'spyk': {_TRIGGER}",
            id="name-unicode",
        ),
        pytest.param(
            'name = "spyke"',
            'name = "con"',
            f"name: 'con' {_NOT_PORTABLE}. Try name = 'lora_con': {_TRIGGER}",
            id="name-con",
        ),
        pytest.param(
            'name = "spyke"',
            'name = "LPT1.x"',
            f"name: 'LPT1.x' {_NOT_PORTABLE}. Try name = 'lora_LPT1.x': {_TRIGGER}",
            id="name-lpt1",
        ),
        pytest.param(
            'name = "spyke"',
            'name = "spyke."',
            f"name: 'spyke.' {_NOT_PORTABLE}. Try name = 'spyke': {_TRIGGER}",
            id="name-trailing-dot",
        ),
        pytest.param(
            "[sampling]",
            "[selection]\npass = 1\n[sampling]",
            """selection.pass: 1 is neither "all" nor a share between 0 and 1, such as 0.8""",
            id="selection-pass",
        ),
        pytest.param('name = "spyke"', "name = 3", "name: must be text in quotes, not 3", id="name-number"),
        pytest.param('name = "spyke"\n', "", "name: is missing", id="name-missing"),
        pytest.param(
            'title = "Spyke LoRA, small"', 'title = " "', "title: is empty; write what it should say", id="title-empty"
        ),
        pytest.param(
            'title = "Spyke LoRA, small"',
            'title = "x"\nselection_rule = 3',
            "selection_rule: must be text in quotes, not 3",
            id="selection_rule-number",
        ),
        pytest.param('project = "code"', "project = 3", "paths.project: must be a path in quotes, not 3", id="project"),
        pytest.param('project = "code"', 'project = ""', f"paths.project: '' {_PLACE}", id="project-empty"),
        pytest.param(
            'project = "code"', 'project = "a\\u0000b"', rf"paths.project: 'a\x00b' {_PLACE}", id="project-null"
        ),
        pytest.param(
            'project = "code"',
            'project = "~nobody-of-that-name/x"',
            f"paths.project: '~nobody-of-that-name/x' {_PLACE}",
            id="project-of-nobody",
        ),
        pytest.param(
            'checkpoints = "output"',
            "checkpoints = []",
            "paths.checkpoints: must be a path in quotes, not []",
            id="checkpoints",
        ),
        pytest.param(
            'comfyui = "ComfyUI"', "comfyui = true", "paths.comfyui: must be a path in quotes, not True", id="comfyui"
        ),
        pytest.param(
            'comfyui = "ComfyUI"',
            'comfyui = "ComfyUI"\nloras = 1',
            "paths.loras: must be a path in quotes, not 1",
            id="loras",
        ),
        pytest.param(
            'comfyui = "ComfyUI"',
            'comfyui = "ComfyUI"\ntraining_images = 1',
            "paths.training_images: must be a path in quotes, not 1",
            id="training_images",
        ),
        pytest.param(
            'comfyui = "ComfyUI"',
            'comfyui = "ComfyUI"\nsummary = ""',
            f"paths.summary: '' {_PLACE}",
            id="summary-empty",
        ),
        pytest.param(
            'checkpoints = "output"',
            'checkpoints = "ComfyUI/x/../models/loras"',
            "paths: `checkpoints` and `loras` are the same folder; keep the training output apart from ComfyUI's, "
            "since evaluation copies are removed from `loras`",
            id="checkpoints-in-loras",
        ),
        pytest.param(
            'url = "http://127.0.0.1:8188"',
            'url = "127.0.0.1:8188"',
            f"comfyui.url: '127.0.0.1:8188' {_ADDRESS}",
            id="url-without-scheme",
        ),
        pytest.param(
            'url = "http://127.0.0.1:8188"',
            'url = "ftp://host"',
            f"comfyui.url: 'ftp://host' {_ADDRESS}",
            id="url-ftp",
        ),
        pytest.param(
            'url = "http://127.0.0.1:8188"',
            'url = "http://host:99999"',
            f"comfyui.url: 'http://host:99999' {_ADDRESS}",
            id="url-port",
        ),
        pytest.param(
            'url = "http://127.0.0.1:8188"',
            'url = "http://[::1"',
            f"comfyui.url: 'http://[::1' {_ADDRESS}",
            id="url-v6",
        ),
        pytest.param(
            'url = "http://127.0.0.1:8188"',
            'url = "http://host/?a=1"',
            f"comfyui.url: 'http://host/?***' {_ADDRESS}",
            id="url-query",
        ),
        pytest.param(
            'url = "http://127.0.0.1:8188"',
            "urls = []",
            'comfyui: give either url = "http://127.0.0.1:8188" or urls = [...]',
            id="urls-none",
        ),
        pytest.param(
            'url = "http://127.0.0.1:8188"',
            'url = "http://a"\nurls = ["http://b"]',
            'comfyui: give either url = "http://127.0.0.1:8188" or urls = [...]',
            id="url-and-urls",
        ),
        pytest.param(
            'url = "http://127.0.0.1:8188"',
            'urls = ["http://a", "b"]',
            f"comfyui.urls[1]: 'b' {_ADDRESS}",
            id="urls-second",
        ),
        pytest.param(
            'url = "http://127.0.0.1:8188"',
            'urls = "http://a"',
            "comfyui.urls: must be a list, in [ ], not 'http://a'",
            id="urls-text",
        ),
        pytest.param(
            '188"\n',
            '188"\nstart = "python main.py"\n',
            "comfyui.start: must be a list, in [ ], not 'python main.py'",
            id="start-text",
        ),
        pytest.param(
            '188"\n',
            '188"\nstart = ["python", ""]\n',
            "comfyui.start[1]: is empty; write what it should say",
            id="start-empty-word",
        ),
        pytest.param(
            '188"\n', '188"\nworkflow = 1\n', "comfyui.workflow: must be a path in quotes, not 1", id="workflow"
        ),
        pytest.param(
            '188"\n', '188"\ntimeout = 0\n', "comfyui.timeout: should be greater than 0, not 0", id="timeout-zero"
        ),
        pytest.param(
            '188"\n', '188"\ntimeout = inf\n', "comfyui.timeout: should be a finite number, not inf", id="no-timeout"
        ),
        pytest.param(
            '188"\n',
            '188"\ntimeout = "1"\n',
            "comfyui.timeout: must be a number, without quotes, not '1'",
            id="timeout-text",
        ),
        pytest.param(
            '"AnythingXL_inkBase"', '""', "sampling.base_model: is empty; write what it should say", id="base_model"
        ),
        pytest.param('"euler_ancestral"', "1", "sampling.sampler: must be text in quotes, not 1", id="sampler"),
        pytest.param('"normal"', "false", "sampling.scheduler: must be text in quotes, not False", id="scheduler"),
        pytest.param(
            "steps = 20", "steps = 0", "sampling.steps: should be greater than or equal to 1, not 0", id="steps-zero"
        ),
        pytest.param(
            "steps = 20", 'steps = "20"', "sampling.steps: must be a whole number, without quotes, not '20'", id="steps"
        ),
        pytest.param(
            "steps = 20",
            "steps = 20.5",
            "sampling.steps: must be a whole number, without quotes, not 20.5",
            id="steps-fraction",
        ),
        pytest.param("cfg = 7.0", "cfg = -1", "sampling.cfg: should be greater than or equal to 0, not -1", id="cfg"),
        pytest.param(
            "cfg = 7.0", "cfg = nan", "sampling.cfg: should be less than or equal to 100, not nan", id="cfg-nan"
        ),
        pytest.param("width = 512", "width = 500", "sampling.width: should be a multiple of 8, not 500", id="width"),
        pytest.param(
            "height = 512", "height = 8", "sampling.height: should be greater than or equal to 16, not 8", id="height"
        ),
        pytest.param(
            "seeds = [42]",
            "seeds = [42]\nclip_skip = 0",
            "sampling.clip_skip: should be greater than or equal to 1, not 0",
            id="clip_skip",
        ),
        pytest.param(
            'id = "novel_pose"',
            'id = "novel_pose"\nwidth = 500',
            "prompt[1].width: should be a multiple of 8, not 500",
            id="prompt-width",
        ),
        pytest.param(
            'id = "novel_pose"',
            'id = "novel_pose"\nheight = 8',
            "prompt[1].height: should be greater than or equal to 16, not 8",
            id="prompt-height",
        ),
        pytest.param(
            'id = "novel_pose"',
            'id = "novel_pose"\nnegative = 3',
            "prompt[1].negative: must be text in quotes, not 3",
            id="prompt-negative",
        ),
        pytest.param(
            'id = "novel_pose"',
            'id = "novel_pose"\nbleed = true',
            "prompt 'novel_pose' has bleed = true, and holds the trigger word 'spyke': take one of the two out",
            id="bleed-with-the-trigger",
        ),
        pytest.param(
            'spyke, standing in a forest"\n\n[[prompt]]\nid = "novel_pose"\ntext = "spyke, crouching"',
            'a man"\nbleed = true',
            "prompt 'forest' has bleed = true, and the plan names no trigger word: no other prompt contains its name, "
            "'spyke'. Write trigger_words = [...] under [publish]",
            id="bleed-without-a-trigger",
        ),
        pytest.param(
            'id = "novel_pose"',
            'id = "novel_pose"\nbleed = "yes"',
            "prompt[1].bleed: must be true or false, without quotes, not 'yes'",
            id="bleed-text",
        ),
        pytest.param(
            "[[prompt]]",
            '[[rival]]\nfile = "old.safetensors"\n\n[[prompt]]',
            "rival[0].label: is missing",
            id="rival-without-label",
        ),
        pytest.param(
            "[[prompt]]",
            '[[rival]]\nfile = "old.safetensors"\nlabel = "step7"\n\n[[prompt]]',
            "rival[0].label: 'step7' already means something else; a label is a word such as 'final'",
            id="rival-label-of-a-step",
        ),
        pytest.param(
            "[[prompt]]",
            '[[rival]]\nfile = "old.safetensors"\nlabel = "Final"\n\n[[prompt]]',
            "[[rival]] 'Final' is already a checkpoint's; each column needs its own label",
            id="rival-label-of-a-checkpoint",
        ),
        pytest.param(
            "[[prompt]]",
            '[[rival]]\nfile = "spyke.safetensors"\nlabel = "now"\n\n[[prompt]]',
            "[[rival]] 'now': 'spyke.safetensors' is production; write file = \"production\"",
            id="rival-production-by-name",
        ),
        pytest.param(
            "[[prompt]]",
            '[[rival]]\nfile = "spyke_final.safetensors"\nlabel = "old"\n\n[[prompt]]',
            "[[rival]] 'old': 'spyke_final.safetensors' is the name of an evaluation copy, which is replaced and "
            "removed by a run; give the rival's file another name",
            id="rival-evaluation-copy",
        ),
        pytest.param(
            "[[checkpoint]]",
            '[[lora]]\nfile = "../fast.safetensors"\n\n[[checkpoint]]',
            "lora[0].file: '../fast.safetensors' must be a file below the loras folder, with '/' between folders, and "
            "no '..'",
            id="lora-elsewhere",
        ),
        pytest.param(
            "[[checkpoint]]",
            '[[lora]]\nfile = "fast.safetensors"\nstrength = 0\n\n[[checkpoint]]',
            "lora[0].strength: 0 switches the LoRA off; take its table out of the plan",
            id="lora-off",
        ),
        pytest.param(
            "[[checkpoint]]",
            '[[lora]]\nfile = "fast.ckpt"\n\n[[checkpoint]]',
            "lora[0].file: 'fast.ckpt' does not end in .safetensors, the format that this suite can check",
            id="lora-format",
        ),
        pytest.param(
            "[[checkpoint]]",
            '[[lora]]\nfile = "x/spyke_final.safetensors"\n\n[[checkpoint]]',
            "[[lora]] 'x/spyke_final.safetensors' is a name of the LoRA under test, and would be rendered in the "
            "baseline too; name another file, or take the table out",
            id="lora-tested",
        ),
        pytest.param(
            "[[checkpoint]]",
            '[[lora]]\nfile = "a.safetensors"\n\n[[lora]]\nfile = "A.safetensors"\n\n[[checkpoint]]',
            "lora[1].file: 'A.safetensors' is already lora[0]'s; each needs its own",
            id="lora-twice",
        ),
        pytest.param("seeds = [42]", "seeds = []", "sampling.seeds: must have at least one entry", id="seeds-none"),
        pytest.param(
            "seeds = [42]",
            "seeds = 42",
            "sampling.seeds: 42 would draw 42 seeds, and 1 to 32 can be drawn; write [42] for the one seed",
            id="seeds-bare",
        ),
        pytest.param("seeds = [42]", "seeds = true", "sampling.seeds: must be a list, in [ ], not True", id="seeds-t"),
        pytest.param(
            "seeds = [42]",
            "seeds = 0",
            "sampling.seeds: 0 would draw 0 seeds, and 1 to 32 can be drawn; write [0] for the one seed",
            id="seeds-zero",
        ),
        pytest.param("seeds = [42]", "seeds = [1, 2, 1]", "sampling.seeds: [1, 2, 1] names a seed twice", id="seeds"),
        pytest.param(
            "seeds = [42]",
            "seeds = [-1]",
            "sampling.seeds[0]: should be greater than or equal to 0, not -1",
            id="seed-negative",
        ),
        pytest.param(
            "seeds = [42]",
            "seeds = [7, 1.5]",
            "sampling.seeds[1]: must be a whole number, without quotes, not 1.5",
            id="seed-fraction",
        ),
        pytest.param(
            "seeds = [42]",
            "seeds = [18446744073709551616]",
            "sampling.seeds[0]: should be less than 18446744073709551616, not 18446744073709551616",
            id="seed-large",
        ),
        pytest.param(
            "seeds = [42]",
            "seeds = [42]\nlora_strength = 0",
            "sampling.lora_strength: 0 switches the LoRA off, so every checkpoint would be the baseline; 1.0 is usual",
            id="lora_strength-zero",
        ),
        pytest.param(
            "seeds = [42]",
            "seeds = [42]\nlora_strengths = []",
            "sampling.lora_strengths: must have at least one entry",
            id="lora_strengths-none",
        ),
        pytest.param(
            "seeds = [42]",
            "seeds = [42]\nlora_strengths = 0.8",
            "sampling.lora_strengths: must be a list, in [ ], not 0.8",
            id="lora_strengths-no-list",
        ),
        pytest.param(
            "seeds = [42]",
            "seeds = [42]\nlora_strengths = [0.8, 0]",
            "sampling.lora_strengths[1]: 0 switches the LoRA off, so every checkpoint would be the baseline; "
            "1.0 is usual",
            id="lora_strengths-zero",
        ),
        pytest.param(
            "seeds = [42]",
            'seeds = [42]\nlora_strengths = [0.8, "1"]',
            "sampling.lora_strengths[1]: must be a number, without quotes, not '1'",
            id="lora_strengths-text",
        ),
        pytest.param(
            "seeds = [42]",
            "seeds = [42]\nlora_strengths = [0.8, 1, 0.80]",
            "sampling.lora_strengths: [0.8, 1, 0.8] names a strength twice",
            id="lora_strengths-twice",
        ),
        pytest.param(
            "seeds = [42]",
            "seeds = [42]\nlora_strength = 1.0\nlora_strengths = [0.8, 1.0]",
            "sampling: give either lora_strength = 1.0 or lora_strengths = [0.6, 0.8, 1.0]",
            id="lora_strengths-and-lora_strength",
        ),
        pytest.param(
            "seeds = [42]",
            "seeds = [42]\nnegative = []",
            "sampling.negative: must be text in quotes, not []",
            id="negative",
        ),
        pytest.param(
            "step = 600\n",
            "",
            "checkpoint[0]: neither the plan nor 'spyke-600.safetensors' says when it was saved; "
            'write step = 600 or epoch = 5, or label = "final"',
            id="step-missing",
        ),
        pytest.param(
            "step = 600", "step = -1", "checkpoint[0].step: should be greater than or equal to 0, not -1", id="step"
        ),
        pytest.param(
            _FILE,
            'file = "../x.safetensors"',
            "checkpoint[0].file: '../x.safetensors' " + _BELOW,
            id="file-above",
        ),
        pytest.param(
            _FILE,
            r"file = 'C:\x.safetensors'",
            r"checkpoint[0].file: 'C:\\x.safetensors' " + _BELOW,
            id="file-on-drive",
        ),
        pytest.param(
            _FILE,
            'file = "NUL.safetensors"',
            "checkpoint[0].file: 'NUL.safetensors' must be a plain file name everywhere, without a folder",
            id="file-nul",
        ),
        pytest.param(
            _FILE,
            'file = "x.ckpt"',
            "checkpoint[0].file: 'x.ckpt' does not end in .safetensors, the format that this suite can check",
            id="file-ckpt",
        ),
        pytest.param('"final"', '"step3"', f"checkpoint[1].label: 'step3' {_TAKEN}", id="label-step"),
        pytest.param('"final"', '"Baseline"', f"checkpoint[1].label: 'Baseline' {_TAKEN}", id="label-baseline"),
        pytest.param('"final"', '"12"', f"checkpoint[1].label: '12' {_TAKEN}", id="label-number"),
        pytest.param('"final"', '"a b"', f"checkpoint[1].label: 'a b' {_NOT_PORTABLE}", id="label-space"),
        pytest.param(
            '"final"', '"final"\nexpect = 1', "checkpoint[1].expect: must be text in quotes, not 1", id="expect"
        ),
        pytest.param('"forest"', '"a/b"', f"prompt[0].id: 'a/b' {_NOT_PORTABLE}", id="prompt-id-with-folder"),
        pytest.param('"forest"', '"Aux"', f"prompt[0].id: 'Aux' {_NOT_PORTABLE}", id="prompt-id-aux"),
        pytest.param(
            '"spyke, crouching"', '"\\n"', "prompt[1].text: is empty; write what it should say", id="prompt-text"
        ),
        pytest.param(
            '"spyke, crouching"', '"x"\npurpose = 1', "prompt[1].purpose: must be text in quotes, not 1", id="purpose"
        ),
        pytest.param('"hair"', '"hair?"', f"criterion[0].id: 'hair?' {_NOT_PORTABLE}", id="criterion-id"),
        pytest.param(
            '"Ginger hair"', '""', "criterion[0].text: is empty; write what it should say", id="criterion-text"
        ),
        pytest.param(
            '"Ginger hair"',
            '"x"\nrequired = "yes"',
            "criterion[0].required: must be true or false, without quotes, not 'yes'",
            id="required",
        ),
        pytest.param(
            '[production]\nfile = "spyke.safetensors"',
            '[production]\nfile = "x"',
            "production.file: 'x' does not end in .safetensors, the format that this suite can check",
            id="production-file",
        ),
        pytest.param(
            '[production]\nfile = "spyke.safetensors"',
            '[production]\nfile = "spyke_Final.safetensors"',
            "production.file 'spyke_Final.safetensors' is also the name of an evaluation copy, "
            "which is removed after deployment; give production another name",
            id="production-is-a-copy",
        ),
        pytest.param(
            "[production]",
            '[production]\nmin_size = "big"',
            "production.min_size: 'big' is not a size; write it like \"50 MB\"",
            id="min_size",
        ),
        pytest.param(
            "[production]",
            "[production]\nmax_size = -5",
            'production.max_size: -5 is not a size; write it like "50 MB"',
            id="max_size",
        ),
        pytest.param(
            "[production]",
            "[production]\nmax_size = true",
            'production.max_size: True is not a size; write it like "50 MB"',
            id="max_size-true",
        ),
        pytest.param(
            "[production]",
            '[production]\nmin_size = "2 MB"\nmax_size = "1 MB"',
            "production: min_size is larger than max_size",
            id="sizes-swapped",
        ),
        pytest.param(
            "[production]",
            '[production]\nforbidden = [" "]',
            "production.forbidden[0]: is empty; write what it should say",
            id="forbidden-empty",
        ),
        pytest.param(
            "[production]",
            '[production]\nforbidden = "june"',
            "production.forbidden: must be a list, in [ ], not 'june'",
            id="forbidden-text",
        ),
    ],
)
def test_mistake_is_told(draft: Draft, old: str, new: str, mistake: str) -> None:
    """Each mistake is told by itself, with its key, what was found, and what would be right."""
    assert draft.change(old, new).mistakes() == [mistake]


@pytest.mark.parametrize("table", ["paths", "comfyui", "sampling", "production"])
def test_missing_table_is_told(draft: Draft, table: str) -> None:
    """A table that is not there is named, and so is the one that stands in its place."""
    mistakes = draft.change(f"[{table}]", f"[{table}x]").mistakes()

    assert mistakes == [f"{table}: is missing", f"{table}x: unknown key; did you mean {table!r}?"]


@pytest.mark.parametrize("table", ["paths", "comfyui", "sampling", "production"])
def test_table_that_is_none_is_told(draft: Draft, table: str) -> None:
    """A value where a table belongs is told, with the way to write the table."""
    head, _, tail = draft.text.partition(f"[{table}]\n")
    draft.text = f"{table} = 3\n{head}" + (f"[{tail.partition(chr(10) + '[')[2]}" if "\n[" in tail else "")

    assert draft.mistakes() == [f"{table}: must be a table, [{table}]"]


@pytest.mark.parametrize(
    ("given", "mistake"),
    [
        pytest.param('{id = "forest", text = "x"}', "must be written as [[prompt]], once for each", id="one-table"),
        pytest.param('["x"]', "must be a table, [[prompt]]", id="not-tables"),
        pytest.param("[]", "must have at least one entry", id="empty"),
    ],
)
def test_prompts_that_are_no_tables_are_told(draft: Draft, given: str, mistake: str) -> None:
    """Prompts written in another way than as [[prompt]] are told, with the way to write them."""
    head, _, tail = draft.text.partition("[[prompt]]")
    draft.text = f"prompt = {given}\n{head}[[criterion]]{tail.partition('[[criterion]]')[2]}"
    key = "prompt[0]" if given == '["x"]' else "prompt"

    assert draft.mistakes() == [f"{key}: {mistake}"]


def test_all_mistakes_are_listed_at_once(draft: Draft) -> None:
    """Mistakes all over a plan are told in one message, so that one look mends them all."""
    draft.change('name = "spyke"', "name = 1").change('comfyui = "ComfyUI"', "comfyui = 2")
    draft.change("steps = 20", "stepz = 20").change("width = 512", "width = 8").change(
        'id = "novel_pose"', 'id = "Forest"'
    )
    draft.change("step = 600", 'step = "600"').change("[production]", '[production]\nmin_size = "?"')

    assert draft.mistakes() == [
        "name: must be text in quotes, not 1",
        "paths.comfyui: must be a path in quotes, not 2",
        "sampling.width: should be greater than or equal to 16, not 8",
        "sampling.stepz: unknown key; did you mean 'steps'?",
        "checkpoint[0].step: must be a whole number, without quotes, not '600'",
        "production.min_size: '?' is not a size; write it like \"50 MB\"",
        "sampling.steps: is missing",
        "prompt[1].id: 'Forest' is already prompt[0]'s; each needs its own",
    ]


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        pytest.param(
            'step = 920\nlabel = "final"', "step = 600", "checkpoint[1].step: 600 is already checkpoint[0]'s", id="step"
        ),
        pytest.param(
            "step = 600",
            'step = 600\nlabel = "Final"',
            "checkpoint[1].label: 'final' is already checkpoint[0]'s",
            id="label",
        ),
        pytest.param(
            "spyke-600.safetensors",
            "SPYKE.safetensors",
            "checkpoint[1].file: 'spyke.safetensors' is already checkpoint[0]'s",
            id="file-by-case",
        ),
        pytest.param('"forest"', '"novel_pose"', "prompt[1].id: 'novel_pose' is already prompt[0]'s", id="prompt"),
        pytest.param(
            "[production]",
            '[[criterion]]\nid = "HAIR"\ntext = "x"\n[production]',
            "criterion[1].id: 'HAIR' is already criterion[0]'s",
            id="criterion-by-case",
        ),
    ],
)
def test_duplicate_is_told(draft: Draft, old: str, new: str, mistake: str) -> None:
    """Two things of one name, which would be one file on macOS and Windows, are told with both their places."""
    assert draft.change(old, new).mistakes() == [f"{mistake}; each needs its own"]


def test_criterion_of_an_unknown_prompt_is_told(draft: Draft) -> None:
    """A criterion that is to be looked for on a prompt that the plan does not have is told with those it has."""
    draft.change('"Ginger hair"', '"Ginger hair"\nprompts = ["forest", "pose"]')

    assert draft.mistakes() == [
        "criterion 'hair' names the prompt 'pose', which the plan does not have; it has forest, novel_pose"
    ]


def test_cells_of_one_name_are_told(draft: Draft) -> None:
    """A label and a prompt id that together read like another pair would share one test id; both are named."""
    draft.change("step = 600", 'step = 600\nlabel = "a"').change('"final"', '"a-b"')
    draft.change('"forest"', '"c"').change('"novel_pose"', '"b-c"')

    assert draft.mistakes() == [
        "'a' on prompt 'b-c' and 'a-b' on prompt 'c' would both be called a-b-c; rename one of the prompts"
    ]


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        pytest.param('title = "', 'titel = "', "titel: unknown key; did you mean 'title'?", id="top"),
        pytest.param("[[prompt]]", "[[prompts]]", "prompts: unknown key; did you mean 'prompt'?", id="list"),
        pytest.param(
            'label = "', 'labl = "', "checkpoint[1].labl: unknown key; did you mean 'label'?", id="checkpoint"
        ),
        pytest.param("seeds =", "seed =", "sampling.seed: unknown key; did you mean 'seeds'?", id="sampling"),
        pytest.param(
            "[production]",
            "[production]\nzzz = 1",
            "production.zzz: unknown key; known are file, min_size, max_size, forbidden, workflows",
            id="nothing-near",
        ),
    ],
)
def test_unknown_key_is_told_with_what_was_meant(draft: Draft, old: str, new: str, mistake: str) -> None:
    """A mistyped key is never ignored: the nearest known one is offered, or all of them."""
    assert mistake in draft.change(old, new).mistakes()


def test_missing_plan_names_those_that_are_there(tmp_path: Path) -> None:
    """A plan that is not there is named, with the plans beside it, and with what writes one."""
    (tmp_path / "spyke.toml").touch()

    with pytest.raises(PlanError) as caught:
        read_plan(tmp_path / "kira.toml")

    assert str(caught.value) == (
        f"No plan at {tmp_path / 'kira.toml'}. There are: {tmp_path / 'spyke.toml'}. "
        "--new-plan=FOLDER writes one from a training folder."
    )


def test_mistyped_plan_is_suggested(tmp_path: Path) -> None:
    """A name that is nearly a plan's is answered with that plan alone."""
    (tmp_path / "spyke.toml").touch()
    (tmp_path / "kira.toml").touch()
    with pytest.raises(PlanError) as caught:
        read_plan(tmp_path / "spike.toml")
    assert f"No plan at {tmp_path / 'spike.toml'}. Did you mean --plan={tmp_path / 'spyke.toml'}?" == str(caught.value)


def test_missing_plan_in_an_empty_folder_tells_the_option(tmp_path: Path) -> None:
    """Where there are no plans to offer, the option that names one is told."""
    with pytest.raises(PlanError) as caught:
        read_plan(tmp_path / "spyke.toml")

    assert str(caught.value) == (
        f"No plan at {tmp_path / 'spyke.toml'}. Name one with --plan=FILE. "
        "--new-plan=FOLDER writes one from a training folder."
    )


def test_plan_that_is_named_without_its_folder_is_suggested(tmp_path: Path) -> None:
    """`--plan=kira` is answered with plans/kira.toml, where that is there."""
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "kira.toml").touch()
    with pytest.raises(PlanError) as caught:
        read_plan(tmp_path / "kira")
    assert f"No plan at {tmp_path / 'kira'}. Did you mean --plan={tmp_path / 'plans' / 'kira.toml'}?" == str(
        caught.value
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("name = [}", "Invalid value (at line 1, column 9)", id="syntax"),
        pytest.param("steps = " + "9" * 5000, "Exceeds the limit (4300 digits)", id="endless-number"),
        pytest.param("steps = " + "[" * 100_000, "maximum recursion depth exceeded", id="endless-nesting"),
    ],
)
def test_what_is_not_toml_is_told_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    """A file that is not TOML is told with the line and column, and with an example to look at."""
    (tmp_path / "plan.toml").write_text(text)

    with pytest.raises(PlanError) as caught:
        read_plan(tmp_path / "plan.toml")

    assert str(caught.value).startswith(f"The plan {tmp_path / 'plan.toml'} is not TOML: {reason}")
    assert str(caught.value).endswith(" plans/spyke.toml shows the format.")


def test_plan_in_another_encoding_is_told(tmp_path: Path) -> None:
    """A file that is not UTF-8 is told by name."""
    (tmp_path / "plan.toml").write_bytes('title = "Spyké"'.encode("latin-1"))

    with pytest.raises(PlanError, match=r"plan\.toml is not UTF-8: a letter in line 1 is in another encoding"):
        read_plan(tmp_path / "plan.toml")


def test_folder_instead_of_a_plan_is_told(tmp_path: Path) -> None:
    """A folder where the plan should be is told by name."""
    with pytest.raises(PlanError) as caught:
        read_plan(tmp_path)

    assert str(caught.value).startswith(f"The plan {tmp_path} cannot be read: ")


def test_relative_paths_start_where_the_plan_says(draft: Draft, tmp_path: Path) -> None:
    """Relative paths start at `project`, `loras` at `comfyui`, and `project` at the plan's folder."""
    draft.change('188"\n', '188"\nworkflow = "flows/lora.json"\n')
    paths = 'comfyui = "ComfyUI"\ntraining_images = "data"\nsummary = "notes/S.md"'
    plan = draft.change('comfyui = "ComfyUI"', paths).read()

    code = tmp_path / "code"
    assert plan.paths.model_dump() == {
        "project": code,
        "checkpoints": code / "output",
        "comfyui": code / "ComfyUI",
        "loras": code / "ComfyUI" / "models" / "loras",
        "training_images": code / "data",
        "summary": code / "notes" / "S.md",
    }
    assert plan.workflow == code / "flows" / "lora.json"


def test_plan_named_relatively_gives_absolute_paths(
    draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are absolute also where the plan was named by a relative path."""
    draft.read()
    monkeypatch.chdir(tmp_path)

    assert read_plan(Path("plan.toml")).paths.project == tmp_path / "code"


def test_home_is_expanded(draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home folder of whoever runs the suite, in every path."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    draft.change('"code"', '"~/Code"').change('"ComfyUI"', '"~/ComfyUI"').change(
        '188"\n', '188"\nworkflow = "~/w.json"\n'
    )
    plan = draft.read()

    assert plan.paths.project == tmp_path / "home" / "Code"
    assert plan.paths.checkpoints == tmp_path / "home" / "Code" / "output"
    assert plan.paths.loras == tmp_path / "home" / "ComfyUI" / "models" / "loras"
    assert plan.workflow == tmp_path / "home" / "w.json"


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_linked_training_folder_is_seen_through(draft: Draft, tmp_path: Path) -> None:
    """A training folder that is a link to the loras folder is the same folder; files there would be overwritten."""
    loras = tmp_path / "code" / "ComfyUI" / "models" / "loras"
    loras.mkdir(parents=True)
    (tmp_path / "code" / "output").symlink_to(loras)

    assert [mistake[:57] for mistake in draft.mistakes()] == [
        "paths: `checkpoints` and `loras` are the same folder; kee"
    ]


def test_override_wins_over_the_file(draft: Draft, tmp_path: Path) -> None:
    """What the command line says replaces single keys, and relative paths start where the plan's do."""
    plan = draft.read(
        {
            "paths": {"comfyui": str(tmp_path / "other")},
            "comfyui": {"url": None, "urls": ["http://a/", "http://b", "http://a"]},
        }
    )

    assert plan.paths.loras == tmp_path / "other" / "models" / "loras"
    assert plan.paths.checkpoints == tmp_path / "code" / "output"
    assert plan.comfyui.servers == ("http://a", "http://b")


def test_mistake_in_an_override_is_told(draft: Draft) -> None:
    """A wrong address on the command line is told as a wrong one in the plan is."""
    assert draft.mistakes({"comfyui": {"url": None, "urls": ["nope"]}}) == [f"comfyui.urls[0]: 'nope' {_ADDRESS}"]


def test_override_of_a_table_that_is_missing_hides_nothing(draft: Draft) -> None:
    """An override fills its own keys of a missing table; the others are still told."""
    draft.change("[paths]", "[pathz]")

    assert draft.mistakes({"paths": {"comfyui": "x"}}) == [
        "paths.project: is missing",
        "paths.checkpoints: is missing",
        "pathz: unknown key; did you mean 'paths'?",
    ]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param('"50 MB"', 50_000_000, id="decimal"),
        pytest.param('"1MiB"', 2**20, id="binary"),
        pytest.param("123", 123, id="bytes"),
    ],
)
def test_size_is_read(draft: Draft, size: str, expected: int) -> None:
    """A size is read with its unit; a bare number is bytes."""
    assert draft.change("[production]", f"[production]\nmin_size = {size}").read().production.min_size == expected


def test_file_name_may_have_any_letters(draft: Draft) -> None:
    """The trainer's file may be called what it likes, as long as it is a file in one folder."""
    plan = draft.change("spyke-600.safetensors", "Spyké 1 - Schritt 600.safetensors").read()

    assert plan.training_file(plan.checkpoints[0]).name == "Spyké 1 - Schritt 600.safetensors"


OWN = """
workflow = "mine.json"
[comfyui.nodes]
prompt = ["11.value"]
lora = "10.lora_1"
"""


def test_own_workflow_brings_its_settings(draft: Draft) -> None:
    """With an own workflow all settings but the seeds may be left out, and parts of it be named."""
    left_out = ("base_model", "sampler", "scheduler", "steps", "cfg", "width", "height")
    for line in [line for line in draft.text.splitlines() if line.split(" =")[0] in left_out]:
        draft.change(f"{line}\n", "")
    assert [f"sampling.{key}: is missing" for key in left_out] == draft.mistakes()
    draft.change("\n[sampling]", f"{OWN}\n[sampling]")
    plan = draft.read()
    assert [] == [key for key in left_out if plan.sampling.gives(key)]
    assert (("11.value",), "10.lora_1", None) == (
        plan.comfyui.nodes.prompt,
        plan.comfyui.nodes.lora,
        plan.comfyui.nodes.picture,
    )


def test_wrong_names_in_nodes_are_told(draft: Draft) -> None:
    """A mistyped part of an own workflow is told, and so is one of no workflow at all."""
    draft.change("\n[sampling]", f"{OWN.replace('lora =', 'lorra =')}\n[sampling]")
    assert ["comfyui.nodes.lorra: unknown key; did you mean 'lora'?"] == draft.mistakes()
    draft.change("lorra", "lora").change('workflow = "mine.json"', "")
    assert [
        "comfyui: [comfyui.nodes] names nodes of a workflow of your own; name its file with `workflow`, or take it out"
    ] == draft.mistakes()
