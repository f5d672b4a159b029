"""What an activation is given: looked at before it runs, since an in-place one overwrites it."""

from __future__ import annotations

import torch

from actdiag.activations import activation
from actdiag.capture import outputs
from actdiag.capture.book import Book
from actdiag.capture.ledger import Entry
from actdiag.capture.sites import ModuleFacts, Site
from actdiag.capture.window import Call
from actdiag.catalogue import count_saturated


def before_activation(book: Book, call: Call, facts: ModuleFacts, act: str, z: torch.Tensor | None) -> None:
    """Count saturation, and say of z that it is a preactivation; it becomes a site where it was none.

    Args:
        book: of the step.
        call: of the module, or of the one the function is called in; it keeps the count.
        facts: of the activation.
        act: its registered name.
        z: what it is given.
    """
    call.saturated = None
    origin = None if z is None else book.ledger.find(z)
    owner = None if z is None or origin is None else book.ledger.owner_of(origin, z)
    if z is None or (owner is None and outputs.obstacle(z)):
        return
    known = activation(act)
    if known.saturation is not None and book.selects(facts.name):
        call.saturated = count_saturated(outputs.local(z.detach()), known)
    if origin is not None and origin.site.product and origin.site.fresh:
        book.facts[origin.site.product].activation_after = act
    if owner is None:
        book.meet(_site_before(book, call, facts, origin), z)
    elif owner.tensor == "output":
        owner.tensor = "preactivation"


def _site_before(book: Book, call: Call, facts: ModuleFacts, origin: Entry | None) -> Site:
    """Return the site of an activation's input that no module returned."""
    site = Site(facts.name, facts.type, 0, call.number, "", "preactivation", -1, book.options.batch_axis)
    site.apart = call.apart
    if origin is not None:
        site.descend(origin.site)
    return book.situate(site, origin, facts)
