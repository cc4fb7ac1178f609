"""Sets of files: their digest, their differences, and the paths they refuse."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.digest import Digest
from registry.manifest import Manifest, ManifestEntry

_PART = st.text("abcXYZ019._- é", min_size=1, max_size=6).filter(lambda part: part not in {".", ".."})
_PATHS = st.lists(_PART, min_size=1, max_size=3).map("/".join)
_ENTRIES = st.builds(ManifestEntry, st.binary(max_size=4).map(Digest.of_bytes), st.integers(0, 9))


def _manifest(**contents: str) -> Manifest:
    entries = {p: ManifestEntry(Digest.of_bytes(c.encode()), len(c)) for p, c in contents.items()}
    return Manifest(entries)


@given(st.dictionaries(_PART, _ENTRIES, max_size=5), st.randoms())
def test_order_changes_nothing_and_json_reads_back(files: dict[str, ManifestEntry], random: object) -> None:
    """A manifest is a set: equal, and of one digest, however its files were listed."""
    shuffled = sorted(files, key=lambda path: random.random())  # type: ignore[attr-defined]
    manifest, other = Manifest(files), Manifest({path: files[path] for path in shuffled})
    assert manifest == other
    assert manifest.set_digest == other.set_digest
    assert Manifest.from_json(manifest.to_json()) == manifest


@given(_PATHS)
def test_plain_relative_paths_are_taken(path: str) -> None:
    """Spaces, dots and other scripts are no problem."""
    assert list(Manifest({path: ManifestEntry(Digest.of_bytes(b""), 0)}).files) == [path]


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../b", "a//b", "./a", "a/", "a\\b", "a\nb"])
def test_a_path_that_could_leave_the_folder_is_refused(path: str) -> None:
    """Manifests come from hubs, so their paths are not trusted."""
    with pytest.raises(ValueError, match="not a plain relative path"):
        Manifest({path: ManifestEntry(Digest.of_bytes(b""), 0)})


def test_a_file_that_is_also_a_folder_is_refused() -> None:
    """Such a set cannot lie on a disk."""
    with pytest.raises(ValueError, match="is a file and the folder of"):
        _manifest(**{"a": "1", "a/b": "2"})


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="coreutils are not installed")
def test_the_set_digest_comes_from_a_shell_too(tmp_path: Path) -> None:
    """The command in the docstring gives the same number."""
    contents = {"model.safetensors": "w", "config.json": "{}", "sub/a b.txt": "x", "é": "y"}
    for path, content in contents.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    command = "find . -type f -printf '%P\\0' | xargs -0 sha256sum | LC_ALL=C sort | sha256sum"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == _manifest(**contents).set_digest.hex


def test_a_difference_is_said_in_sentences_with_both_values() -> None:
    """Missing, unexpected and changed files each have their line."""
    expected, found = _manifest(kept="1", gone="2", other="3"), _manifest(kept="1", new="2", other="44")
    missing, unexpected, changed = expected.diff(found)
    assert missing == "gone is missing"
    assert unexpected == "new was not expected"
    assert str(Digest.of_bytes(b"3")) in changed
    assert str(Digest.of_bytes(b"44")) in changed
    assert expected.diff(expected) == []
    assert expected.size == 3
