"""Archives: versions cross an air gap with everything said about them, and nothing else gets in."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from registry.alias import Alias
from registry.alias_history import history
from registry.archive import import_archive
from registry.errors import Refused, UsageError
from registry.evidence import Evidence, list_bundles, list_evidence, record
from registry.policy import DEFAULT
from registry.predicates import ALIAS_MOVE, APPROVAL, QUALITY
from registry.publish import RecordGone, get_version, list_versions
from registry.signing import KeySigner
from registry.trust_file import write_trust
from registry.verify import verify_version
from tests.simulators.archives import advised, bring, export, ignore, rewrite
from tests.simulators.programs import need_program
from tests.simulators.registries import crane_registry
from tests.simulators.released import AT, WEIGHTS, WHEN, TinyHome, move, passed, release, tiny_home

KEY = "headgate.store-key"


def everything(at: TinyHome) -> dict[str, bytes]:
    """All files of a home's store, blobs and image layout."""
    folders = (at.home.store, at.home.blobs, at.home.oci)
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(at.home.root)): p.read_bytes() for p in found if "/." not in str(p)}


def test_a_version_is_the_same_version_in_another_home(
    here: TinyHome, there: TinyHome, archive: Path
) -> None:
    """Same record, same evidence, signed by the same key; it verifies, and policy lets it go on."""
    shutil.rmtree(here.home.root)
    (version,) = bring(there, archive)
    assert version.reference == "tiny/1"
    assert verify_version(there.held, "tiny/1", DEFAULT, WHEN).passed
    assert [e.signer for e in list_evidence(there.store, version.release_digest, there.trust)] == [
        "first-house",
        "first-house",
    ]


def test_the_weights_lie_on_disk_once(there: TinyHome, archive: Path) -> None:
    """What is a whole tar in the archive is a header and a blob in a home."""
    (version,) = bring(there, archive)
    layers = there.layout.contents(version.image)[1:]
    assert all(there.layout.streamed_from(layer.digest) for layer in layers)


def test_again_changes_nothing(there: TinyHome, archive: Path) -> None:
    """Not one file."""
    bring(there, archive)
    before = everything(there)
    bring(there, archive)
    assert everything(there) == before


def test_exporting_again_changes_nothing(here: TinyHome, archive: Path) -> None:
    """An archive that was interrupted is completed the same way."""
    before = {p: p.read_bytes() for p in archive.rglob("*") if p.is_file()}
    written: list[int] = []
    export(here, "tiny/1", archive, written.append)
    assert {p: p.read_bytes() for p in archive.rglob("*") if p.is_file()} == before
    assert sum(written) == 0


def test_a_move_that_cannot_be_read_is_not_left_out(here: TinyHome, tmp_path: Path) -> None:
    """It might be the one that took the version out of production."""
    (first, *_) = here.store.list("audit/tiny/")
    here.store.compare_and_swap(first, here.store.get(first), b"{}")
    with pytest.raises(Refused, match=rf"move {first} is damaged.*Next: `headgate reconcile`"):
        export(here, "tiny/1", tmp_path / "archive")


def test_several_versions_share_an_archive(here: TinyHome, there: TinyHome, archive: Path) -> None:
    """Files they have in common lie in it once."""
    release(here, weights={"config.json": b"{}", "model.safetensors": b"w" * 1500})
    export(here, "tiny/2", archive)
    assert [v.reference for v in bring(there, archive)] == ["tiny/1", "tiny/2"]
    assert [v.number for v in list_versions(there.store, "tiny")] == [1, 2]


def test_aliases_stay_and_their_history_travels(here: TinyHome, there: TinyHome, archive: Path) -> None:
    """What is live is each house's own decision; who moved what at home is told."""
    (version,) = bring(there, archive)
    assert history(there.store, there.trust, "tiny") == []
    about = list_evidence(there.store, version.record_digest, there.trust)
    moves = [e for e in about if e.kind == ALIAS_MOVE]
    assert [e.facts["alias"] for e in sorted(moves, key=lambda e: e.facts["number"])] == [
        "candidate",
        "production",
    ]


def test_a_key_that_is_not_trusted_lets_nothing_in(tmp_path: Path, archive: Path) -> None:
    """The error names the exporter's key as a file, so that people can compare it."""
    stranger = tiny_home(tmp_path / "stranger")
    before = everything(stranger)
    with pytest.raises(Refused, match="keys not trusted here") as refused:
        bring(stranger, archive)
    (command,) = advised(str(refused.value))
    assert "--name builder" in command
    assert "BEGIN PUBLIC KEY" in Path(shlex.split(command)[3]).read_text()
    assert everything(stranger) == before


def test_moves_by_unknown_keys_stay_behind(here: TinyHome, there: TinyHome, tmp_path: Path) -> None:
    """Who moved aliases elsewhere is no reason to refuse a version."""
    operator = TinyHome(here.home, name="operator")
    here.trusts("operator", operator.signer)
    version = get_version(here.store, "tiny/1")
    move(operator, Alias.STAGING, version)
    export(here, "tiny/1", tmp_path / "archive")
    bring(there, tmp_path / "archive")
    about = list_evidence(there.store, version.record_digest, there.trust)
    assert {e.facts["alias"] for e in about if e.kind == ALIAS_MOVE} == {"candidate", "production"}
    assert verify_version(there.held, "tiny/1", DEFAULT, WHEN).passed


def test_evidence_by_unknown_keys_is_not_let_in(here: TinyHome, there: TinyHome, tmp_path: Path) -> None:
    """A stranger's approval might be what a policy asks for one day."""
    version = get_version(here.store, "tiny/1")
    approval = Evidence(
        kind=APPROVAL, subject=version.release_digest, verdict=passed(APPROVAL), facts={"at": AT}
    )
    record(here.store, KeySigner.generate(), approval)
    export(here, "tiny/1", tmp_path / "archive")
    with pytest.raises(Refused, match="keys not trusted here"):
        bring(there, tmp_path / "archive")
    assert list_versions(there.store) == []


def test_an_archive_goes_on_from_where_it_came_to(there: TinyHome, archive: Path, tmp_path: Path) -> None:
    """A third home gets the same from the second as from the first."""
    (version,) = bring(there, archive)
    export(there, "tiny/1", tmp_path / "onwards")
    third = tiny_home(tmp_path / "third")
    write_trust(third.home.keys / "trusted.yaml", there.trust)
    bring(third, tmp_path / "onwards")
    assert list_bundles(third.store, version.record_digest) == list_bundles(
        there.store, version.record_digest
    )


def test_a_number_means_one_thing(there: TinyHome, archive: Path) -> None:
    """Taken by other content: both digests are named, and nothing is written."""
    mine = release(there, weights={"config.json": b"mine"})
    before = everything(there)
    with pytest.raises(Refused) as refused:
        bring(there, archive)
    assert str(mine.record_digest) in str(refused.value)
    assert "tiny/1" in str(refused.value)
    assert everything(there) == before


def test_a_number_means_one_thing_though_its_record_is_lost(
    there: TinyHome, archive: Path, tmp_path: Path
) -> None:
    """Aliases name it: other content is refused, and only the record it had comes back."""
    mine = release(there, weights={"config.json": b"mine"})
    export(there, "tiny/1", tmp_path / "backup")
    for key in [*there.store.list("versions/"), *there.store.list("versions-by-content/")]:
        there.store.delete(key)
    before = everything(there)
    with pytest.raises(Refused, match=rf"tiny/1 is other content.*{mine.record_digest}"):
        bring(there, archive)
    assert everything(there) == before
    bring(there, tmp_path / "backup")
    assert get_version(there.store, "tiny/1") == mine


def test_a_content_has_one_number(there: TinyHome, tmp_path: Path) -> None:
    """The same content under another number is refused as well."""
    release(there)
    other = tiny_home(tmp_path / "other")
    there.trusts("second-house", other.signer)
    release(other, weights={"config.json": b"first"})
    release(other)
    export(other, "tiny/2", tmp_path / "second")
    with pytest.raises(Refused, match="one content has one version"):
        bring(there, tmp_path / "second")


def test_an_interrupted_import_shows_nothing_and_goes_on(there: TinyHome, archive: Path) -> None:
    """Killed at any write: no version is listed before everything of it is here, and again completes it."""
    for survived in range(40):
        shutil.rmtree(there.home.store, ignore_errors=True)
        shutil.rmtree(there.home.oci, ignore_errors=True)
        shutil.rmtree(there.home.blobs, ignore_errors=True)
        try:
            import_archive(replace(there.held, store=_Dying(there.store, survived)), archive, ignore)
        except _Killed:
            if list_versions(there.store):
                assert verify_version(there.held, "tiny/1", DEFAULT, WHEN).passed
            bring(there, archive)
        else:
            break
        assert verify_version(there.held, "tiny/1", DEFAULT, WHEN).passed
    assert survived > 10


class _Killed(BaseException):
    """The process ended here."""


class _Dying:
    """A store that takes so many writes and ends the process at the next."""

    def __init__(self, store: object, writes: int) -> None:
        self._store, self._left = store, writes

    def __getattr__(self, name: str) -> object:
        method = getattr(self._store, name)
        return self._counted(method) if name in {"put_if_absent", "compare_and_swap"} else method

    def _counted(self, method: Callable[..., bool]) -> Callable[..., bool]:
        def write(*arguments: object) -> bool:
            self._left -= 1
            if self._left < 0:
                raise _Killed
            return method(*arguments)

        return write


def test_a_flipped_byte_anywhere_in_an_archive_lets_nothing_in(there: TinyHome, archive: Path) -> None:
    """Or it changes nothing: the name of a tag, the marker, what is only told to people."""
    harmless = 0
    for path in sorted(p for p in archive.rglob("*") if p.is_file() and p.stat().st_size):
        data = path.read_bytes()
        for position in range(0, len(data), max(1, len(data) // 12)):
            path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            try:
                bring(there, archive)
            except (Refused, UsageError):
                assert list_versions(there.store) == []
            else:
                assert verify_version(there.held, "tiny/1", DEFAULT, WHEN).passed, (path, position)
                harmless += 1
                shutil.rmtree(there.home.store)
        path.write_bytes(data)
    assert bring(there, archive)
    assert harmless < 40


def test_a_record_that_is_no_part_of_the_version_is_refused(there: TinyHome, archive: Path) -> None:
    """An archive cannot write to any key of a store it likes."""
    rewrite(archive, lambda layers: layers[0]["annotations"].update({KEY: "aliases/tiny/cpu.json"}))
    with pytest.raises(Refused, match=r"aliases/tiny/cpu\.json"):
        bring(there, archive)


@pytest.mark.parametrize("break_it", ["record", "evidence", "layer"])
def test_a_damaged_version_is_not_exported(here: TinyHome, tmp_path: Path, break_it: str) -> None:
    """What would be refused on arrival does not leave, and the folder shows no version."""
    folders = {"record": "store/manifests", "evidence": "store/evidence", "layer": "blobs/sha256"}
    path = max((p for p in (here.home.root / folders[break_it]).rglob("*") if p.is_file()), key=_size)
    path.write_bytes(path.read_bytes().replace(b"w", b"x").replace(b"a", b"b"))
    with pytest.raises(Refused):
        export(here, "tiny/1", tmp_path / "archive")
    index = tmp_path / "archive" / "index.json"
    assert not index.exists() or "artifactType" not in index.read_text()


def _size(path: Path) -> int:
    return path.stat().st_size


def test_a_version_that_there_is_not_makes_no_archive(here: TinyHome, tmp_path: Path) -> None:
    """The error is about the version: it never was, or only the log of its aliases names it now."""
    with pytest.raises(UsageError, match="There is no version tiny/9"):
        export(here, "tiny/9", tmp_path / "new")
    for key in (*here.store.list("versions/"), *here.store.list("versions-by-content/")):
        here.store.delete(key)
    with pytest.raises(
        RecordGone, match=r"record of tiny/1 is gone .* the alias log of tiny on cpu names it"
    ):
        export(here, "tiny/1", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_other_tools_read_an_archive(here: TinyHome, archive: Path, tmp_path: Path) -> None:
    """crane pushes all of it as one index, and the files are in the image that it then exports."""
    crane, image = str(need_program("crane")), get_version(here.store, "tiny/1").image
    with crane_registry(tmp_path) as host:
        for command in (
            ["push", "--index", str(archive), f"{host}/tiny:1"],
            ["export", f"{host}/tiny@{image}", str(tmp_path / "files.tar")],
        ):
            subprocess.run([crane, *command], check=True, capture_output=True)
    with tarfile.open(tmp_path / "files.tar") as files:
        found = {m.name: files.extractfile(m) for m in files if m.isreg()}
        assert {name: file.read() for name, file in found.items() if file} == {
            f"models/{path}": content for path, content in WEIGHTS.items()
        }


def test_what_was_said_later_travels_too(here: TinyHome, there: TinyHome, archive: Path) -> None:
    """Exporting again adds new evidence, and importing again brings it."""
    bring(there, archive)
    version = get_version(here.store, "tiny/1")
    later = Evidence(
        kind=QUALITY,
        subject=version.release_digest,
        verdict=passed(QUALITY),
        facts={"at": AT.replace("2026-11-20", "2026-11-21")},
    )
    record(here.store, here.signer, later)
    export(here, "tiny/1", archive)
    bring(there, archive)
    assert list_bundles(there.store, version.release_digest) == list_bundles(
        here.store, version.release_digest
    )
