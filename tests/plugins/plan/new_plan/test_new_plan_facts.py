"""What headers and trainers' settings say becomes what the plan needs, each with where it is from."""

import json
from pathlib import Path
from typing import Any

import pytest

from plugins.plan.new_plan.facts import Fact, Facts, facts_of
from plugins.plan.new_plan.runs import find_run
from plugins.plan.new_plan.settings import read_settings
from tests.lora_files import FLUX, XL, kohya, peft, write_file

TOOLKIT = """
job: extension
config:
  name: kira
  process:
    - type: sd_trainer
      trigger_word: k1ra
      datasets:
        - folder_path: data
      model: {name_or_path: black-forest-labs/FLUX.1-dev, is_flux: true}
      sample:
        sampler: flowmatch
        width: 1024
        height: 768
        prompts: ["[trigger] in a cafe", "a dog --seed 3"]
        neg: ""
        seed: 7
        guidance_scale: 4
        sample_steps: 25
"""


def facts(folder: Path, **notes: str) -> Facts:
    """Write an SDXL LoRA with these notes, and gather what is known of it."""
    write_file(folder / "kira.safetensors", kohya(XL), notes)
    return facts_of(find_run(folder))


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        pytest.param({"ss_sd_model_name": "animagine.safetensors"},
                     {"base_model": Fact(value="animagine.safetensors", source="ss_sd_model_name")}, id="base-model"),
        pytest.param({"ss_sd_model_name": r"D:\models\animagine.safetensors"},
                     {"base_model": Fact(value="animagine.safetensors", source="ss_sd_model_name")}, id="windows-path"),
        pytest.param({"ss_sd_model_name": "stabilityai/stable-diffusion-xl-base-1.0"},
                     {"base_model": Fact(value="stable-diffusion-xl-base-1.0")}, id="hub-name"),
        pytest.param({"ss_dataset_dirs": json.dumps({"10_k1ra": {"n_repeats": 10, "img_count": 20}})},
                     {"trigger": Fact(value="k1ra", source="the dataset folder")}, id="dataset-folder"),
        pytest.param({"ss_datasets": json.dumps([{"subsets": [{"class_tokens": "ohwx man"}]}])},
                     {"trigger": Fact(value="ohwx man", source="class_tokens")}, id="class-tokens"),
        pytest.param({"ss_tag_frequency": json.dumps({"img": {"k1ra": 20, "1girl": 18}})},
                     {"trigger": Fact(value="k1ra", source="the captions")}, id="captions"),
        pytest.param({"ss_tag_frequency": json.dumps({"5_kira woman": {"k1ra": 20, "smile": 9}}),
                      "ss_datasets": json.dumps([{"subsets": [{"class_tokens": "kira woman"}]}])},
                     {"trigger": Fact(value="k1ra", source="the captions")}, id="class-tokens-not-in-captions"),
        pytest.param({"ss_tag_frequency": json.dumps({"5_kira woman": {"k1ra": 20, "1girl": 20}})},
                     {"trigger": Fact(value="k1ra")}, id="two-tags-in-all-captions"),
        pytest.param({"ss_tag_frequency": json.dumps({"5_kira woman": {"photo of Kira Woman": 1, "1girl": 20}})},
                     {"trigger": Fact(value="kira woman", source="the dataset folder")}, id="folder-in-captions"),
        pytest.param({"ss_tag_frequency": json.dumps({"10_man": {"woman": 20, "smile": 9}})},
                     {"trigger": Fact(value="woman", source="the captions")}, id="folder-inside-a-word"),
        pytest.param({"ss_tag_frequency": json.dumps({"img": {"ohwx": 20, "woman": 20}}),
                      "ss_datasets": json.dumps([{"subsets": [{"class_tokens": "ohwx, woman"}]}])},
                     {"trigger": Fact(value="ohwx, woman", source="class_tokens")}, id="class-tokens-cut-at-commas"),
        pytest.param({"ss_tag_frequency": json.dumps({"img": {"k1ra": 20}, "1_woman": {"woman": 90}}),
                      "ss_datasets": json.dumps([{"subsets": [
                          {"image_dir": "img", "class_tokens": "ohwx woman", "is_reg": False},
                          {"image_dir": "1_woman", "class_tokens": "woman", "is_reg": True}]}])},
                     {"trigger": Fact(value="k1ra", source="the captions")}, id="regularisation-images"),
        pytest.param({"ss_resolution": "(832, 1216)"},
                     {key: Fact(value=one, source="ss_resolution") for key, one in (("width", 832), ("height", 1216))},
                     id="resolution"),
        pytest.param({"ss_clip_skip": "2"}, {"clip_skip": Fact(value=2, source="ss_clip_skip")}, id="clip-skip"),
        pytest.param({}, {"sampler": Fact(value="euler_ancestral", source="usual for SDXL"), "family": "SDXL",
                          "width": Fact(value=1024, source="usual for SDXL"), "base_model": Fact(value="")},
                     id="nothing"),
        pytest.param({"ss_datasets": "[[[", "ss_tag_frequency": "3", "ss_dataset_dirs": "[]", "ss_resolution": "big",
                      "ss_clip_skip": "None"},
                     {"trigger": Fact(value=""), "clip_skip": Fact(value=1, source="usual")}, id="nonsense"),
    ],
)  # fmt: skip
def test_header_is_read(tmp_path: Path, notes: dict[str, str], expected: dict[str, Any]) -> None:
    """What kohya's trainer notes in a header is taken over, with the key that it is from."""
    found = facts(tmp_path, **notes)

    assert expected == {key: getattr(found, key) for key in expected}


@pytest.mark.parametrize(
    ("notes", "file", "trainer"),
    [
        ({"ss_network_module": "networks.lora"}, "kira.safetensors", "kohya's trainer"),
        ({"ss_network_module": "networks.lora_wan"}, "kira.safetensors", "musubi-tuner"),
        ({"training_info": "{}"}, "kira.safetensors", "ai-toolkit"),
        ({"ot_branch": "master"}, "kira.safetensors", "OneTrainer"),
        ({"global_step": "500"}, "pytorch_lora_weights.safetensors", "SimpleTuner"),
        ({}, "checkpoint-5/pytorch_lora_weights.safetensors", "Diffusers"),
        ({}, "epoch5/adapter_model.safetensors", "diffusion-pipe"),
        ({}, "kira.safetensors", ""),
    ],
)
def test_trainer_is_named(tmp_path: Path, notes: dict[str, str], file: str, trainer: str) -> None:
    """The trainer is told by its notes or its names."""
    write_file(tmp_path / file, kohya(XL), notes)

    assert trainer == facts_of(find_run(tmp_path)).trainer


@pytest.mark.parametrize("folder", ["kira", "kira/output", "kira/Outputs", "kira/checkpoints/lora"])
def test_folder_that_every_training_has_gives_no_name(tmp_path: Path, folder: str) -> None:
    """Where no file has the LoRA's name, the first folder that says more than that it is a trainer's does."""
    write_file(tmp_path / folder / "checkpoint-5/pytorch_lora_weights.safetensors", kohya(XL))

    assert "kira" == facts_of(find_run(tmp_path / folder)).name


def test_toolkits_settings_are_read(tmp_path: Path) -> None:
    """ai-toolkit's config.yaml gives trigger, prompts, images, sampler and size; its guidance is no CFG on Flux."""
    write_file(tmp_path / "kira_000000500.safetensors", peft(FLUX), {"ss_base_model_version": "flux.1"})
    (tmp_path / "config.yaml").write_text(TOOLKIT, encoding="utf-8")
    (tmp_path / "data").mkdir()

    found = facts_of(find_run(tmp_path))

    source = "config.yaml"
    assert ("ai-toolkit", "Flux.1", (source,)) == (found.trainer, found.family, found.read)
    assert Fact(value="k1ra", source=source) == found.trigger
    assert Fact(value="FLUX.1-dev") == found.base_model
    assert ("k1ra in a cafe", "a dog") == found.prompts
    assert Fact(value=(tmp_path / "data").resolve().as_posix(), source=source) == found.training_images
    assert [("euler", "simple"), (25, 1.0), (1024, 768), (7, "")] == [
        (found.sampler.value, found.scheduler.value),
        (found.steps.value, found.cfg.value),
        (found.width.value, found.height.value),
        (found.seed.value, found.negative.value),
    ]


def test_kohyas_sample_prompts_are_read(tmp_path: Path) -> None:
    """Each line is a prompt; the first one's options are those of the plan."""
    text = "# samples\nk1ra, smiling --n bad hands --w 640 --h 960 --d 3 --l 7.5 --s 28\nk1ra --w 512\n"
    (tmp_path / "sample_prompts.txt").write_text(text, encoding="utf-8")

    found = facts(tmp_path)

    assert ("k1ra, smiling", "k1ra") == found.prompts
    assert ["bad hands", 640, 960, 3, 7.5, 28] == [
        one.value for one in (found.negative, found.width, found.height, found.seed, found.cfg, found.steps)
    ]


def test_onetrainers_settings_are_read(tmp_path: Path) -> None:
    """OneTrainer's concepts name the images, its samples prompts and sampler."""
    sample = {
        "enabled": True, "prompt": "k1ra in rain", "negative_prompt": "blurry", "width": 512, "height": 768, "seed": 5,
        "diffusion_steps": 30, "cfg_scale": 6.0, "noise_scheduler": "EULER_A",
    }  # fmt: skip
    (tmp_path / "samples.json").write_text(json.dumps([sample, {**sample, "enabled": False, "prompt": "no"}]))
    (tmp_path / "concepts.json").write_text(json.dumps([{"path": str(tmp_path), "image": {}, "text": {}}]))

    found = facts(tmp_path)

    assert ("OneTrainer", ("k1ra in rain",)) == (found.trainer, found.prompts)
    assert Fact(value=tmp_path.resolve().as_posix(), source="concepts.json") == found.training_images
    assert ("euler_ancestral", 30, 6.0) == (found.sampler.value, found.steps.value, found.cfg.value)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("user_prompt_library.json", '{"a": "k1ra, laughing", "b": "k1ra, asleep"}',
         {"prompts": ["k1ra, laughing", "k1ra, asleep"]}),
        ("multidatabackend.json", '[{"id": "x", "instance_data_dir": "data/kira"}]', {"images": ["data/kira"]}),
        ("dataset.toml",
         '[[datasets]]\nresolution = [768, 768]\n[[datasets.subsets]]\nimage_dir = "a"\nclass_tokens = "k1ra"',
         {"images": ["a"], "trigger": "k1ra", "resolution": 768}),
        ("dataset.toml", 'resolutions = [512]\n[[directory]]\npath = "b"', {"images": ["b"], "resolution": 512}),
        ("run.toml", '[model]\ntype = "flux"\ndiffusers_path = "/m/FLUX.1-dev"', {"base_model": "/m/FLUX.1-dev"}),
        ("config.toml", 'pretrained_model_name_or_path = "x.safetensors"\nsample_sampler = "euler_a"',
         {"base_model": "x.safetensors", "sampler": "euler_ancestral"}),
        ("config.json", '{"--pretrained_model_name_or_path": "org/model"}', {"base_model": "org/model"}),
    ],
)  # fmt: skip
def test_other_settings_are_read(tmp_path: Path, file: str, text: str, expected: dict[str, Any]) -> None:
    """SimpleTuner's, kohya's, musubi's and diffusion-pipe's files are known by their content."""
    (tmp_path / file).write_text(text, encoding="utf-8")
    settings = read_settings(tmp_path)

    assert expected == {
        key: getattr(settings, key) if key in {"prompts", "images"} else settings.value(key) for key in expected
    }


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.yaml", "a: [" * 500),
        ("config.yaml", "config: {process: []}"),
        ("config.yaml", "config: 3"),
        ("samples.json", '[{"prompt": 1}]'),
        ("concepts.json", "[[]]"),
        ("dataset.toml", "datasets = 3"),
        ("dataset.toml", "datasets = [3]"),
        ("prompts.txt", "\n# nothing\n"),
        ("config.json", "[" * 100_000),
    ],
)
def test_settings_that_say_nothing_are_passed_over(tmp_path: Path, file: str, text: str) -> None:
    """What is no trainer's settings, or is broken, is no reason to refuse a folder."""
    (tmp_path / file).write_text(text, encoding="utf-8")

    assert ((), {}) == (read_settings(tmp_path).read, read_settings(tmp_path).values)


@pytest.mark.parametrize("steps", [0, 100_000, -1, "many"])
def test_steps_that_no_plan_allows_are_left_out(tmp_path: Path, steps: object) -> None:
    """A number of steps that a plan could not hold is replaced by the usual one."""
    text = json.dumps({"config": {"process": [{"sample": {"sample_steps": steps}}]}})
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")

    assert Fact(value=25, source="usual for SDXL") == facts(tmp_path).steps
