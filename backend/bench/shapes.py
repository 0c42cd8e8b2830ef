"""Models to measure: the embedded judge, and Qwen2.5-VL in its published dimensions with weights drawn at random.

Speed does not depend on what the weights are, so that nothing has to be downloaded for it. The tokenizer is the
embedded judge's; texts are made to have so many tokens, whatever they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from backend.engines.backbones import find_backbone
from backend.engines.demo.engine import MODEL
from backend.engines.loading import LoadedModel
from backend.engines.local import Device, LocalEngine

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLConfig

ShapeName = Literal["3b", "7b"]

_TEXT: dict[ShapeName, dict[str, Any]] = {
    "3b": {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
    },
    "7b": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152_064,
    },
}
"""Of the published configurations of Qwen/Qwen2.5-VL-3B-Instruct and -7B-Instruct."""

_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}


def published_config(shape: ShapeName, tokenizer: Any) -> Qwen2_5_VLConfig:
    """The model's configuration, with the special tokens of another tokenizer."""
    from transformers import Qwen2_5_VLConfig

    def token(text: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(text))

    text = _TEXT[shape]
    return Qwen2_5_VLConfig(
        text_config={
            **text,
            "max_position_embeddings": 128_000,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
            "bos_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        vision_config={**_VISION, "out_hidden_size": text["hidden_size"]},
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=shape == "3b",
    )


class RandomEngine(LocalEngine):
    """The local engine on a model of published dimensions whose weights are drawn on the device."""

    def __init__(self, shape: ShapeName, *, device: Device = "auto", **options: Any) -> None:
        super().__init__(f"random-{shape}", device=device, **options)
        self._shape = shape

    def _load(self) -> LoadedModel:
        import torch
        from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessorPil

        tokenizer = AutoTokenizer.from_pretrained(MODEL)
        config: Any = published_config(self._shape, tokenizer)
        dtype = torch.bfloat16 if self._device == "cuda" else torch.float32
        model_class: Any = Qwen2_5_VLForConditionalGeneration
        torch.manual_seed(0)
        with torch.device(self._device):
            model = model_class._from_config(config, dtype=dtype, attn_implementation="sdpa")
        processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 12_845_056})
        backbone = find_backbone("qwen2_5_vl", self._source)
        return LoadedModel(self._source, model.eval(), tokenizer, processor, backbone, self._device)
