"""The signature of weights as OpenSSF Model Signing has it, made from digests that are known already. Pure.

``model_signing verify key`` of other people accepts it, and what ``model_signing sign key`` made is read
here: the predicate lists each file's sha256. Its own subject is a root digest over that list; ours, the set
digest of the files, follows from the same list, so none can be filed under weights it does not list.
Source: model-signing 1.1.1, ``_signing/signing.py`` (Payload) and ``manifest.py`` (the order of files).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from registry.digest import Digest
from registry.manifest import Manifest, ManifestEntry

_FILES = {"method": "files", "hash_type": "sha256"}
_IGNORED = [".git", ".gitattributes", ".github", ".gitignore"]
"""What a verifier passes over in a folder; their own list. Files that are admitted never have such names."""


def weights_predicate(weights: Manifest) -> dict[str, Any]:
    """What is signed about these files: the facts of evidence of the kind ``weights-signature``."""
    paths = sorted(weights.files, key=lambda path: path.split("/"))  # theirs: folder by folder, not by letter
    resources = [
        {"name": path, "algorithm": "sha256", "digest": weights.files[path].digest.hex} for path in paths
    ]
    serialization = {**_FILES, "allow_symlinks": False, "ignore_paths": _IGNORED}
    return {"serialization": serialization, "resources": resources}


def root_digest(predicate: Mapping[str, Any]) -> Digest:
    """The subject such a statement has: the sha256 of all digests in their order.

    Raises KeyError, TypeError or ValueError for anything else.
    """
    digests = (bytes.fromhex(_sha256(resource).hex) for resource in predicate["resources"])
    return Digest(hashlib.sha256(b"".join(digests)).hexdigest())


def signed_set(predicate: Mapping[str, Any]) -> Digest:
    """The set digest of the files that are signed: ``Manifest.set_digest``, without reading one.

    Raises KeyError, TypeError or ValueError for anything else, also for a signature over shards of files.
    """
    serialization = predicate["serialization"]
    if {name: serialization[name] for name in _FILES} != _FILES:
        raise ValueError("the weights are not signed by the sha256 of whole files")
    resources = predicate["resources"]
    files = {resource["name"]: ManifestEntry(_sha256(resource), 0) for resource in resources}
    if len(files) != len(resources) or not files:
        raise ValueError("the signed files are not a list of distinct names")
    return Manifest(files).set_digest


def _sha256(resource: Mapping[str, Any]) -> Digest:
    if resource["algorithm"] != "sha256":
        raise ValueError(f"{resource['name']} is not signed by its sha256")
    return Digest(resource["digest"])
