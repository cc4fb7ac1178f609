"""What is no store: told apart before anything is read as one, copied from it, or written into it.

Keys that no store has, a folder of other things, a store inside itself: whoever mistypes an address gets
a sentence, never an empty registry, and never a copy of what lay there.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from registry.atomic import cannot_read
from registry.errors import UsageError
from registry.store import PLACES, Store
from registry.store_address import Address

_OURS = {place.rstrip("/") for place in PLACES}
_OF_THE_DISK = {"lost+found"}
"""What a new file system has in it; dot files are nobody's business either."""
_CHOOSE = "choose an empty folder or prefix, or a store"
_NAME_A_STORE = "name a store: a folder that Headgate wrote, or s3://BUCKET/PREFIX"


def check_folder(folder: Path, next_step: str) -> bool:
    """Whether there is a folder; UsageError when there is a file, or a folder of other things."""
    names = _names(folder)
    if names is None or not names or any(name in _OURS for name in names):
        return names is not None
    why = f"the folder holds other things, such as {min(names)}"
    if _OURS & (_names(folder / "store") or set()):
        next_step = f"did you mean {folder / 'store'}?"
    raise UsageError(f"There is no store at {folder}", why=why, next_step=next_step)


def check_there(folder: Path, next_step: str) -> None:
    """UsageError without a folder, and as ``check_folder``; an empty one is a store without records."""
    if not check_folder(folder, next_step):
        raise UsageError(
            f"There is no store at {folder}", why="the folder does not exist", next_step=next_step
        )


def check_copy(source: Address, target: Address) -> None:
    """UsageError when a copy from one address to the other makes no sense, whatever lies in either."""
    if source.folder:
        check_there(source.folder, _NAME_A_STORE)
    if target.folder:
        check_folder(target.folder, _CHOOSE)
    nested = [source.holds(target), target.holds(source)]
    if any(nested):
        why = "they are the same store" if all(nested) else "one is inside the other"
        raise UsageError(f"{source} is not copied to {target}", why=why, next_step=_CHOOSE)


def check_source(source: Store, keys: Collection[str]) -> None:
    """UsageError unless the keys are those of a store that has records."""
    _check_keys(source, keys, f"There is no store at {source!r}, and nothing was copied", _NAME_A_STORE)
    if not keys:
        why = "there are no records"
        raise UsageError(f"There is no store at {source!r}", why=why, next_step=_NAME_A_STORE)


def check_target(target: Store, keys: Collection[str]) -> None:
    """UsageError when any of the keys is no store's."""
    _check_keys(target, keys, f"{target!r} is no store to copy to, and nothing was copied", _CHOOSE)


def _check_keys(store: Store, keys: Collection[str], what: str, next_step: str) -> None:
    foreign = [key for key in keys if not key.startswith(PLACES)]
    if not foreign:
        return
    inside = {key.partition("/versions/")[0] for key in foreign if "/versions/" in key}
    if inside:
        next_step = f"did you mean {store!r}/{min(inside, key=len)}?"
    raise UsageError(what, why=f"it holds other things, such as {foreign[0]}", next_step=next_step)


def _names(folder: Path) -> set[str] | None:
    """What is in a folder, or None without one."""
    try:
        found = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return None
    except NotADirectoryError as problem:
        why = "it is a file, or lies under one"
        raise UsageError(f"There is no store at {folder}", why=why, next_step=_NAME_A_STORE) from problem
    except OSError as problem:
        raise cannot_read(folder, problem) from problem
    return {name for name in found - _OF_THE_DISK if not name.startswith(".")}
