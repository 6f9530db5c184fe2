"""Keys that ComfyUI is known to skip are counted, and the way to convert them is named."""

from pathlib import Path

import pytest

from plugins.loras.unread import unread
from plugins.plan.training.header import read_header
from tests import lora_files as files
from tests.lora_files import Shapes, write_file

PROCESSOR = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora"


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        pytest.param(files.script(files.XL_SCRIPT), "10 of its 10 keys (the UNet's attention, as", id="sdxl-script"),
        pytest.param(files.peft(files.XL_SCRIPT), "10 of its 10 keys (the UNet's attention, as", id="sdxl-peft"),
        pytest.param(
            files.script(files.XL_SCRIPT) | files.script(files.XL_SCRIPT_TE, "lora_linear_layer"),
            "10 of its 22 keys (the UNet's attention, as",
            id="sdxl-script-with-text-encoders",
        ),
        pytest.param(files.ia3(files.XL), "10 of its 10 keys (IA3), so that it has no effect", id="ia3"),
        pytest.param(
            files.script({"double_blocks.0.processor.qkv_lora1": (32, 32)}, "x"),
            "2 of its 2 keys (as XLabs",
            id="xlabs",
        ),
        pytest.param(
            files.peft({"transformer.blocks.0.attn1.to_q": (32, 32)}), "2 of its 2 keys (Wan's attention", id="wan"
        ),
        pytest.param(
            files.peft({"transformer.transformer_blocks.0.attn1.to_q": (32, 32)}), "2 of its 2 keys (LTX", id="ltx"
        ),
        pytest.param(
            files.kohya(
                {"lora_unet_layers_0_attention_to_q": (32, 32), "lora_unet_layers_0_feed_forward_w1": (32, 32)}
            ),
            "3 of its 6 keys (the attention, as musubi-tuner names Z-Image's), so that only the others have an effect: "
            "convert it with musubi-tuner's convert_z_image_lora_to_comfy.py",
            id="zimage-musubi",
        ),
        pytest.param(
            files.kohya({"lora_unet_double_blocks_0_img_mlp_fc1": (32, 32), **files.native("lora_unet_", "_")}),
            "3 of its 9 keys (as musubi-tuner names HunyuanVideo's)",
            id="hunyuan-musubi",
        ),
    ],
)
def test_keys_that_are_skipped_are_counted(tmp_path: Path, shapes: Shapes, expected: str) -> None:
    """How many of how many keys are skipped is said with their kind."""
    (sentence,) = unread(read_header(write_file(tmp_path / "a.safetensors", shapes)))

    assert expected in sentence


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param(files.kohya(files.XL | files.XL_TE), id="kohya"),
        pytest.param(files.lokr(files.XL), id="lokr"),
        pytest.param(files.peft(files.FLUX), id="flux-diffusers"),
        pytest.param(files.peft(files.LTX), id="ltx-native"),
        pytest.param(files.peft(files.WAN), id="wan-native"),
        pytest.param(files.peft(files.ZIMAGE), id="zimage-toolkit"),
        pytest.param(files.peft(files.HIDREAM), id="hidream"),
        pytest.param({f"{PROCESSOR}.{way}.weight": ("F16", (2, 2)) for way in ("down", "up")}, id="old-diffusers"),
        pytest.param({"lora_unet_x.weight": ("F16", (4, 4))}, id="a-plain-weight"),
    ],
)
def test_keys_that_are_loaded_are_not_mentioned(tmp_path: Path, shapes: Shapes) -> None:
    """What ComfyUI loads gives no warning."""
    assert [] == list(unread(read_header(write_file(tmp_path / "a.safetensors", shapes))))
