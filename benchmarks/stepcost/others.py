"""What else people put on a model to see its activations and gradients."""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stepcost.base import Hooked, Plain, UnavailableError
from stepcost.workloads import activations, outputs


def needed(name: str) -> Any:
    """Return a module of a package that may not be there.

    Raises:
        UnavailableError: it cannot be imported.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise UnavailableError("not installed") from error


class HandWritten(Hooked):
    """The hook people write first: mean and std as Python numbers and a histogram, per tensor."""

    def attach(self) -> None:
        """Make a place for what is kept."""
        self.kept: dict[str, tuple[float, float, torch.Tensor]] = {}
        super().attach()

    def watched(self) -> list[nn.Module]:
        """Return the activations."""
        return activations(self.model)

    def observe(self, name: str, tensor: torch.Tensor) -> None:
        """Keep mean, std and 64 bins over the tensor's own range."""
        self.kept[name] = tensor.mean().item(), tensor.std().item(), tensor.float().histc(64)


class HandWrittenAll(HandWritten):
    """The same on the output of every module without children."""

    def watched(self) -> list[nn.Module]:
        """Return the modules without children."""
        return outputs(self.model)


class FastaiStyle(Hooked):
    """What fastai's ActivationStats takes of a tensor, in code of our own, here of gradients as well.

    A copy on the CPU; its mean and std; the share of elements up to 0.05; 40 bins from 0 to 10.
    """

    def attach(self) -> None:
        """Make a place for what is kept: fastai keeps every step's."""
        self.kept: list[dict[str, Any]] = []
        super().attach()

    def watched(self) -> list[nn.Module]:
        """Return the activations."""
        return activations(self.model)

    def observe(self, name: str, tensor: torch.Tensor) -> None:
        """Keep the four statistics."""
        values = tensor.cpu().float()
        self.kept.append(
            {
                "mean": values.mean().item(),
                "std": values.std().item(),
                "near_zero": (values <= 0.05).long().sum().item() / values.numel(),
                "hist": values.histc(40, 0, 10),
            }
        )


class TensorBoard(Hooked):
    """A SummaryWriter's add_histogram of each activation and gradient."""

    def attach(self) -> None:
        """Open a writer in a folder of its own."""
        needed("tensorboard")
        self.folder = tempfile.TemporaryDirectory()
        self.writer = needed("torch.utils.tensorboard").SummaryWriter(self.folder.name)
        super().attach()

    def watched(self) -> list[nn.Module]:
        """Return the activations."""
        return activations(self.model)

    def observe(self, name: str, tensor: torch.Tensor) -> None:
        """Write the histogram."""
        self.writer.add_histogram(name, tensor, self.steps)

    def recorded(self) -> int:
        """Return the histograms in the file."""
        self.writer.flush()
        reader = needed("tensorboard.backend.event_processing.event_accumulator")
        events = reader.EventAccumulator(self.folder.name, size_guidance={"histograms": 0}).Reload()
        return sum(len(events.Histograms(tag)) for tag in events.Tags()["histograms"])

    def close(self) -> None:
        """Remove hooks and folder."""
        super().close()
        self.writer.close()
        self.folder.cleanup()


class WandbWatch(Plain):
    """wandb.watch of parameters and their gradients, offline; it sees no activations."""

    def attach(self) -> None:
        """Start a run in a folder of its own."""
        self.folder = tempfile.TemporaryDirectory()
        for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            os.environ[name] = str(Path(self.folder.name))
        os.environ["WANDB_SILENT"] = "true"
        self.wandb = needed("wandb")
        self.run = self.wandb.init(mode="offline", dir=self.folder.name, project="overhead")
        self.wandb.watch(self.model, log="all", log_freq=1)

    def after(self) -> None:
        """Send the step's histograms."""
        self.wandb.log({})

    def recorded(self) -> int:
        """Return the histograms of the last step."""
        return sum(key.startswith(("gradients/", "parameters/")) for key in self.run.summary.keys())  # noqa: SIM118

    def expected(self) -> int:
        """Return one for each parameter and one for each gradient."""
        return 2 * len(list(self.model.parameters()))

    def tensors(self) -> int:
        """Return the same: it is a count of one step."""
        return self.expected()

    def close(self) -> None:
        """End the run."""
        self.wandb.unwatch(self.model)
        self.run.finish()
        self.folder.cleanup()


class TorchLens(Plain):
    """A torchlens trace of every operation, its output and gradient copied; it computes no statistics."""

    def attach(self) -> None:
        """Set the options; torchlens wraps torch's functions at the first trace and leaves them wrapped."""
        self.lens = needed("torchlens")
        options = needed("torchlens.options").CaptureOptions
        self.capture = options(save_grads="all", backward_ready=True)
        self.seen = 0

    def train(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Trace forward and backward."""
        trace = self.lens.trace(self.model, inputs, capture=self.capture)
        output = trace[trace.output_layers[0]].out
        trace.log_backward(nn.functional.cross_entropy(output, targets))
        self.trace = trace

    def recorded(self) -> int:
        """Return the gradients in the last trace, or as many as are expected if there are more."""
        return min(self.trace.num_saved_grad_layers, self.expected())

    def expected(self) -> int:
        """Return one gradient for each activation."""
        return self.workload.hidden

    def tensors(self) -> int:
        """Return the outputs and gradients in a trace."""
        return len(self.trace.layers) + self.trace.num_saved_grad_layers
