"""The modules table at the end: what was not seen and why, which parameters got no gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import nn

from actdiag.capture.kinds import facts_of
from actdiag.capture.sites import UNCALLED, ModuleFacts

PAST = (
    "its parameters got a gradient though it was never called: they were used directly, "
    "as module.forward(x), F.linear(x, module.weight) or compiled code around the model do"
)
LATE = "it came into the model after attach"
ROOT = "not called, only modules in it: functions between them are not seen"


def census(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    facts: Mapping[str, ModuleFacts],
    graded: set[tuple[str, str]],
    multiplied: Mapping[str, nn.Parameter],
) -> Iterator[ModuleFacts]:
    """Yield the facts of modules and functions, and of modules that came after `attach`.

    Args:
        model: as it is now.
        modules: as they were when it was attached to.
        facts: of modules and function sites so far.
        graded: (module, parameter) that got a gradient.
        multiplied: function site -> the parameter it multiplied by.
    """
    current = dict(nn.Module.named_modules(model))
    users = _users(modules, facts, multiplied)
    by_module: dict[str, set[str]] = {}
    for name, label in graded:
        by_module.setdefault(name, set()).add(label)
    for name, fact in list(facts.items()):
        module = modules.get(name)
        if module is None:
            yield fact
        elif current.get(name, module) is not module:
            yield replace(fact, reason=LATE if fact.reason == UNCALLED else fact.reason)
        else:
            got = by_module.get(name, set())
            reason = _reason(fact, module, bool(got), users, facts)
            yield replace(fact, reason=reason, unused=_unused(module, got) if graded else "")
    for name in [name for name in current if name not in modules]:
        yield replace(facts_of(name, current[name]), reason=LATE)


def _users(
    modules: Mapping[str, nn.Module], facts: Mapping[str, ModuleFacts], multiplied: Mapping[str, nn.Parameter]
) -> dict[int, str]:
    """Return for each parameter by identity who used it, where that was seen."""
    users = {id(parameter): site for site, parameter in multiplied.items()}
    for name, module in modules.items():
        if facts[name].calls:  # attention multiplies by its children's weights without calling them
            inside = facts[name].kind == "product"
            users.update((id(parameter), name) for parameter in _parameters(module, inside))
    return users


def _reason(
    fact: ModuleFacts,
    module: nn.Module,
    graded: bool,
    users: Mapping[int, str],
    facts: Mapping[str, ModuleFacts],
) -> str:
    """Say why a module was not seen, as far as that is known."""
    if fact.reason != UNCALLED:
        return fact.reason
    if fact.name == "" and any(other.calls for other in facts.values()):
        return ROOT
    known = [users[id(own)] for own in _parameters(module) if id(own) in users]
    if known:
        return f"{UNCALLED}: its parameters were used by {known[0] or 'the model'}"
    return PAST if graded else UNCALLED


def _unused(module: nn.Module, got: set[str]) -> str:
    """Name the trainable parameters without a gradient."""
    trainable = {label for label, p in module._parameters.items() if p is not None and p.requires_grad}
    return ", ".join(sorted(trainable - got))


def _parameters(module: nn.Module, inside: bool = False) -> list[nn.Parameter]:
    """Return a module's own parameters, or all inside it."""
    modules = nn.Module.modules(module) if inside else [module]
    return [own for each in modules for own in each._parameters.values() if own is not None]
