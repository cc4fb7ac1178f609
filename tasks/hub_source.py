"""Models from a hub: a revision resolved to one commit, exactly its admitted files downloaded, each verified.

The client does not compare contents with the hub's checksums: a file of the right length passes, a
local one changed under intact metadata is not looked at again, and with the hub away an incomplete
folder can be handed out as it is. So nothing the client returns is believed; every file is hashed
against the listing of the commit. Whole files outlive a kill; half of one is downloaded again.
"""

from __future__ import annotations

import fcntl
import glob
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx2
from huggingface_hub import HfApi, RepoFile, constants, errors, snapshot_download

from registry.admission import admit
from registry.errors import InfrastructureError, UsageError
from registry.manifest import Manifest
from tasks.disk import in_words, require_space
from tasks.hub_client import QUICK, explain, patience, patiently, stoppable_bar
from tasks.hub_verify import HubFile, read_configurations, refuse_bad, verified
from tasks.progress import StageProgress, progress_of

_URI = re.compile(r"hf://([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_POLL = 0.3  # seconds between two looks at how far the download is
_STOP = 5.0  # seconds a download gets to notice that it was stopped
_WORKERS = 4
_FETCH = progress_of("fetch")
# The last two: a server that is no hub may answer with JSON of another shape.
_FAILURES = (httpx2.HTTPError, OSError, ValueError, LookupError, TypeError)


@dataclass(frozen=True)
class ResolvedModel:
    """A repository at one commit, as the hub lists it. ``endpoint`` is the hub that was asked."""

    repo_id: str
    requested_revision: str
    commit: str
    files: tuple[HubFile, ...]
    endpoint: str

    @property
    def where(self) -> str:
        """The repository and commit, for people."""
        return f"{self.repo_id}@{self.commit[:12]}"


def resolve(
    uri: str,
    revision: str,
    *,
    endpoint: str | None,
    token: str | None,
    progress: StageProgress = _FETCH,
) -> ResolvedModel:
    """The commit a revision of ``hf://ORG/NAME`` is at now, and the files it has.

    ``endpoint`` None is the public hub. Raises UsageError (malformed, unknown, not allowed) or
    InfrastructureError; an unreachable hub is one within half a minute.
    """
    match = _URI.fullmatch(uri)
    if not match:
        raise UsageError(
            f"{uri!r} is not a model's address",
            next_step="write hf://ORG/NAME; the revision has a key of its own",
        )
    repo_id, where = match[1], (endpoint or constants.ENDPOINT).rstrip("/")
    api = HfApi(endpoint=where, token=token or False)
    try:
        with patience():
            commit = patiently(lambda: _commit(api, repo_id, revision), where, progress)
            tree = api.list_repo_tree(repo_id, recursive=True, revision=commit)
            files = tuple(_hub_file(entry) for entry in tree if isinstance(entry, RepoFile))
    except _FAILURES as error:
        raise explain(error, repo_id, revision, where) from error
    return ResolvedModel(repo_id, revision, commit, files, where)


def download(
    resolved: ResolvedModel, dest: Path, *, token: str | None, progress: StageProgress = _FETCH
) -> Manifest:
    """The admitted files of the resolved commit in ``dest``, every one verified.

    ``progress`` gets bytes in words and as a fraction. A folder of an earlier, killed download is gone
    on with. Raises Refused (no safetensors, custom code, contents that stay wrong when downloaded
    twice), UsageError (access) or InfrastructureError (hub, disk, a commit that is gone).
    """
    taken = set(admit((file.path for file in resolved.files), resolved.where).taken)
    wanted = [file for file in resolved.files if file.path in taken]
    dest.mkdir(parents=True, exist_ok=True)
    with _alone_in(dest, progress):
        _drop_halves(dest)
        missing = sum(file.size for file in wanted) - _present(dest, wanted)
        require_space(dest, missing, f"the files of {resolved.where}")
        _still_there(resolved, token, progress)
        _pull(resolved, dest, wanted, token, progress)
        entries, bad = verified(dest, wanted, progress)
        if bad:
            progress(f"{bad[0].path} is not what the hub promised; downloading it again", None)
            again = [file for file in wanted if file.path in {mismatch.path for mismatch in bad}]
            _forget(dest, again)
            _pull(resolved, dest, again, token, progress)
            mended, bad = verified(dest, again, progress)
            refuse_bad(bad, resolved.where)
            entries |= mended
        read_configurations(dest, entries, resolved.where)
    return Manifest(entries)


def _commit(api: HfApi, repo_id: str, revision: str) -> str:
    commit = api.model_info(repo_id, revision=revision, timeout=QUICK).sha
    if not commit or not _COMMIT.fullmatch(commit):
        raise InfrastructureError(
            f"the hub at {api.endpoint} gave no commit for {repo_id} at {revision}",
            why=f"it answered {commit!r}, and a commit has 40 hex digits",
            next_step="check that HF_ENDPOINT is a model hub",
        )
    return commit


def _hub_file(entry: RepoFile) -> HubFile:
    if entry.lfs:
        # The git object of such a file is a pointer, so its sha1 says nothing about the content.
        return HubFile(entry.path, entry.lfs.size, entry.lfs.sha256, None)
    return HubFile(entry.path, entry.size, None, entry.blob_id)


def _still_there(resolved: ResolvedModel, token: str | None, progress: StageProgress) -> None:
    """Raises InfrastructureError when the hub is away or the commit gone; asked before the long part."""
    api = HfApi(endpoint=resolved.endpoint, token=token or False)
    where = resolved.endpoint
    try:
        with patience():
            patiently(lambda: _commit(api, resolved.repo_id, resolved.commit), where, progress)
    except errors.RevisionNotFoundError:
        raise _gone(resolved, token) from None
    except _FAILURES as error:
        raise explain(error, resolved.repo_id, resolved.commit, where) from error


def _gone(resolved: ResolvedModel, token: str | None) -> InfrastructureError:
    now = "no commit any more"
    with suppress(*_FAILURES):
        api = HfApi(endpoint=resolved.endpoint, token=token or False)
        now = _commit(api, resolved.repo_id, resolved.requested_revision)
    return InfrastructureError(
        f"{resolved.repo_id} changed while it was fetched: commit {resolved.commit} is gone from the hub",
        why=f"{resolved.requested_revision!r} was at that commit when the release began, and is at {now} now",
        next_step="run the same command again to release what is there now",
    )


def _pull(
    resolved: ResolvedModel,
    dest: Path,
    wanted: Sequence[HubFile],
    token: str | None,
    progress: StageProgress,
) -> None:
    """Have the client put these files into ``dest``, in a thread, so that this one can show and stop it."""
    stopped = Event()
    pool = ThreadPoolExecutor(max_workers=1)
    work = pool.submit(
        snapshot_download,
        resolved.repo_id,
        revision=resolved.commit,
        local_dir=dest,
        cache_dir=dest / ".cache" / "none",  # another's cache is not verified, so it is not used
        allow_patterns=[glob.escape(file.path) for file in wanted],
        endpoint=resolved.endpoint,
        token=token or False,
        max_workers=_WORKERS,
        tqdm_class=stoppable_bar(stopped),
    )
    total = sum(file.size for file in wanted)
    try:
        while not wait([work], _POLL).done:
            done = _present(dest, wanted)
            progress(f"{in_words(done)} of {in_words(total)}", done / max(total, 1))
        work.result()
    except errors.RevisionNotFoundError:
        raise _gone(resolved, token) from None
    except _FAILURES as error:
        raise explain(error, resolved.repo_id, resolved.commit, resolved.endpoint) from error
    finally:
        stopped.set()
        wait([work], _STOP)
        pool.shutdown(wait=False)


def _present(dest: Path, wanted: Sequence[HubFile]) -> int:
    """Bytes of the wanted files that are on disk, whole or being written."""
    whole = sum(min(_size(dest / file.path), file.size) for file in wanted)
    return whole + sum(map(_size, _halves(dest)))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _halves(dest: Path) -> list[Path]:
    return list((dest / ".cache" / "huggingface" / "download").rglob("*.incomplete"))


def _drop_halves(dest: Path) -> None:
    """Remove what a killed download left half-written: the client names such files anew each time."""
    for path in _halves(dest):
        path.unlink(missing_ok=True)


def _forget(dest: Path, files: Sequence[HubFile]) -> None:
    """Remove these files and all the client believes about the folder."""
    for file in files:
        (dest / file.path).unlink(missing_ok=True)
    shutil.rmtree(dest / ".cache", ignore_errors=True)


@contextmanager
def _alone_in(dest: Path, progress: StageProgress) -> Iterator[None]:
    """Hold the folder: two runs that want the same model download it one after the other."""
    folder = os.open(dest, os.O_RDONLY | os.O_DIRECTORY)  # locked itself: a lock file would be one more in it
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another run downloads this model; waiting for it", None)
            fcntl.flock(folder, fcntl.LOCK_EX)
        dest.mkdir(parents=True, exist_ok=True)  # the other run may have moved its files on
        yield
    finally:
        os.close(folder)
