"""One call that judges a model and leaves no trace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import actdiag
from actdiag import examples
from actdiag.batches import ModelBatch
from actdiag.checking import measure
from actdiag.errors import ActdiagError, UsageError


class BoomError(Exception):
    """Raised by the models below."""


class Meddler(nn.Module):
    """Changes in its forward pass everything that a forward pass may change."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.last = nn.Linear(6, 3)
        self.scale = torch.ones(6, requires_grad=True)
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("grown", torch.zeros(0))
        self.register_buffer("unset", None)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 3) from (batch, 4), and meddle."""
        h = self.dropout(self.norm(self.first(x))) * self.scale
        with torch.no_grad():
            x.data.add_(1.0)
            self.mean = h.mean(0)
            self.grown.resize_(2).fill_(7.0)
            self.unset = h.sum()
        self.register_buffer("late", torch.ones(1))
        self.calls += 1 + random.randrange(1) + int(np.random.rand())
        self.seen = x.shape
        self.eval()
        return self.last(torch.relu(self.frozen(h)))


class Explodes(torch.autograd.Function):
    """The identity, with a backward pass that raises."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Return a copy."""
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Raise."""
        raise BoomError("in backward")


def meddler() -> Meddler:
    """Return one with gradients on some of its parameters."""
    torch.manual_seed(0)
    model = Meddler()
    model.first.weight.grad = torch.full((6, 4), 0.25)
    model.scale.grad = torch.full((6,), 0.5)
    model.frozen.eval()
    return model


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor | None]:
    """Return every tensor that hangs on a model, and on its gradients."""
    found: dict[str, torch.Tensor | None] = {}
    for place, module in model.named_modules():
        for table in (module._parameters, module._buffers, vars(module)):
            for name, value in table.items():
                if value is None or isinstance(value, torch.Tensor):
                    found[f"{place}.{name}"] = value
                    found[f"{place}.{name}.grad"] = (
                        value.grad if value is not None and value.is_leaf else None
                    )
    return found


def trace(model: nn.Module, *inputs: torch.Tensor) -> dict[str, Any]:
    """Return all that a training step could change, as plain values."""
    tensors = tensors_of(model) | {f"input {place}": x for place, x in enumerate(inputs)}
    tensors |= {f"input {place}.grad": x.grad for place, x in enumerate(inputs) if x.is_leaf}
    return {
        **{name: id(tensor) for name, tensor in tensors.items()},
        **{f"values of {name}": None if t is None else t.tolist() for name, t in tensors.items()},
        "flags": [module.training for module in model.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "calls": getattr(model, "calls", None),
        "torch": torch.get_rng_state().tolist(),
        "numpy": [np.asarray(part).tolist() for part in np.random.get_state()],
        "python": random.getstate(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    }


def test_the_meddler_meddles() -> None:
    """What the next tests rest on: without `check` every part of the trace changes."""
    model, x = meddler(), torch.randn(8, 4, requires_grad=True)
    before = trace(model, x)
    model(x).sum().backward()
    changed = {name for name, value in trace(model, x).items() if value != before.get(name, "absent")}
    assert changed >= {
        ".mean", "values of .mean", "values of .grown", ".unset", "flags", "attributes", "calls",
        "torch", "numpy", "python", "values of norm.running_mean", "values of first.weight.grad",
        "last.weight.grad", "values of .scale.grad", "values of input 0", "input 0.grad",
    }  # fmt: skip


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_everything_is_put_back(mode: Callable[[], Any]) -> None:
    model, x, targets = meddler(), torch.randn(8, 4, requires_grad=True), torch.arange(8) % 3
    x.grad = torch.full((8, 4), 2.0)
    gradient = model.first.weight.grad
    with mode():
        before = trace(model, x)
        diagnosis = actdiag.check(model, x, targets)
        assert trace(model, x) == before
    assert isinstance(diagnosis, actdiag.Diagnosis)
    assert model.first.weight.grad is gradient
    assert model.last.weight.grad is None


@pytest.mark.parametrize("place", ["forward", "loss", "backward"])
def test_everything_is_put_back_after_an_exception_which_passes(place: str) -> None:
    model, x = meddler(), torch.randn(8, 4, requires_grad=True)
    boom = BoomError("mine")

    def loss(outputs: torch.Tensor) -> torch.Tensor:
        if place == "loss":
            raise boom
        return Explodes.apply(outputs).sum()  # type: ignore[no-untyped-call, no-any-return]

    if place == "forward":
        model.last.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(boom))
    before = trace(model, x)
    with pytest.raises(BoomError) as caught:
        actdiag.check(model, x, loss=loss)
    assert trace(model, x) == before
    assert (caught.value is boom) == (place != "backward")
    assert str(caught.value) == ("in backward" if place == "backward" else "mine")


@pytest.mark.parametrize("training", [True, False])
def test_a_graph_that_the_user_holds_stays_valid(training: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)).train(training)
    x = torch.randn(8, 4)
    before = model(x).square().mean()
    (expected,) = torch.autograd.grad(before, model[0].weight, retain_graph=True)
    actdiag.check(model, x)
    before.backward()
    assert torch.equal(model[0].weight.grad, expected)


def test_what_did_not_change_is_not_written() -> None:
    """This x refuses to be written: its rows are the same memory. A NaN is equal to itself here."""
    x = torch.tensor([1.0, float("nan"), -0.0, 2.0]).expand(8, 4)
    actdiag.check(nn.Linear(4, 3), x, loss=lambda y: y.nan_to_num().mean())


def test_a_loss_with_parameters_is_left_alone_too() -> None:
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, outputs: torch.Tensor) -> torch.Tensor:
            return (outputs**2).mean() * self.weight

    loss = Weighted()
    actdiag.check(nn.Linear(4, 3), torch.randn(8, 4), loss=loss)
    assert loss.weight.grad is None


def facts(model: nn.Module, inputs: Any, targets: Any = None, loss: Any = None) -> Mapping[str, Any]:
    """Return what the recording says of the loss."""
    recording = measure(model, [ModelBatch.of(inputs, targets)], loss)
    found: Mapping[str, Any] = recording.meta["runs"]["model"]["loss"]
    return found


class Returns(nn.Module):
    """A linear layer whose output is handed to a function."""

    def __init__(self, wrap: Callable[[torch.Tensor], Any] = lambda y: y, outputs: int = 3) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.linear = nn.Linear(4, outputs)
        self.wrap = wrap

    def forward(self, x: torch.Tensor) -> Any:
        """Return the wrapped (batch, outputs)."""
        return self.wrap(self.linear(x))


X = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))


def outputs_of(model: Returns) -> np.ndarray[Any, Any]:
    """Return X W^T + b in float64, by numpy."""
    weight, bias = (p.detach().double().numpy() for p in (model.linear.weight, model.linear.bias))
    return X.double().numpy() @ weight.T + bias


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_whole_numbers_get_cross_entropy(dtype: torch.dtype) -> None:
    model = Returns()
    targets = np.array([0, 2, 1, 1, 0, 2])
    y = outputs_of(model)
    expected = np.mean(np.log(np.exp(y).sum(1)) - y[np.arange(6), targets])
    found = facts(model, X, torch.from_numpy(targets).to(dtype))
    value = pytest.approx(expected, rel=1e-5)
    assert found == {"kind": "cross_entropy", "reduction": "mean", "value": value, "cotangent": None}


def test_cross_entropy_of_positions_leaves_ignored_targets_out() -> None:
    model = Returns(lambda y: y.reshape(2, 3, 3).transpose(1, 2))
    y = outputs_of(model)
    targets = np.array([0, 2, 1, -100, 0, 2])
    kept = targets >= 0
    terms = np.log(np.exp(y[kept]).sum(1)) - y[kept][np.arange(5), targets[kept]]
    found = facts(model, X, torch.from_numpy(targets).reshape(2, 3))
    assert found["value"] == pytest.approx(terms.mean(), rel=1e-5)


def test_targets_are_for_the_outputs_and_not_for_a_scalar_beside_them() -> None:
    model = Returns(lambda y: {"loss": y.mean(), "logits": y})
    y = outputs_of(model)
    found = facts(model, X, torch.zeros(6, dtype=torch.int64))
    assert found["value"] == pytest.approx(np.mean(np.log(np.exp(y).sum(1)) - y[:, 0]), rel=1e-5)


def test_floating_targets_get_mse() -> None:
    model = Returns()
    targets = np.linspace(-1, 1, 18).reshape(6, 3)
    expected = np.mean((outputs_of(model) - targets) ** 2)
    found = facts(model, X, torch.from_numpy(targets))
    assert (found["kind"], found["reduction"]) == ("mse", "mean")
    assert found["value"] == pytest.approx(expected, rel=1e-5)


class Pair(NamedTuple):
    """An output with names."""

    mask: torch.Tensor
    logits: torch.Tensor


@dataclass
class Output:
    """An output as a dataclass."""

    hidden: torch.Tensor
    loss: torch.Tensor | None = None


WRAPS: list[tuple[Callable[[torch.Tensor], Any], str]] = [
    (lambda y: y, ""),
    (lambda y: (y, 2 * y), " '0'"),
    (lambda y: {"ids": torch.arange(3), "logits": y}, " 'logits'"),
    (lambda y: Pair(torch.ones(2), y), " 'logits'"),
    (lambda y: Output(y), " 'hidden'"),
    (lambda y: [{"a": ("text", y)}], " '0.a.1'"),
    (lambda y: {"loss": torch.ones(()), "y": y}, " 'y'"),
    (lambda y: {"loss": y.mean(1), "y": y}, " 'loss'"),
]


@pytest.mark.parametrize(("wrap", "place"), WRAPS[:-1])
def test_without_targets_the_output_meets_a_fixed_cotangent(wrap: Any, place: str) -> None:
    model = Returns(wrap)
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double().numpy()
    expected = (outputs_of(model) * z).sum()
    assert facts(model, X) == {
        "kind": f"inner product of output{place}",
        "reduction": "sum",
        "value": pytest.approx(expected, rel=1e-4),
        "cotangent": "N(0, 1), seed 0",
    }


def test_a_loss_per_sample_is_an_output_as_any_other() -> None:
    wrap, place = WRAPS[-1]
    assert facts(Returns(wrap), X)["kind"] == f"inner product of output{place}"


@pytest.mark.parametrize(
    "wrap", [lambda y: {"y": y, "loss": y.square().mean()}, lambda y: Output(y, y.square().mean())]
)
def test_without_targets_the_outputs_own_loss_comes_first(wrap: Any) -> None:
    model = Returns(wrap)
    found = facts(model, X)
    assert (found["kind"], found["cotangent"]) == ("outputs.loss", None)
    assert found["value"] == pytest.approx((outputs_of(model) ** 2).mean(), rel=1e-5)


def test_a_scalar_output_is_a_loss() -> None:
    model = Returns(lambda y: y.square().mean())
    found = facts(model, X)
    assert found["kind"] == "output"
    assert found["value"] == pytest.approx((outputs_of(model) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("last", [nn.LayerNorm(3, elementwise_affine=False), nn.Softmax(-1)])
def test_the_gradient_survives_what_kills_a_sum(last: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(4, 3), last)
    model(X).sum().backward()
    assert model[0].weight.grad.abs().max() < 1e-5
    measure(model, [ModelBatch.of(X)])
    assert model[0].weight.grad.abs().max() > 0.05


def test_half_precision_gets_a_cotangent() -> None:
    model = Returns(lambda y: y.to(torch.bfloat16))
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).double().numpy()
    assert facts(model, X)["value"] == pytest.approx((outputs_of(model) * z).sum(), rel=0.03)


def test_an_infinite_loss_can_be_written_as_json() -> None:
    assert facts(Returns(), X, loss=lambda y: y.sum() * float("inf"))["value"] in ("inf", "-inf", "nan")


def test_own_losses_go_by_their_names() -> None:
    def squares(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return ((outputs - targets) ** 2).sum()

    found = facts(Returns(), X, torch.zeros(6, 3), squares)
    assert (found["kind"], found["reduction"]) == ("squares", None)
    found = facts(Returns(), X, torch.zeros(6, 3), nn.MSELoss(reduction="sum"))
    assert (found["kind"], found["reduction"]) == ("MSELoss", "sum")
    assert facts(Returns(), X, loss=torch.mean)["kind"] == "mean"
    assert facts(Returns(), X, torch.zeros(6, 3), partial(squares))["kind"] == "squares"


class TwoInputs(nn.Module):
    """Takes two inputs by position or by name."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Return (batch, 3) from two (batch, 4)."""
        return self.linear(left - right)


@pytest.mark.parametrize("inputs", [(X, X + 1), [X, X + 1], {"right": X + 1, "left": X}])
def test_inputs_by_position_and_by_name(inputs: Any) -> None:
    model = TwoInputs()
    expected = -model.linear.weight.detach().double().sum(1) + model.linear.bias.detach().double()
    found = facts(model, inputs, loss=lambda y: y.double().mean())
    assert found["value"] == pytest.approx(expected.mean().item(), rel=1e-5)


def test_a_packed_sequence_is_one_input() -> None:
    packed = nn.utils.rnn.pack_sequence([torch.randn(3, 4), torch.randn(2, 4)])
    assert ModelBatch.of(packed).args == (packed,)


@pytest.mark.parametrize(
    ("targets", "came"),
    [
        (torch.zeros(6, 2, dtype=torch.int64), "a tensor of shape (6, 2), int64"),
        (torch.zeros(6), "a tensor of shape (6,), float32"),
        (torch.zeros(6, dtype=torch.bool), "a tensor of shape (6,), bool"),
        ([0, 1, 2], "a list of 3"),
    ],
)
def test_targets_that_fit_no_loss(targets: Any, came: str) -> None:
    with pytest.raises(UsageError) as caught:
        actdiag.check(Returns(), X, targets)
    assert str(caught.value) == (
        "no loss is known for the output, a tensor of shape (6, 3), float32, and these targets: "
        f"{came}. Targets are whole numbers of shape (6,) or floating numbers of shape (6, 3); "
        "else give a loss of your own"
    )


@pytest.mark.parametrize(
    ("model", "targets", "loss", "text"),
    [
        (
            Returns(lambda y: y[:, 0]), torch.zeros(6, dtype=torch.int64), None,
            "no loss is known for the output, a tensor of shape (6,), float32, and these targets: a tensor "
            "of shape (6,), int64. Targets are floating numbers of shape (6,); else give a loss of your own",
        ),
        (
            Returns(), torch.tensor([0, 1, 2, 3, 0, -1]), None,
            "targets are class numbers from 0 to 2 for an output of shape (6, 3), got -1 to 3",
        ),
        (
            Returns(outputs=1), torch.zeros(6, dtype=torch.int64), None,
            "an output of shape (6, 1) has one class, whose cross_entropy is always 0: give a loss of your "
            "own, such as binary_cross_entropy_with_logits",
        ),
        (
            Returns(), None, lambda y: y,
            "loss must return a 0-d tensor, got a tensor of shape (6, 3), float32: return its mean",
        ),
        (
            Returns(), None, lambda y: 3.0,
            "loss must return a 0-d tensor, got one of type float: return its mean",
        ),
        (
            Returns(lambda y: "words"), None, None,
            "the model's output holds no floating-point tensor, got one of type str: give a loss of your own",
        ),
        (
            Returns(lambda y: (y > 0, 1)), None, None,
            "the model's output holds no floating-point tensor, got a tuple of 2: give a loss of your own",
        ),
        (
            nn.LazyLinear(3), None, None,
            "2 parameters of the model have no shape yet (weight): run one batch through it first",
        ),
        (
            nn.Linear(2, 3, device="meta"), None, None,
            "2 parameters of the model are on the meta device and have no values (weight): build it on the "
            "CPU, or call to_empty() and draw them",
        ),
        (
            Returns(), None, lambda y: torch.complex(y.sum(), y.sum()),
            "loss must return a real number, got a tensor of shape (), complex64: return its abs() or .real",
        ),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_what_cannot_be_measured_is_told(model: nn.Module, targets: Any, loss: Any, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        actdiag.check(model, X, targets, loss)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (3, "got one of type int: give (inputs,) to hand it over as it is"),
        (np.ones(3), "got one of type ndarray: make it a tensor with torch.as_tensor"),
    ],
)
def test_inputs_of_another_kind(inputs: Any, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        actdiag.check(Returns(), inputs)
    assert str(caught.value) == (
        f"inputs are a tensor, a tuple of positional arguments or a mapping of keywords, {text}"
    )


def test_a_batch_without_samples_is_told() -> None:
    with pytest.raises(UsageError) as caught:
        actdiag.check(Returns(), X[:0], torch.zeros(0, 3))
    shape = tuple(X[:0].shape)
    assert str(caught.value) == (
        f"the batch holds no samples: its inputs are a tensor of shape {shape}, float32. Leave it out"
    )


def test_a_model_is_a_module() -> None:
    with pytest.raises(UsageError, match=r"^check takes a torch\.nn\.Module, got function$"):
        actdiag.check(lambda x: x, X)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [Returns().requires_grad_(False), Returns(lambda y: y.detach())])
def test_nothing_to_differentiate(model: nn.Module) -> None:
    with pytest.raises(ActdiagError) as caught:
        actdiag.check(model, X)
    assert str(caught.value) == (
        "the loss has no gradient: no trainable parameter takes part in it. Is everything frozen, or was the "
        "graph cut by detach(), no_grad() or item()?"
    )


def test_steps_do_not_add_up_and_leave_the_last_gradient() -> None:
    model = Returns()
    first, second = (ModelBatch.of(factor * X, torch.zeros(6, 3)) for factor in (1.0, 3.0))
    recording = measure(model, [first, second], steps=2)
    functional.mse_loss(model(3.0 * X), torch.zeros(6, 3)).backward()
    once = torch.autograd.grad(functional.mse_loss(model(3.0 * X), torch.zeros(6, 3)), model.linear.weight)[0]
    assert torch.equal(model.linear.weight.grad, 2 * once)
    rows = recording.rows.query("tensor == 'weight_grad'")
    expected = once.double().square().mean().sqrt().item()
    assert rows["step"].tolist() == [0, 1]
    value = recording.meta["runs"]["model"]["loss"]["value"]
    assert value == pytest.approx((outputs_of(model) ** 2).mean(), rel=1e-5)  # of the first batch
    assert rows["rms"].tolist()[1] == pytest.approx(expected, rel=1e-5)


def test_fewer_batches_than_steps_is_a_note_and_none_an_error() -> None:
    recording = measure(Returns(), iter([ModelBatch.of(X)]), steps=3, notes=["mine"])
    assert recording.meta["runs"]["model"]["notes"] == ["mine", "the batches ended after 1 of 3 steps"]
    with pytest.raises(
        ActdiagError, match=r"^there is no batch to measure: the batches ended before the first$"
    ):
        measure(Returns(), [], steps=3)


def test_no_more_batches_are_drawn_than_steps() -> None:
    drawn = []

    def batches() -> Iterator[ModelBatch]:
        for number in range(5):
            drawn.append(number)
            yield ModelBatch.of(X)

    assert measure(Returns(), batches(), steps=2).meta["runs"]["model"]["notes"] == []
    assert drawn == [0, 1]


def test_hooks_are_off_and_the_run_has_its_name_and_command() -> None:
    model = examples.healthy()
    inputs, targets = examples.batches()
    recording = measure(model, [ModelBatch.of(inputs, targets)], run="mine", command="actdiag attach x:y")
    assert recording.meta["runs"]["mine"]["command"] == "actdiag attach x:y"
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


def test_the_examples_are_the_same_every_time() -> None:
    torch.manual_seed(5)
    first, (inputs, targets) = examples.healthy(), examples.batches()
    torch.manual_seed(6)
    assert torch.equal(first.head.weight, examples.healthy().head.weight)  # type: ignore[union-attr, arg-type]
    assert torch.equal(inputs, examples.batches()[0])
    assert (inputs.shape, targets.shape, int(targets.min()), int(targets.max())) == ((64, 16), (64,), 0, 9)


def test_an_optimiser_that_steps_inside_backward_changes_nothing() -> None:
    model = nn.Linear(4, 2)
    optimiser = torch.optim.SGD(model.parameters(), 0.5)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda _: optimiser.step())
    actdiag.check(model, torch.randn(8, 4))
    for kept, now in zip(before, model.parameters(), strict=True):
        assert torch.equal(kept, now)


def test_the_graph_that_the_inputs_come_from_is_left_alone() -> None:
    upstream, model = nn.Linear(3, 4), nn.Linear(4, 2)
    inputs = upstream(torch.randn(8, 3))
    actdiag.check(model, inputs)
    assert upstream.weight.grad is None
    inputs.sum().backward()  # the graph is still there
    assert upstream.weight.grad is not None


def test_a_negative_zero_comes_back() -> None:
    model = nn.BatchNorm1d(2)
    model.running_mean.fill_(-0.0)
    actdiag.check(model, torch.ones(4, 2))
    assert torch.signbit(model.running_mean).all()


def test_a_loss_that_is_no_function_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"loss is a callable loss\(outputs, targets\), got one of type int"):
        actdiag.check(nn.Linear(2, 2), torch.ones(4, 2), loss=3)  # type: ignore[arg-type]


class Switching(nn.Module):
    """Freezes one layer, lets the other learn, and hooks it, in every forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the output."""
        self.first.requires_grad_(True)
        self.last.bias.requires_grad_(False)
        self.first.register_forward_hook(lambda *_: None)
        return self.last(torch.tanh(self.first(inputs)))


def test_what_a_forward_pass_switches_is_put_back() -> None:
    model = Switching()
    actdiag.check(model, torch.randn(32, 8), torch.randint(3, (32,)))
    needing = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert needing == {"last.weight", "last.bias"}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.first._forward_hooks


def test_the_callers_default_device_is_not_asked() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    inputs, targets = torch.randn(32, 8), torch.randint(3, (32,))

    def told() -> list[str]:
        alone, whole = actdiag.check(model, inputs), actdiag.check(model, inputs, targets, jacobian=True)
        return [*map(str, (alone, whole)), repr(actdiag.jacobian(model, inputs))]

    expected = told()
    with torch.device("meta"):
        assert told() == expected
