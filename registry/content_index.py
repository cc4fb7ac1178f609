"""What the index from content to number says of a version, and whether it may be made to name it again.

Publishing writes the index first. So a record that it does not name was not left by a publisher that died.
"""

from __future__ import annotations

from registry.numbers import Index
from registry.verify_evidence import Said, releases_of
from registry.version import ModelVersion
from registry.version_record import INDEX, index_key


def is_indexed(version: ModelVersion, index: Index) -> bool:
    """Whether the index names the version's number for its content."""
    return index.get(index_key(version)) == _claim(version)


def may_be_indexed(version: ModelVersion, said: Said, index: Index) -> bool:
    """Whether a version that the index does not name was published all the same, and may be named again.

    A trusted key has signed for it; or it is from before anything was signed, and no other content has its
    number.
    """
    if not version.predates_signing:
        return bool(releases_of(version, said))
    own = f"{INDEX}{version.name}/"
    return not any(claim == _claim(version) for key, claim in index.items() if key.startswith(own))


def _claim(version: ModelVersion) -> bytes:
    return str(version.number).encode()
