"""A model hub on the loopback interface that tells lies on demand.

It speaks the three endpoints the Hugging Face client needs (a revision, the tree of a commit, a file
of a commit), for repositories kept in memory with branches and commits; a dataset's name begins with
``datasets/``. Faults are attributes: set
one, and the next requests meet it.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

_REVISION = re.compile(r"/api/(?:models/)?((?:datasets/)?[^/]+/[^/]+)/revision/(.+)")
_TREE = re.compile(r"/api/(?:models/)?((?:datasets/)?[^/]+/[^/]+)/tree/([^/]+)")
_FILE = re.compile(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)")


def git_sha1(data: bytes) -> str:
    """The id git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_lfs(path: str) -> bool:
    """Large files are kept apart from git, known by sha256."""
    return path.endswith(".safetensors")


@dataclass
class Repository:
    """Branches point at commits; commits hold files."""

    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit_of(self, revision: str) -> str | None:
        """The commit of a branch name or a commit id."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass
class Answer:
    """What goes back: status, headers, body."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class HubSimulator:
    """The hub. Use as a context manager; ``endpoint`` is what to give the client."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.served: dict[tuple[str, str], bytes] = {}
        """(repository, path) -> other content under every commit, with headers that fit that content."""
        self.corrupt: dict[str, int] = {}
        """path -> how many downloads of it get one bit flipped, with the promised length and headers."""
        self.cut: dict[str, int] = {}
        """path -> how many downloads of it lose the connection half way."""
        self.ranges: list[tuple[str, int]] = []
        """Path and first byte of each download that went on with a half."""
        self.whole_only = False
        """Ranges are ignored: whole files with 200, as some proxies answer."""
        self.unsatisfied: dict[str, int] = {}
        """path -> how many ranges of it are answered 416."""
        self.failing: dict[str, int] = {}
        """path -> how many downloads of it are answered 500."""
        self.busy = 0
        """How many of the next requests are answered 503."""
        self.silent = threading.Event()
        """While set, requests are taken and never answered."""
        self.token: str | None = None
        """Who does not send it gets 401."""
        self.gated = False
        """Files are answered 403; revision and tree are not, as on the public hub."""
        self.bytes_per_second: float | None = None
        self.gone = False
        self.lie: Callable[[str, Answer], Answer] | None = None
        """Takes a request's path and the true answer; returns the one to give."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubSimulator:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.silent.clear()
        if not self.gone:
            self.go_away()

    def go_away(self) -> None:
        """Cut every connection, and take no more."""
        self.gone = True
        self._server.shutdown()
        self._server.server_close()

    def push(self, repo_id: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Commit these files and move the branch there; returns the commit."""
        repository = self.repositories.setdefault(repo_id, Repository())
        listing = [(path, git_sha1(data)) for path, data in sorted(files.items())]
        commit = hashlib.sha1(json.dumps([len(repository.commits), listing]).encode()).hexdigest()
        repository.commits[commit] = dict(files)
        repository.branches[branch] = commit
        return commit

    def drop(self, repo_id: str, commit: str) -> None:
        """Forget a commit, as a hub does after history was rewritten."""
        del self.repositories[repo_id].commits[commit]

    def told(self, method: str, path: str, authorization: str | None) -> Answer:
        """The answer, after ``lie`` has had its way with it."""
        answer = self.answer(method, path, authorization)
        return self.lie(path, answer) if self.lie else answer

    def answer(self, method: str, path: str, authorization: str | None) -> Answer:
        """What any request gets, faults included."""
        self.requests.append(f"{method} {path}")
        while self.silent.is_set():
            time.sleep(0.05)
        if self.busy > 0:
            self.busy -= 1
            return Answer(503)
        if self.token and authorization != f"Bearer {self.token}":
            return Answer(401, {"X-Error-Message": "Invalid username or password."})
        if match := _REVISION.fullmatch(path):
            return self._revision(match[1], unquote(match[2]))
        if match := _TREE.fullmatch(path):
            return self._tree(match[1], match[2])
        if match := _FILE.fullmatch(path):
            return self._file(match[1], match[2], unquote(match[3]))
        return Answer(404)

    def _revision(self, repo_id: str, revision: str) -> Answer:
        found = self._find(repo_id, revision)
        if isinstance(found, Answer):
            return found
        return _json({"id": repo_id, "sha": found[0], "siblings": [{"rfilename": path} for path in found[1]]})

    def _tree(self, repo_id: str, revision: str) -> Answer:
        found = self._find(repo_id, revision)
        if isinstance(found, Answer):
            return found
        return _json([_entry(path, data) for path, data in found[1].items()])

    def _file(self, repo_id: str, revision: str, path: str) -> Answer:
        found = self._find(repo_id, revision)
        if isinstance(found, Answer):
            return found
        commit, files = found
        if self.gated:
            return Answer(403, {"X-Error-Code": "GatedRepo"})
        if path not in files:
            return Answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        data = self.served.get((repo_id, path), files[path])
        headers = {"X-Repo-Commit": commit, "ETag": f'"{git_sha1(data)}"', "Accept-Ranges": "bytes"}
        if is_lfs(path):
            sha256 = f'"{hashlib.sha256(data).hexdigest()}"'
            headers |= {"ETag": sha256, "X-Linked-Etag": sha256, "X-Linked-Size": str(len(data))}
        return Answer(200, headers, data)

    def _find(self, repo_id: str, revision: str) -> tuple[str, dict[str, bytes]] | Answer:
        repository = self.repositories.get(repo_id)
        if repository is None:
            return Answer(404, {"X-Error-Code": "RepoNotFound"})
        commit = repository.commit_of(revision)
        if commit is None:
            return Answer(404, {"X-Error-Code": "RevisionNotFound"})
        return commit, repository.commits[commit]


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git_sha1(data)}
    if is_lfs(path):
        sha256 = hashlib.sha256(data).hexdigest()
        entry |= {"oid": "f" * 40, "lfs": {"oid": sha256, "size": len(data), "pointerSize": 134}}
    return entry


def _json(value: Any) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # which holds a body back until the head is acknowledged: 40 ms
    hub: HubSimulator

    def log_message(self, *_: object) -> None:
        """The hub remembers requests itself."""

    def do_HEAD(self) -> None:
        answer = self.hub.told("HEAD", urlsplit(self.path).path, self.headers["Authorization"])
        self._start(answer)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        answer = self.hub.told("GET", path, self.headers["Authorization"])
        name = unquote(path.rpartition("/")[2])
        if _FILE.fullmatch(path) and answer.status == 200:
            answer = self._ranged(name, self._corrupted(name, answer))
        self._start(answer)
        if self._counted(self.hub.cut, name):
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self._send(answer.body)

    def _corrupted(self, name: str, answer: Answer) -> Answer:
        if self._counted(self.hub.corrupt, name):
            middle = len(answer.body) // 2
            flipped = bytes([answer.body[middle] ^ 1])
            answer.body = answer.body[:middle] + flipped + answer.body[middle + 1 :]
        return answer

    def _ranged(self, name: str, answer: Answer) -> Answer:
        if self._counted(self.hub.failing, name):
            return Answer(500)
        match = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if match and not self.hub.whole_only:
            start, size = int(match[1]), len(answer.body)
            self.hub.ranges.append((name, start))
            if start >= size or self._counted(self.hub.unsatisfied, name):
                return Answer(416, {"Content-Range": f"bytes */{size}"})
            answer.headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
            answer.status, answer.body = 206, answer.body[start:]
        return answer

    def _counted(self, faults: dict[str, int], name: str) -> bool:
        faults[name] = faults.get(name, 0) - 1
        return faults[name] >= 0

    def _start(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for key, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(key, value)
        self.end_headers()

    def _send(self, body: bytes) -> None:
        step = 1 << 16
        try:
            for start in range(0, len(body), step):
                if self.hub.gone:
                    self.connection.shutdown(2)
                self.wfile.write(body[start : start + step])
                if self.hub.bytes_per_second:
                    time.sleep(step / self.hub.bytes_per_second)
        except OSError:
            self.close_connection = True  # the client went away
