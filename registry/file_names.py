"""Names of files from strangers: which are plain, and which could be taken for one another. Pure."""

from __future__ import annotations

import unicodedata

_LONGEST = 255  # bytes of one name; more no file system here takes


def fault(path: str) -> str:
    """Why a path may not be written below a folder, in words; empty for a plain relative path."""
    parts = path.split("/")
    if path.startswith("/"):
        return "that is an absolute path, not a plain relative path: it would land outside the model's folder"
    if any(part in {"", ".", ".."} for part in parts):
        return "that is not a plain relative path: written to disk it could land outside the model's folder"
    if "\\" in path:
        return "it has a backslash, which parts folders on some systems: it is not a plain relative path"
    if any(0xD800 <= ord(character) <= 0xDFFF for character in path):
        return "it is not valid Unicode, so it cannot be written as UTF-8"
    if not path.isprintable():
        return "it has characters that are not shown, so people could be shown another name"
    if any(len(part.encode()) > _LONGEST for part in parts):
        return f"a name in it is longer than {_LONGEST} bytes, which no disk takes"
    return ""


def alike(path: str) -> str:
    """The same text for all paths that a disk or a person may take for one: case and Unicode forms aside."""
    folded = unicodedata.normalize("NFKC", path).casefold()
    return unicodedata.normalize("NFKC", folded)
