"""Where records are kept: the Store protocol, five methods that a folder or an object store can offer.

Keys are relative POSIX paths of lower-case letters, digits, dots, dashes and underscores. Values are
whole byte strings. What a key means is left to publish, alias and evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

_SEGMENT = r"[a-z0-9_-][a-z0-9._-]{0,199}"
_KEY = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
_PREFIX = re.compile(rf"({_SEGMENT}/)*({_SEGMENT})?")
PLACES = (
    *("versions/", "versions-by-content/", "versions-newest/", "manifests/", "evidence/", "aliases/"),
    *("audit/", "pins/", "attachments/", "rollouts/", "leases/", "identity/"),
)
"""What every key of a registry begins with; anything else was put there by somebody else."""
_LONGEST_KEY = 900  # an S3 key holds 1024 bytes; the rest is left to a bucket's own prefix


class Store(Protocol):
    """Atomic, durable, safe with many writers. A malformed key is a ValueError everywhere.

    No key may be the folder of another (``a`` and ``a/b``): a folder cannot hold both, so that is a
    ValueError as well where it can be seen.
    """

    def get(self, key: str) -> bytes | None:
        """The value, or None when there is none."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the value unless the key has one; returns whether it was written."""
        ...

    def compare_and_swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Write ``new`` if the value is ``expected`` (None: absent); returns whether it was written."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with these characters, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Remove the value; nothing happens when there is none."""
        ...


def is_key(text: str) -> bool:
    """Whether a store takes this as a key."""
    return len(text) <= _LONGEST_KEY and _KEY.fullmatch(text) is not None


def check_key(key: str) -> str:
    """The key itself, or ValueError when it is not one."""
    if not is_key(key):
        raise ValueError(f"not a store key (lower-case relative path, [a-z0-9._-]): {key!r}")
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself, or ValueError when no key can begin with it."""
    if not _PREFIX.fullmatch(prefix) or len(prefix) > _LONGEST_KEY:
        raise ValueError(f"no store key begins with {prefix!r}")
    return prefix
