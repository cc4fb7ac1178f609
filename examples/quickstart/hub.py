"""A model hub on the loopback interface, with the three endpoints the Hugging Face client asks.

It serves folders as repositories: ``/api/models/ID/revision/REV``, ``/api/models/ID/tree/COMMIT`` and
``/ID/resolve/COMMIT/FILE``. A repository has one branch, main, whose commit is a digest over its files.
Standard library only; run it by itself with ``python hub.py ORG/NAME=FOLDER``. It keeps no history and
checks no tokens.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

BRANCH = "main"
_REVISION = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?")
_TREE = re.compile(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/.*)?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, and the body."""


class HubServer:
    """The hub. Use as a context manager; ``endpoint`` is what HF_ENDPOINT is set to."""

    def __init__(self, repos: Mapping[str, Path], port: int = 0) -> None:
        self.repos = dict(repos)
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True

    @property
    def endpoint(self) -> str:
        """The hub's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve_forever(self) -> None:
        """Answer in this thread until interrupted."""
        self._server.serve_forever()

    def list_files(self, repo: str) -> list[str]:
        """The repository's file names, sorted; hidden ones are not part of it."""
        return sorted(
            path.relative_to(self.repos[repo]).as_posix()
            for path in self.repos[repo].rglob("*")
            if path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(self.repos[repo]).parts)
        )

    def read_bytes(self, repo: str, name: str) -> bytes:
        """A file's content."""
        return (self.repos[repo] / name).read_bytes()

    def commit(self, repo: str) -> str:
        """The 40 hex digits of the repository's one commit: sha1 over its names and contents."""
        lines = [f"{git_id(self.read_bytes(repo, name))}  {name}\n" for name in self.list_files(repo)]
        return hashlib.sha1("".join(lines).encode()).hexdigest()

    def answer(self, path: str, range_header: str | None) -> Answer:
        """The answer to a GET of this path."""
        for pattern, respond in ((_REVISION, self._revision), (_TREE, self._tree)):
            if found := pattern.fullmatch(path):
                return self._checked(found[1], found[2]) or respond(found[1])
        if found := _FILE.fullmatch(path):
            return self._checked(found[1], found[2]) or self._file(found[1], found[3], range_header)
        return missing("EntryNotFound")

    def _checked(self, repo: str, revision: str | None) -> Answer | None:
        if repo not in self.repos:
            return missing("RepoNotFound")
        known = revision in (None, BRANCH, self.commit(repo))
        return None if known else missing("RevisionNotFound")

    def _revision(self, repo: str) -> Answer:
        siblings = [{"rfilename": name} for name in self.list_files(repo)]
        return _json(
            {"id": repo, "sha": self.commit(repo), "siblings": siblings, "private": False, "gated": False}
        )

    def _tree(self, repo: str) -> Answer:
        return _json([_entry(name, self.read_bytes(repo, name)) for name in self.list_files(repo)])

    def _file(self, repo: str, name: str, range_header: str | None) -> Answer:
        if name not in self.list_files(repo):
            return missing("EntryNotFound")
        data = self.read_bytes(repo, name)
        headers = {"X-Repo-Commit": self.commit(repo), **self.file_headers(name, data)}
        wanted = _RANGE.fullmatch(range_header or "")
        if not wanted:
            return 200, headers, data
        start, end = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        if start > end:
            return 416, {"Content-Range": f"bytes */{len(data)}"}, b""
        headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        return 206, headers, data[start : end + 1]

    def file_headers(self, name: str, data: bytes) -> dict[str, str]:
        """What the client checks a file by: git's id, or for a large file the sha256 of its content."""
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if not is_large(name):
            return {**headers, "ETag": f'"{git_id(data)}"'}
        digest = f'"{hashlib.sha256(data).hexdigest()}"'
        return {**headers, "ETag": digest, "X-Linked-Etag": digest, "X-Linked-Size": str(len(data))}


def git_id(data: bytes) -> str:
    """The id git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(name: str) -> bool:
    """Whether a hub keeps the file outside git, known by its sha256."""
    return name.endswith(".safetensors")


def missing(code: str) -> Answer:
    """A 404 with the code by which the client tells what is missing."""
    return 404, {"X-Error-Code": code, "Content-Type": "application/json"}, b'{"error": "not found"}'


def _json(value: Any) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _entry(name: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": git_id(data)}
    if is_large(name):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_GET(self) -> None:
        self._respond(with_body=True)

    def do_HEAD(self) -> None:
        self._respond(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the client's own progress is enough."""

    def _respond(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        status, headers, body = self.hub.answer(path, self.headers.get("Range"))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def main() -> None:
    """Serve the folders named on the command line until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repos", nargs="+", metavar="ORG/NAME=FOLDER")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    named = dict(repo.split("=", 1) for repo in arguments.repos)
    hub = HubServer({name: Path(folder) for name, folder in named.items()}, arguments.port)
    print(f"HF_ENDPOINT={hub.endpoint}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        hub.serve_forever()


if __name__ == "__main__":
    main()
