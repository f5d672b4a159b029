"""Models for tables of numbers: those of rtdl, and a normalising flow of zuko."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from zoo.cases import Case, integers, need, normal

SAMPLES, FEATURES, CLASSES, BLOCKS = 32, 6, 3, 3


def classify(model: Any) -> torch.Tensor:
    return functional.cross_entropy(model(normal(SAMPLES, FEATURES)), integers(CLASSES, SAMPLES))


def classify_both(model: Any) -> torch.Tensor:
    categories = integers(4, SAMPLES, 2)
    return functional.cross_entropy(model(normal(SAMPLES, FEATURES), categories), integers(CLASSES, SAMPLES))


def likelihood(model: Any) -> torch.Tensor:
    return -model(normal(SAMPLES, 2, seed=8)).log_prob(normal(SAMPLES, FEATURES)).mean()


def mlp() -> nn.Module:
    sizes = {"d_in": FEATURES, "d_out": CLASSES, "n_blocks": BLOCKS, "d_block": 32}
    model: nn.Module = need("rtdl_revisiting_models").MLP(dropout=0.1, **sizes)
    return model


def resnet() -> nn.Module:
    sizes = {
        "d_in": FEATURES,
        "d_out": CLASSES,
        "n_blocks": BLOCKS,
        "d_block": 32,
        "d_hidden_multiplier": 2.0,
    }
    model: nn.Module = need("rtdl_revisiting_models").ResNet(dropout1=0.1, dropout2=0.1, **sizes)
    return model


def transformer() -> nn.Module:
    sizes = {"n_cont_features": FEATURES, "cat_cardinalities": [4, 4], "d_out": CLASSES, "n_blocks": BLOCKS}
    attention = {"d_block": 32, "attention_n_heads": 4, "attention_dropout": 0.1}
    rest = {"ffn_d_hidden_multiplier": 2.0, "ffn_dropout": 0.1, "residual_dropout": 0.1}
    model: nn.Module = need("rtdl_revisiting_models").FTTransformer(**sizes, **attention, **rest)
    return model


def spline_flow() -> nn.Module:
    flows = need("zuko.flows")
    model: nn.Module = flows.NSF(FEATURES, 2, transforms=BLOCKS, hidden_features=(32, 32))
    return model


def coupling_flow() -> nn.Module:
    flows = need("zuko.flows")
    model: nn.Module = flows.NICE(FEATURES, 2, transforms=BLOCKS, hidden_features=(32, 32))
    return model


# transforms and distributions are objects that compute when asked
LAZY = dict.fromkeys(("", "base", "transform", "transform.transforms.?"), "its output is a")

CASES = (
    Case("MLP", "rtdl_revisiting_models", mlp, classify, BLOCKS + 1, BLOCKS),
    # the projection of the input, two products in a block, the head; an activation in a block and at the end
    Case("ResNet for tables", "rtdl_revisiting_models", resnet, classify, 1 + 2 * BLOCKS + 1, BLOCKS + 1),
    # query, key, value, output, two of the feed-forward part, the head
    Case("FT-Transformer", "rtdl_revisiting_models", transformer, classify_both, 6 * BLOCKS + 1, BLOCKS + 1),
    # each transform has a masked MLP with two hidden layers
    Case("spline flow", "zuko", spline_flow, likelihood, 3 * BLOCKS, 2 * BLOCKS, LAZY),
    Case("coupling flow", "zuko", coupling_flow, likelihood, 3 * BLOCKS, 2 * BLOCKS, LAZY),
)
