"""Models of transformers for pictures, sound, and pictures with words."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zoo.cases import Case, integers, normal
from zoo.language import ATTENTION, CACHE, FEED_FORWARD, build

LAYERS, WIDTH, SAMPLES = 2, 32, 4
SIZES = {"hidden_size": WIDTH, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": LAYERS}
PICTURE = {"image_size": 16, "patch_size": 4}


def classify(model: Any) -> torch.Tensor:
    return model(pixel_values=normal(SAMPLES, 3, 16, 16), labels=integers(5, SAMPLES)).loss


def match(model: Any) -> torch.Tensor:
    words = integers(40, SAMPLES, 8) + 3
    return model(input_ids=words, pixel_values=normal(SAMPLES, 3, 16, 16), return_loss=True).loss


def transcribe(model: Any) -> torch.Tensor:
    return model(input_features=normal(SAMPLES, 8, 20), labels=integers(40, SAMPLES, 6) + 3).loss


def vit() -> nn.Module:
    return build("ViTForImageClassification", "ViTConfig", num_labels=5, **SIZES, **PICTURE)


def resnet() -> nn.Module:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [2, 2], "layer_type": "basic"}
    return build("ResNetForImageClassification", "ResNetConfig", num_labels=5, **sizes)


def clip() -> nn.Module:
    text = {**SIZES, "vocab_size": 50, "max_position_embeddings": 8, "eos_token_id": 2}
    vision = {**SIZES, **PICTURE}
    return build("CLIPModel", "CLIPConfig", text_config=text, vision_config=vision, projection_dim=16)


def whisper() -> nn.Module:
    layers = {"encoder_layers": LAYERS, "decoder_layers": LAYERS}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    sizes = {"vocab_size": 50, "d_model": WIDTH, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    lengths = {"num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 8}
    words = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    return build(
        "WhisperForConditionalGeneration", "WhisperConfig", **layers, **heads, **sizes, **lengths, **words
    )


LAYER = ATTENTION + FEED_FORWARD

CASES = (
    # the patches' convolution and the head
    Case("ViT", "transformers", vit, classify, LAYERS * LAYER + 2, LAYERS),
    # the stem, two convolutions in each of four blocks, one shortcut where width or stride change, the head
    Case(
        "ResNet",
        "transformers",
        resnet,
        classify,
        1 + 2 * 4 + 1 + 1,
        1 + 2 * 4,
        {"resnet.encoder.stages.*.layers": "not called"},
    ),
    # the patches' convolution and a projection each
    Case("CLIP", "transformers", clip, match, 2 * LAYERS * LAYER + 3),
    # two convolutions, the head; the decoder attends twice
    Case(
        "Whisper",
        "transformers",
        whisper,
        transcribe,
        LAYERS * (2 * LAYER + ATTENTION) + 3,
        2 + 2 * LAYERS,
        {"": CACHE, "model": CACHE, "model.decoder": CACHE},
    ),
)
