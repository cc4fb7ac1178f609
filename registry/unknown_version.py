"""What is said to whoever names a version that there never was: which there are, or which name was meant."""

from __future__ import annotations

from collections.abc import Sequence

from registry.errors import UsageError
from registry.store import Store
from registry.validation import did_you_mean
from registry.version_record import RECORDS

_SHOWN = 20  # versions worth naming


def unknown_version(store: Store, name: str, number: int, numbers: Sequence[int]) -> UsageError:
    """The error for a number of a model whose versions have these ``numbers``, sorted."""
    if numbers:
        known = ", ".join(f"{name}/{n}" for n in numbers[-_SHOWN:])
        why = f"the {'newest' if len(numbers) > _SHOWN else 'versions'} of {name} are: {known}"
    else:
        names = {key.split("/")[1] for key in store.list(RECORDS)}
        why = f"no model has that name; {did_you_mean(name, names)}"
    return UsageError(
        f"There is no version {name}/{number}",
        why=why,
        next_step="`headgate versions` lists everything that is published",
    )
