from dataclasses import dataclass, replace
import numpy as np, torch
from actdiag import schema
from actdiag.statistics.summary import describe as _describe


@dataclass
class Table:
    numbers: np.ndarray
    states: list
    rows: list

    def log(self, row):
        return self.states[row].log.numpy()

    def linear(self, row):
        l = self.states[row].linear
        return None if l is None else l.numpy()

    def units(self, row):
        return self.rows[row].units

    def compact(self):
        return self


def describe(states, dies):
    rows = [_describe(s, d) for s, d in zip(states, dies)]
    numbers = np.array(
        [[{"grad_to_weight": np.nan, **r.numbers}[n] for n in schema.COUNTED] for r in rows], dtype=float
    ).reshape(len(rows), len(schema.COUNTED))
    return Table(numbers, list(states), rows)


def sizes(tensors):
    out = []
    for t in tensors:
        t = t.detach().double()
        f = torch.isfinite(t)
        out.append(
            [t.numel(), float(t[f].square().mean().sqrt()), int(t.isnan().sum()), int(t.isinf().sum())]
        )
    return np.array(out, dtype=float).reshape(len(out), 4)
