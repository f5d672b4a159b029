"""Policies of stable-baselines3: what its training loops call, which is never the policy's own forward."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from zoo.cases import Case, integers, need, normal

SAMPLES, FEATURES, ACTIONS = 32, 5, 3


def spaces() -> tuple[Any, Any, Any]:
    """Return observations, discrete actions, continuous actions."""
    space = need("gymnasium.spaces")
    observations = space.Box(-np.inf, np.inf, (FEATURES,), np.float32)
    return observations, space.Discrete(ACTIONS), space.Box(-1.0, 1.0, (ACTIONS,), np.float32)


def rate(progress: float) -> float:
    return 1e-3


def ppo() -> nn.Module:
    observations, discrete, _ = spaces()
    model: nn.Module = need("stable_baselines3.ppo").MlpPolicy(observations, discrete, rate)
    return model.train()


def ppo_loss(model: Any) -> torch.Tensor:
    """Return the loss of PPO with clip range 0.2, value coefficient 0.5 and entropy coefficient 0.01."""
    values, log_probability, entropy = model.evaluate_actions(
        normal(SAMPLES, FEATURES), integers(ACTIONS, SAMPLES)
    )
    advantage = normal(SAMPLES, seed=8)
    ratio = (log_probability - log_probability.detach() - 0.01).exp()
    gain = torch.min(advantage * ratio, advantage * ratio.clamp(0.8, 1.2)).mean()
    return functional.mse_loss(values.flatten(), normal(SAMPLES, seed=9)) / 2 - gain - entropy.mean() / 100


def dqn() -> nn.Module:
    observations, discrete, _ = spaces()
    model: nn.Module = need("stable_baselines3.dqn").MlpPolicy(observations, discrete, rate)
    return model.train()


def dqn_loss(model: Any) -> torch.Tensor:
    with torch.no_grad():
        target = normal(SAMPLES, seed=9) + model.q_net_target(normal(SAMPLES, FEATURES, seed=8)).amax(1)
    chosen = model.q_net(normal(SAMPLES, FEATURES)).gather(1, integers(ACTIONS, SAMPLES)[:, None])
    return functional.smooth_l1_loss(chosen.flatten(), target)


def sac() -> nn.Module:
    observations, _, continuous = spaces()
    architecture = {"net_arch": [32, 32]}
    model: nn.Module = need("stable_baselines3.sac").MlpPolicy(observations, continuous, rate, **architecture)
    return model.train()


def sac_loss(model: Any) -> torch.Tensor:
    """Return the loss of SAC's actor with temperature 0.2."""
    observations = normal(SAMPLES, FEATURES)
    actions, log_probability = model.actor.action_log_prob(observations)
    values = torch.cat(model.critic(observations, actions), 1).amin(1)
    return (0.2 * log_probability - values).mean()


CASES = (
    # two hidden layers and a head for the actions, as many for the value
    Case("PPO", "stable_baselines3", ppo, ppo_loss, 3 + 3, 4, {"": "not called"}),
    # two hidden layers and a head in the network and in its target
    Case("DQN", "stable_baselines3", dqn, dqn_loss, 3 + 3, 4, {"": "not called"}),
    # the actor has two heads; two critics; their targets are there and not called
    Case(
        "SAC",
        "stable_baselines3",
        sac,
        sac_loss,
        4 + 2 * 3,
        6,
        dict.fromkeys(("", "actor", "critic_target", "critic_target.*"), "not called"),
    ),
)
