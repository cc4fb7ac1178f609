"""Transfers that end badly, and what they leave for the next."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import Refused
from tasks import transfer
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Checksum, Damaged
from tasks.source import Listing, SourceFile
from tasks.transfer import Transfer
from tests.simulators.project import until

DATA = b"a" * 1000 + b"b" * 1000
GOOD = SourceFile("model.safetensors", 2000, Checksum("sha256", hashlib.sha256(DATA).hexdigest()))
BAD = SourceFile("config.json", 10, None)
LISTING = Listing("hf://org/tiny", "main", "c" * 40, (GOOD, BAD), "org/tiny")


class Stuck:
    """A source whose one file fails while the other waits for its peer."""

    def __init__(self) -> None:
        self.waits, self.goes_on = threading.Event(), threading.Event()

    def pull(self, _listing: Listing, file: SourceFile, out: ArrivingFile) -> None:
        """Half of the good file, and the rest when it is let go on."""
        if file is BAD:
            self.waits.wait()
            raise RuntimeError("the hub broke")
        out.write(DATA[:1000])
        self.waits.set()
        self.goes_on.wait()
        out.write(DATA[1000:])

    def resolve(self, _revision: str, _progress: object) -> Listing:
        """What it has."""
        return LISTING


class Steady(Stuck):
    """A source that gives what is asked for."""

    def pull(self, _listing: Listing, _file: SourceFile, out: ArrivingFile) -> None:
        """The rest of the file."""
        self.waits.set()
        out.write(DATA[out.tell() :])


def silent(_message: str, _fraction: float | None) -> None:
    """Progress that nobody hears."""


def test_a_transfer_that_outlives_its_run_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run waits for the half file, and what it ends up with is what was listed."""
    monkeypatch.setattr(transfer, "_STOP", 0.1)
    blobs, stuck, steady = BlobStore(tmp_path / "blobs"), Stuck(), Steady()
    with (
        pytest.raises(RuntimeError),
        Transfer(stuck, LISTING, tmp_path / "d", blobs, 2010, silent) as first,
    ):
        first.take([GOOD, BAD])
    threading.Timer(0.5, stuck.goes_on.set).start()
    with Transfer(steady, LISTING, tmp_path / "d", blobs, 2000, silent) as second:
        entries = second.take([GOOD])
        second.keep(entries)
    digest = entries[GOOD.path].digest
    assert Digest.of_file(blobs.path(digest)) == digest == Digest.of_bytes(DATA)


def test_what_only_the_service_can_tell_is_wrong_is_refused(tmp_path: Path) -> None:
    """Where the listing has no checksum, the one that was sent along with the bytes counts."""

    class Rotten(Stuck):
        def pull(self, _listing: Listing, _file: SourceFile, out: ArrivingFile) -> None:
            """All bytes, one of them another one."""
            self.waits.set()
            out.write(b"0123456789")
            raise Damaged("the checksum yZRlqg==", "the checksum AAAAAA==")

    with (
        pytest.raises(
            Refused, match=r"config\.json: expected the checksum yZRlqg==, found the checksum AAAAAA=="
        ),
        Transfer(Rotten(), LISTING, tmp_path / "d", BlobStore(tmp_path / "blobs"), 10, silent) as working,
    ):
        working.take([BAD])
    assert [half.stat().st_size for half in (tmp_path / "d" / transfer.PARTS).iterdir()] == [0]


def test_a_file_that_stays_wrong_ends_the_others(tmp_path: Path) -> None:
    """Nobody downloads a hundred gigabytes of a model that is refused for its first shard."""

    class Wrong(Stuck):
        def pull(self, _listing: Listing, file: SourceFile, out: ArrivingFile) -> None:
            """Other content than was listed, and another file that takes for ever."""
            if file is BAD:
                out.write(b"x")
                return
            while not self.goes_on.wait(0.05):
                out.write(b"")

    with (
        pytest.raises(Refused, match=r"config\.json"),
        Transfer(Wrong(), LISTING, tmp_path / "d", BlobStore(tmp_path / "blobs"), 2010, silent) as working,
    ):
        working.take([GOOD, BAD])
    until(lambda: not any(thread.name.startswith("fetch") for thread in threading.enumerate()))
