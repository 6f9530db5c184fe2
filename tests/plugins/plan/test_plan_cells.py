"""The matrix of cells: their order, ids and places, and which changes of a plan ask for other pictures."""

import pytest

from plugins.plan.cells import also_chosen, matrix
from tests.plugins.plan.plan_draft import Draft


def test_matrix_goes_column_by_column_with_the_baseline_first(draft: Draft) -> None:
    """Cells come checkpoint by checkpoint in training order, each from the top prompt down, after the baseline."""
    step_600 = '[[checkpoint]]\nstep = 600\nfile = "spyke-600.safetensors"\n\n'
    draft.change(step_600, "").change("[[prompt]]", f"{step_600}[[prompt]]")  # written last, trained first

    assert [cell.id for cell in matrix(draft.read())] == [
        "baseline-forest",
        "baseline-novel_pose",
        "step600-forest",
        "step600-novel_pose",
        "final-forest",
        "final-novel_pose",
    ]


def test_several_seeds_have_rows_of_their_own(draft: Draft) -> None:
    """With several seeds, each prompt has a row for each, which is named for it."""
    cells = matrix(draft.change("seeds = [42]", "seeds = [7, 1]").read())

    assert [(cell.row, cell.seed) for cell in cells[:4]] == [
        ("forest-seed7", 7),
        ("forest-seed1", 1),
        ("novel_pose-seed7", 7),
        ("novel_pose-seed1", 1),
    ]
    assert len({cell.id for cell in cells}) == len(cells) == 12


def test_trigger_is_a_word_of_its_own(draft: Draft) -> None:
    """A trigger that is part of another word is not held: "spykelet" may stand where bleeding is looked for."""
    plan = draft.change('text = "spyke, crouching"', 'text = "A spykelet"\nbleed = true').read()

    assert (plan.trigger_words, plan.bleeding) == (("spyke",), frozenset({"novel_pose"}))


def test_number_of_seeds_draws_the_same_ones_everywhere(draft: Draft) -> None:
    """A bare number draws as many seeds, the same on every machine; raising it keeps the pictures of those before."""
    five = draft.change("seeds = [42]", "seeds = 5").read()
    three = draft.change("seeds = 5", "seeds = 3").read()

    assert five.sampling.seeds == (794572525, 2723981116, 2095447248, 514305297, 3769105194)
    assert three.sampling.seeds == five.sampling.seeds[:3]
    listed = draft.change("seeds = 3", f"seeds = {list(three.sampling.seeds)}").read()
    assert listed.digest == three.digest
    assert [cell.row for cell in matrix(listed)[:2]] == [f"forest-seed{seed}" for seed in three.sampling.seeds[:2]]


def test_several_strengths_are_an_axis_of_the_checkpoints(draft: Draft) -> None:
    """With several strengths a checkpoint is rendered at each, which its ids and pictures are named for."""
    cells = matrix(draft.change("seeds = [42]", "seeds = [42]\nlora_strengths = [0.8, 1]").read())

    assert [cell.id for cell in cells[:6]] == [
        "baseline-forest",
        "baseline-novel_pose",
        "step600-forest-strength0.8",
        "step600-novel_pose-strength0.8",
        "step600-forest-strength1",
        "step600-novel_pose-strength1",
    ]
    assert (cells[2].row, cells[2].strength, cells[2].baseline) == ("forest", 0.8, cells[0])
    assert str(cells[2].picture) == "step600/forest-strength0.8.png"


def test_one_strength_in_a_list_is_the_short_form(draft: Draft) -> None:
    """A list of one strength gives the ids of a plan with one strength, and that strength."""
    plan = draft.change("seeds = [42]", "seeds = [42]\nlora_strengths = [0.8]").read()

    assert [cell.id for cell in matrix(plan)][2] == "step600-forest"
    assert (plan.sampling.strengths, plan.sampling.gives("lora_strength")) == ((0.8,), True)


def test_cell_says_which_it_is_and_where_its_picture_lies(draft: Draft) -> None:
    """A cell reads the same in test ids, on the terminal and as a path."""
    cell = matrix(draft.read())[-1]

    assert (cell.id, str(cell), str(cell.picture)) == (
        "final-novel_pose",
        "final x novel_pose",
        "final/novel_pose.png",
    )


def test_baseline_has_no_checkpoint(draft: Draft) -> None:
    """The baseline is a cell without a checkpoint."""
    cell = matrix(draft.read())[0]

    assert (cell.column, cell.checkpoint, str(cell.picture)) == ("baseline", None, "baseline/forest.png")


def test_staged_file_is_labelled_by_step(draft: Draft) -> None:
    """An evaluation copy is named for the LoRA and its step, the last one for its label."""
    plan = draft.read()

    assert [plan.staged_file(one) for one in plan.checkpoints] == [
        "spyke_step600.safetensors",
        "spyke_final.safetensors",
    ]


def test_picker_name_is_without_the_extension(draft: Draft) -> None:
    """Workflows name the production LoRA by its file's stem."""
    assert draft.read().production.lora_name == "spyke"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param('title = "Spyke LoRA, small"', 'title = "Other"', id="title"),
        pytest.param('label = "final"', 'label = "final"\nexpect = "Overfit"', id="expect"),
        pytest.param('"spyke, crouching"', '"spyke, crouching"\npurpose = "Novel"', id="purpose"),
        pytest.param('"Ginger hair"', '"Red hair"', id="criterion"),
        pytest.param('project = "code"', 'project = "elsewhere"', id="project"),
        pytest.param("http://127.0.0.1:8188", "http://other:1", id="server"),
        pytest.param("[production]", '[production]\nmin_size = "1 MB"', id="size"),
    ],
)
def test_digest_stays_where_pictures_stay(draft: Draft, old: str, new: str) -> None:
    """What changes no picture changes no digest."""
    before = draft.read().digest

    assert draft.change(old, new).read().digest == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param('name = "spyke"', 'name = "spike"', id="name"),
        pytest.param("spyke, crouching", "spyke, standing", id="prompt"),
        pytest.param('"novel_pose"', '"pose"', id="prompt-id"),
        pytest.param("seeds = [42]", "seeds = [43]", id="seed"),
        pytest.param("steps = 20", "steps = 21", id="steps"),
        pytest.param("cfg = 7.0", "cfg = 7.5", id="cfg"),
        pytest.param("width = 512", "width = 640", id="width"),
        pytest.param("AnythingXL_inkBase", "other", id="base-model"),
        pytest.param("seeds = [42]", 'seeds = [42]\nnegative = "blurry"', id="negative"),
        pytest.param("seeds = [42]", "seeds = [42]\nclip_skip = 2", id="clip-skip"),
        pytest.param("seeds = [42]", "seeds = [42]\nlora_strength = 0.8", id="strength"),
        pytest.param("step = 600", "step = 601", id="step"),
        pytest.param("spyke-600.safetensors", "other.safetensors", id="file"),
    ],
)
def test_digest_changes_with_what_is_tested(draft: Draft, old: str, new: str) -> None:
    """What may change a picture changes the digest."""
    before = draft.read().digest

    assert draft.change(old, new).read().digest != before


def test_plan_cannot_be_changed(draft: Draft) -> None:
    """A plan is frozen once it was read."""
    plan = draft.read()

    with pytest.raises(ValueError, match="frozen"):
        plan.sampling.steps = 1  # type: ignore[misc]  # what is forbidden is tried


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ("step600", ["-k step600 also selects step6000. For step600 alone write -k step600-"]),
        ("step600 and forest", ["-k step600 also selects step6000. For step600 alone write -k step600-"]),
        ("step600-", []),
        ("step6000", []),
        ("step", []),
        ("", []),
    ],
)
def test_what_else_a_keyword_chooses_is_said(keywords: str, said: list[str]) -> None:
    """A checkpoint's id that is part of another's chooses both; with a dash behind it, it is exact."""
    assert said == list(also_chosen(keywords, ["step600", "step6000", "final"]))
