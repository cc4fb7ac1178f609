"""Models from a hub: a revision resolved to one commit, and that commit's files.

The client does not compare contents with the hub's checksums: a file of the right length passes, a local
one changed under intact metadata is not looked at again, and with the hub away an incomplete folder can be
handed out as it is. So only its transfers are used, file by file; nothing it believes about a folder is.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import BinaryIO, cast

import httpx2
from huggingface_hub import HfApi, RepoFile, constants, errors, hf_hub_url
from huggingface_hub.file_download import http_get

from registry.errors import InfrastructureError, UsageError
from tasks.arriving_file import ArrivingFile
from tasks.checksum import Checksum
from tasks.hub_client import QUICK, SilentBar, explain, may_pass, patience, patiently
from tasks.progress import StageProgress
from tasks.source import Listing, SourceFile

_URI = re.compile(r"hf://(datasets/)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ATTEMPTS = 5  # without a new byte, for one file
_RANGE_NOT_SATISFIABLE = 416
# The last two: a server that is no hub may answer with JSON of another shape.
_FAILURES = (httpx2.HTTPError, OSError, ValueError, LookupError, TypeError)


class HubSource:
    """``hf://ORG/NAME``, or ``hf://datasets/ORG/NAME``, on the hub at ``endpoint``; None is the public one.

    Raises UsageError for a malformed address. Its methods raise UsageError (unknown, not allowed) or
    InfrastructureError; an unreachable hub is one within half a minute.
    """

    def __init__(self, uri: str, *, endpoint: str | None, token: str | None) -> None:
        match = _URI.fullmatch(uri)
        if not match:
            raise UsageError(
                f"{uri!r} is not a model's address",
                next_step="write hf://ORG/NAME; the revision has a key of its own",
            )
        self._uri, self._repo_id = uri, match[2]
        self._kind = "dataset" if match[1] else "model"
        self._name = f"the dataset {match[2]}" if match[1] else match[2]
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self._api = HfApi(endpoint=self._endpoint, token=token or False)
        allowed = {"Authorization": f"Bearer {token}"} if token else {}
        # Compressed, a half could not be gone on with.
        self._headers = {"User-Agent": "headgate", "Accept-Encoding": "identity", **allowed}

    def resolve(self, revision: str, progress: StageProgress) -> Listing:
        """The commit a revision is at now, and the files it has."""
        try:
            with patience():
                commit = patiently(lambda: self._commit(revision), self._endpoint, progress)
                tree = self._api.list_repo_tree(
                    self._repo_id, recursive=True, revision=commit, repo_type=self._kind
                )
                files = tuple(_file(entry) for entry in tree if isinstance(entry, RepoFile))
        except _FAILURES as error:
            raise explain(error, self._name, revision, self._endpoint) from error
        return Listing(self._uri, revision, commit, files, f"{self._repo_id}@{commit[:12]}")

    def pull(self, listing: Listing, file: SourceFile, out: ArrivingFile) -> None:
        """The rest of the file, asked for again as long as bytes come; the caller sees if it is whole."""
        url = hf_hub_url(
            self._repo_id,
            file.path,
            revision=listing.commit,
            endpoint=self._endpoint,
            repo_type=self._kind,
        )
        failed = 0
        while True:
            before = out.tell()
            try:
                http_get(
                    url,
                    cast("BinaryIO", out),
                    resume_size=before,
                    headers=self._headers,
                    tqdm_class=SilentBar,
                )
            except errors.RevisionNotFoundError:
                raise self._gone(listing) from None
            except _FAILURES as error:
                failed = failed + 1 if out.tell() <= before else 1
                if not _mended(error, out) and (failed >= _ATTEMPTS or not may_pass(error)):
                    raise explain(error, self._name, listing.commit, self._endpoint, listed=True) from error
                time.sleep(failed / 2)
            else:
                return

    def _commit(self, revision: str) -> str:
        commit = self._api.repo_info(
            self._repo_id, revision=revision, repo_type=self._kind, timeout=QUICK
        ).sha
        if not commit or not _COMMIT.fullmatch(commit):
            raise InfrastructureError(
                f"the hub at {self._endpoint} gave no commit for {self._repo_id} at {revision}",
                why=f"it answered {commit!r}, and a commit has 40 hex digits",
                next_step="check that HF_ENDPOINT is a model hub",
            )
        return commit

    def _gone(self, listing: Listing) -> InfrastructureError:
        now = "no commit any more"
        with suppress(*_FAILURES, InfrastructureError), patience():
            now = patiently(lambda: self._commit(listing.revision), self._endpoint, _quietly)
        return InfrastructureError(
            f"{self._repo_id} changed while it was fetched: commit {listing.commit} is gone from the hub",
            why=f"{listing.revision!r} was at that commit when the release began, and is at {now} now",
            next_step="run the same command again to release what is there now",
        )


def _quietly(_message: str, _fraction: float | None) -> None:
    """For a question whose answer only completes an error."""


def _mended(error: Exception, out: ArrivingFile) -> bool:
    """Whether giving up the half helps: the server has no such range, so it is of something else."""
    response = getattr(error, "response", None)
    if getattr(response, "status_code", None) != _RANGE_NOT_SATISFIABLE or not out.tell():
        return False
    out.restart()
    return True


def _file(entry: RepoFile) -> SourceFile:
    if entry.lfs:
        # The git object of such a file is a pointer, so its sha1 says nothing about the content.
        return SourceFile(entry.path, entry.lfs.size, Checksum("sha256", entry.lfs.sha256))
    return SourceFile(entry.path, entry.size, Checksum("git-sha1", entry.blob_id))
