"""Language models of transformers: an encoder, decoders, both, a state space model, a mixture of experts."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from zoo.cases import Case, integers, need

WORDS, LENGTH, SAMPLES, LAYERS, WIDTH = 50, 12, 4, 3, 32


def build(name: str, config: str, **sizes: Any) -> nn.Module:
    transformers = need("transformers")
    model: nn.Module = getattr(transformers, name)(getattr(transformers, config)(**sizes))
    return model.train()


def words(seed: int = 7) -> torch.Tensor:
    return integers(WORDS - 2, SAMPLES, LENGTH, seed=seed) + 2


def next_word(model: Any) -> torch.Tensor:
    return model(input_ids=words(), labels=words()).loss


def masked_word(model: Any) -> torch.Tensor:
    masked = integers(4, SAMPLES, LENGTH, seed=8) == 0
    labels = words().masked_fill(~masked, -100)
    return model(input_ids=words().masked_fill(masked, 1), labels=labels).loss


def translation(model: Any) -> torch.Tensor:
    return model(input_ids=words(), labels=words(seed=8)).loss


def bert() -> nn.Module:
    sizes = {"vocab_size": WORDS, "hidden_size": WIDTH, "intermediate_size": 64, "num_attention_heads": 4}
    return build("BertForMaskedLM", "BertConfig", num_hidden_layers=LAYERS, **sizes)


def gpt2() -> nn.Module:
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return build(
        "GPT2LMHeadModel", "GPT2Config", vocab_size=WORDS, n_embd=WIDTH, n_layer=LAYERS, n_head=4, **ends
    )


def llama_sizes() -> dict[str, int]:
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": LAYERS}
    return {"vocab_size": WORDS, "hidden_size": WIDTH, "intermediate_size": 64, **heads}


def llama() -> nn.Module:
    return build("LlamaForCausalLM", "LlamaConfig", **llama_sizes())


def mixtral() -> nn.Module:
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "output_router_logits": True}
    config = {**llama_sizes(), **experts, "experts_implementation": "eager"}
    return build("MixtralForCausalLM", "MixtralConfig", **config)


def t5() -> nn.Module:
    sizes = {"vocab_size": WORDS, "d_model": WIDTH, "d_kv": 8, "d_ff": 64, "num_layers": LAYERS}
    return build("T5ForConditionalGeneration", "T5Config", num_heads=4, decoder_start_token_id=0, **sizes)


def mamba() -> nn.Module:
    sizes = {"vocab_size": WORDS, "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
    return build("MambaForCausalLM", "MambaConfig", state_size=4, **sizes)


CACHE = "'past_key_values' is a"
ATTENTION = 4  # query, key, value, output
FEED_FORWARD = 2

CASES = (
    # the head: a dense transform and the decoder
    Case(
        "BERT",
        "transformers",
        bert,
        masked_word,
        LAYERS * (ATTENTION + FEED_FORWARD) + 2,
        LAYERS + 1,
        {"bert.encoder.layer.*.attention.self.dropout": "not called"},
    ),
    # query, key and value are one Conv1D
    Case(
        "GPT-2",
        "transformers",
        gpt2,
        next_word,
        LAYERS * (2 + FEED_FORWARD) + 1,
        None,
        {"": CACHE, "transformer": CACHE, "transformer.h.*.attn.attn_dropout": "not called"},
    ),
    # the feed-forward part has a gate
    Case(
        "Llama",
        "transformers",
        llama,
        next_word,
        LAYERS * (ATTENTION + FEED_FORWARD + 1) + 1,
        LAYERS,
        {"": CACHE, "model": CACHE},
    ),
    # a router, and two products of each of four experts
    Case(
        "Mixtral",
        "transformers",
        mixtral,
        next_word,
        LAYERS * (ATTENTION + 1 + 2 * 4) + 1,
        LAYERS * 4,
        {"": CACHE, "model": CACHE, "model.layers.*.mlp.gate": "'2' is int64"},
    ),
    # the decoder attends twice
    Case(
        "T5",
        "transformers",
        t5,
        translation,
        LAYERS * (3 * ATTENTION + 2 * FEED_FORWARD) + 1,
        LAYERS * 2,
        {"": CACHE, "decoder": CACHE, "shared": "not called"},
    ),
    # in, the convolution, x, dt, out
    Case(
        "Mamba",
        "transformers",
        mamba,
        next_word,
        LAYERS * 5 + 1,
        LAYERS * 3,
        {
            "backbone.layers.*.mixer.conv1d": "not called",
            "backbone.layers.*.mixer.dt_proj": "not called",
            "backbone.layers.*.mixer.act": "not called",
        },
    ),
)
