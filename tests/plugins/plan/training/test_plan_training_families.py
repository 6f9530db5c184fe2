"""Files of each family are told from each other by real names, widths and notes; no legitimate file is refused."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from plugins.plan.training.families import ANY, families_of, families_of_base, family_names
from plugins.plan.training.header import Header, read_header
from plugins.plan.training.layers import other_size
from tests import lora_files as files
from tests.lora_files import Layers, Shapes

LORAS: Mapping[str, tuple[str, Shapes, str]] = {
    # name: the base models that ComfyUI loads it on, its tensors, ss_base_model_version
    "sd1-kohya": ("SD 1.x", files.kohya(files.SD1 | files.clip("lora_te", "_")), "sd_v1"),
    "sd1-without-notes": ("SD 1.x", files.kohya(files.SD1), ""),
    "sd2-kohya": ("SD 2.x", files.kohya(files.SD2), "sd_v2_v"),
    "sdxl-kohya": ("SDXL", files.kohya(files.XL | files.XL_TE), "sdxl_base_v1-0"),
    "sdxl-without-notes": ("SDXL", files.kohya(files.XL), ""),
    "sdxl-lokr": ("SDXL", files.lokr(files.XL), "sdxl_base_v1-0"),
    "sdxl-loha": ("SDXL", files.loha(files.XL), ""),
    "sdxl-oft": ("SDXL", files.oft(files.XL), "sdxl_base_v1-0"),
    "sdxl-dora": ("SDXL", files.dora(files.XL), ""),
    "sd3-with-te": ("SD 3.x", files.kohya(files.SD3 | files.XL_TE), "sd3"),
    "sd3-diffusers": ("SD 3.x", files.peft({"transformer.transformer_blocks.0.attn.to_q": (1536, 1536)}), ""),
    "flux-kohya": ("Flux.1", files.kohya(files.native("lora_unet_", "_", 3072)), "flux1"),
    "flux-toolkit": ("Flux.1", files.peft(files.FLUX), "flux.1"),
    "flux-kontext": ("Flux.1", files.peft(files.FLUX), "flux_kontext"),
    "flux-onetrainer-t5": (
        "Flux.1",
        files.kohya(
            {
                "lora_transformer_transformer_blocks_0_attn_to_q": (3072, 3072),
                "lora_transformer_single_transformer_blocks_0_attn_to_q": (3072, 3072),
                "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": (768, 768),
                "lora_te2_encoder_block_0_layer_0_SelfAttention_q": (4096, 4096),
            }
        ),
        "",
    ),
    "flux-t5-alone": ("Flux.1", files.kohya({"lora_te2_encoder_block_0_layer_0_SelfAttention_q": (32, 32)}), ""),
    "flux2-toolkit": ("Flux.2", files.peft(files.native("diffusion_model.", ".", 6144)), "flux2"),
    "flux2-without-notes": ("Flux.2", files.peft(files.native("diffusion_model.", ".", 6144)), ""),
    "chroma-toolkit": ("Chroma", files.peft(files.native("diffusion_model.", ".", 3072)), "chroma"),
    "hunyuan-musubi": ("HunyuanVideo", files.kohya(files.native("lora_unet_", "_")), "hunyuan_video"),
    "hunyuan-pipe": ("HunyuanVideo", files.peft({"transformer.double_blocks.0.img_mlp.fc1": (32, 32)}), ""),
    "qwen-toolkit": ("Qwen-Image", files.peft(files.QWEN), "qwen_image"),
    "qwen-attention": (
        "Qwen-Image",
        files.peft({f"diffusion_model.transformer_blocks.{number}.attn.to_q": (3072, 3072) for number in (0, 59)}),
        "",
    ),
    "zimage-toolkit": ("Z-Image", files.peft(files.ZIMAGE), "zimage"),
    "zimage-by-width": ("Z-Image", files.peft({"diffusion_model.layers.0.attention.to_q": (3840, 3840)}), ""),
    "lumina-kohya": ("Lumina 2", files.kohya({"lora_unet_layers_0_attention_qkv": (3840, 2304)}), "lumina2"),
    "wan-toolkit": ("Wan", files.peft(files.WAN), "wan_2.1"),
    "wan-musubi": ("Wan", files.kohya({f"lora_unet_blocks_0_{one}": (32, 32) for one in ("self_attn_q", "ffn_0")}), ""),
    "ltx": ("LTX-Video", files.peft(files.LTX), ""),
    "hidream": ("HiDream", files.peft(files.HIDREAM), "hidream"),
    "hidream-lycoris": ("HiDream", files.lokr({"lycoris_single_stream_blocks_0_block_attn1_to_q": (32, 32)}), ""),
}  # fmt: skip


def header_of(folder: Path, shapes: Shapes, version: str = "") -> Header:
    """Write a file and read its header."""
    notes = {"ss_base_model_version": version} if version else {}
    return read_header(files.write_file(folder / "file.safetensors", shapes, notes))


@pytest.mark.parametrize("family", files.BASES)
def test_base_model_is_of_its_family(tmp_path: Path, family: str) -> None:
    """Each base model is told by its own tensors."""
    assert family == family_names(families_of_base(header_of(tmp_path, files.BASES[family])))


@pytest.mark.parametrize("name", LORAS)
def test_lora_fits_its_own_base_and_no_other(tmp_path: Path, name: str) -> None:
    """A LoRA is refused on every base model but those of its own family."""
    wanted, shapes, version = LORAS[name]
    found = families_of(header_of(tmp_path, shapes, version))

    fitting = [one for one in files.BASES if found & families_of_base(header_of(tmp_path, files.BASES[one]))]

    assert [wanted] == fitting


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param({"lora_unet_x": (32, 32)}, "", id="unknown-names"),
        pytest.param(files.native("lora_unet_", "_"), "Flux.1, Flux.2, Chroma or HunyuanVideo", id="names-of-four"),
        pytest.param(files.native("lora_unet_", "_", 6144), "Flux.2", id="width-of-one"),
        pytest.param({"lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q": (32, 32)},
                     "SD 1.x, SD 2.x, SDXL or SDXL refiner", id="unet"),
        pytest.param({"lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q": (32, 32)},
                     "SDXL or SDXL refiner", id="unet-of-deep-blocks"),
        pytest.param({"lora_unet_down_blocks_0_attentions_0_proj_in": (32, 32)}, "SD 1.x or SD 2.x", id="old-unet"),
        pytest.param({"lora_unet_blocks_0_self_attn_q_proj": (32, 32)}, "", id="family-without-a-name"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_stays_possible(tmp_path: Path, layers: Layers, expected: str) -> None:
    """Names and widths narrow the families; nothing is guessed beyond that."""
    assert expected == family_names(families_of(header_of(tmp_path, files.kohya(layers))))


def test_notes_do_not_overrule_the_tensors(tmp_path: Path) -> None:
    """A version that the trainer noted wrongly changes nothing where the tensors tell the family."""
    assert "SDXL" == family_names(families_of(header_of(tmp_path, files.kohya(files.XL), "sd_v1")))


def test_notes_tell_where_the_tensors_do_not(tmp_path: Path) -> None:
    """HunyuanVideo has Flux.1's names and shapes; the trainer's notes tell them apart."""
    layers = files.kohya(files.native("lora_unet_", "_", 3072))

    assert "Flux.1, Chroma or HunyuanVideo" != family_names(families_of(header_of(tmp_path, layers, "hunyuan_video")))
    assert "HunyuanVideo" == family_names(families_of(header_of(tmp_path, layers, "hunyuan_video")))


@pytest.mark.parametrize("name", ["", "my own version", "sd", "v1"])
def test_unknown_notes_tell_nothing(tmp_path: Path, name: str) -> None:
    """A version that no trainer writes is no reason to refuse."""
    assert ANY == families_of(header_of(tmp_path, files.kohya({"lora_unet_x": (32, 32)}), name))


def wan(width: int, dtype: str = "F16") -> Shapes:
    """Return a Wan model of that width."""
    return {"model.diffusion_model.blocks.0.self_attn.q.weight": (dtype, (4, width))}


@pytest.mark.parametrize(
    ("lora", "base", "expected"),
    [
        pytest.param(1536, wan(5120), ("blocks_0_self_attn_q", 1536, 5120), id="smaller-model"),
        pytest.param(5120, wan(5120), None, id="same-model"),
        pytest.param(32, wan(5120), None, id="too-narrow-to-tell"),
        pytest.param(5120, wan(2560, "U8"), None, id="packed-numbers"),
        pytest.param(1536, files.BASES["SDXL"], None, id="nothing-in-common"),
    ],
)
def test_model_of_another_size_is_told(
    tmp_path: Path, lora: int, base: Shapes, expected: tuple[str, int, int] | None
) -> None:
    """A LoRA of a family's smaller model does not fit its larger one, where both have the same layers."""
    made = header_of(tmp_path, files.peft({"diffusion_model.blocks.0.self_attn.q": (64, lora)}))

    assert expected == other_size(made, header_of(tmp_path, base))


def test_whole_qwen_model_is_told_by_what_it_lacks(tmp_path: Path) -> None:
    """A whole model whose blocks have Diffusers' names, and nothing that SD 3.x or Flux.1 have, is Qwen-Image."""
    base = files.base("transformer_blocks.0.attn.to_q.weight", "txt_norm.weight", "img_in.weight")

    assert "Qwen-Image" == family_names(families_of_base(header_of(tmp_path, base)))
