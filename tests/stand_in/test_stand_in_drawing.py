"""The drawing tells under-training, the sweet spot and over-training apart."""

import time
from dataclasses import replace
from itertools import pairwise

import pytest
from PIL import Image, ImageChops, ImageStat

from stand_in.drawing import TRAINING_IMAGES, draw, draw_training_image
from stand_in.looks import Stage, look_of, stage_of
from stand_in.training import TrainingRun
from stand_in.values import Applied, Clip, Conditioning, Latent, Lora, Model, Sampling, Vae

FOREST = "spyke_plasma_v1, standing in a forest, dramatic lighting, anime style, full body"
CROUCH = "spyke_plasma_v1, crouching, looking up at the sky, urban environment, anime style"
STUDY = "spyke_plasma_v1, full body, front view, detailed character study, arms at sides, anime style"
VAE = Vae(base="base")


def applied(fraction: float, strength: float = 1.0) -> tuple[Applied, ...]:
    """Return a LoRA of that training fraction."""
    lora = Lora(trigger="spyke_plasma_v1", fraction=fraction, digest=str(fraction), fits_model=True, fits_clip=True)
    return (Applied(lora=lora, strength=strength),)


def latent(loras: tuple[Applied, ...], text: str, size: tuple[int, int] = (256, 256), seed: int = 42) -> Latent:
    """Return sampled latents."""
    clip = Clip(base="base", last_layer=-2)
    start = Latent(width=size[0], height=size[1], batch=1)
    sampling = Sampling(
        model=Model(base="base", loras=loras),
        positive=Conditioning(text=text, clip=clip),
        negative=Conditioning(text="", clip=clip),
        start=start,
        seed=seed,
        steps=20,
        cfg=7.0,
        sampler="euler_ancestral",
        scheduler="normal",
        denoise=1.0,
    )
    return replace(start, sampling=sampling)


def difference(first: Image.Image, second: Image.Image) -> float:
    """Return how far two pictures are apart, 0 to 255 on average."""
    means = ImageStat.Stat(ImageChops.difference(first, second)).mean
    return sum(means) / len(means)


@pytest.mark.parametrize(
    ("step", "stage"),
    [
        (200, Stage.UNDER),
        (400, Stage.PARTIAL),
        (600, Stage.SWEET),
        (800, Stage.SLIPPING),
        (920, Stage.OVERFIT),
    ],
)
def test_checkpoints_are_at_their_stages(step: int, stage: Stage) -> None:
    """Spyke's five checkpoints show what the shipped plan expects of them."""
    assert stage is stage_of(applied(step / 920), FOREST)


def test_strength_and_trigger_weigh() -> None:
    """Half the strength is half the training; without the trigger word less shows; backwards, nothing."""
    assert Stage.PARTIAL is stage_of(applied(0.8, 0.5), FOREST)
    assert Stage.PARTIAL is stage_of(applied(0.65), "a man in a forest")
    assert Stage.GENERIC is stage_of(applied(0.65, -1.0), FOREST)
    assert Stage.GENERIC is stage_of((), FOREST)


def test_features_come_with_training() -> None:
    """The cloak begins first; bracer and pauldron are on their sides at the sweet spot, on the wrong ones beside it."""
    looks = [look_of(stage) for stage in Stage]
    assert [None, None, "left", "right", "right", "right"] == [look.bracer for look in looks]
    assert [None, None, None, "left", "right", "left"] == [look.pauldron for look in looks]
    assert [0, 0, 0.4, 1, 1, 1] == [look.cloak for look in looks]


def test_bracer_is_on_the_viewers_left_and_pauldron_on_the_right() -> None:
    """In front view, gold is seen at the character's right arm, steel at its left knee, and not the other way."""
    best, before, after = (draw(latent(applied(share), STUDY, (512, 512)), VAE) for share in (0.65, 0.5, 0.87))

    def near(colour: tuple[int, int, int], box: tuple[int, int, int, int], picture: Image.Image = best) -> int:
        part = picture.crop(box)
        colours = part.getcolors(part.width * part.height) or []
        return sum(n for n, found in colours if isinstance(found, tuple) and found == colour)

    gold, steel = (236, 184, 72), (120, 142, 176)
    assert near(gold, (150, 290, 215, 335)) > 200 > near(gold, (297, 290, 362, 335))
    assert near(steel, (256, 350, 320, 420)) > 400 > near(steel, (192, 350, 256, 420))
    assert near(gold, (150, 290, 215, 335), before) < 200 < near(gold, (297, 290, 362, 335), before)
    assert near(steel, (256, 350, 320, 420), after) < 400 < near(steel, (192, 350, 256, 420), after)


@pytest.mark.parametrize("count", range(2, 21))
def test_any_training_run_has_one_best_checkpoint_before_its_end(count: int) -> None:
    """With 2 to 20 checkpoints just one shows all features on their sides and crouches; the last one is overfit."""
    run = TrainingRun(checkpoints={f"{n}.safetensors": 100 * n for n in range(1, count + 1)})
    stages = [stage_of(applied(run.shown_training(step)), FOREST) for step in run.checkpoints.values()]
    assert 1 == stages.count(Stage.SWEET)
    assert Stage.OVERFIT is stages[-1]
    assert sorted(stages) == stages


@pytest.mark.parametrize("text", [FOREST, CROUCH, STUDY], ids=["forest", "crouch", "study"])
def test_best_beats_its_neighbours_on_every_prompt(text: str) -> None:
    """What 400 and 800 draw is plainly another picture than what 600 draws, whatever is asked for."""
    before, best, after = (draw(latent(applied(step / 920), text), VAE) for step in (400, 600, 800))
    assert difference(best, before) > 2
    assert difference(best, after) > 0.5


@pytest.mark.parametrize("text", [FOREST, CROUCH, STUDY], ids=["forest", "crouch", "study"])
def test_checkpoints_differ_by_eye(text: str) -> None:
    """Along a row, each stage is plainly another picture, but for the under-trained one and the baseline."""
    row = [draw(latent(applied(step / 920) if step else (), text), VAE) for step in (0, 200, 400, 600, 920)]
    assert 0 < difference(row[0], row[1]) < 1.5
    assert all(difference(first, second) > 2 for first, second in pairwise(row[1:]))


def test_crouch_slips_before_it_is_lost() -> None:
    """The sweet spot crouches; then the figure half stands, and in the end copies a training image."""
    sweet, slipping, overfit = (draw(latent(applied(f), CROUCH), VAE) for f in (0.65, 0.87, 1.0))
    assert difference(sweet, slipping) > 5
    copies = [difference(overfit, draw_training_image(index, (256, 256))) for index in range(TRAINING_IMAGES)]
    assert min(copies) < 0.1
    assert min(difference(sweet, draw_training_image(index, (256, 256))) for index in range(TRAINING_IMAGES)) > 20


def test_overfit_ignores_the_prompt() -> None:
    """The final checkpoint gives the same scene for every prompt, and yet never the very same pixels."""
    first, second = (draw(latent(applied(1.0), text), VAE) for text in (FOREST, CROUCH))
    assert 0 < difference(first, second) < 0.1


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (512, 768), (768, 512), (1536, 1024)], ids=str)
def test_any_size(size: tuple[int, int]) -> None:
    """A picture has the size that was asked for, and is not blank."""
    picture = draw(latent(applied(0.65), CROUCH, size), VAE)
    assert size == picture.size
    assert len(picture.getcolors(size[0] * size[1]) or []) > 16


def test_drawing_is_quick_and_repeatable() -> None:
    """The same latents give the same pixels, in well under a second of processor time."""
    draw(latent((), FOREST), VAE)
    start = time.thread_time()
    first = draw(latent(applied(0.65), FOREST, (512, 512)), VAE)
    assert time.thread_time() - start < 0.5
    assert first.tobytes() == draw(latent(applied(0.65), FOREST, (512, 512)), VAE).tobytes()


def test_label_is_below_the_figure() -> None:
    """The word at the bottom darkens a corner, and leaves the figure alone."""
    picture = draw(latent(applied(0.65), STUDY, (512, 512)), VAE)
    corner = ImageStat.Stat(picture.crop((420, 496, 512, 512))).mean
    beside = ImageStat.Stat(picture.crop((0, 496, 92, 512))).mean
    assert sum(corner) < sum(beside) - 100
