"""A model hub on the loopback interface that costs little: files go from the page cache to the socket.

``python -m benchmarks.fast_hub FOLDER`` serves the folder as ``org/model`` and prints its address. The
checksums are those in ``FOLDER/listing.json``, a list of the tree endpoint's entries.
"""

from __future__ import annotations

import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "c" * 40
REPO = "org/model"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        if self.path.startswith(f"/api/models/{REPO}/revision/"):
            return self._json({"id": REPO, "sha": COMMIT, "siblings": []})
        if self.path.startswith(f"/api/models/{REPO}/tree/"):
            return self._json(json.loads((self.folder / "listing.json").read_text()))
        if match := re.fullmatch(rf"/{REPO}/resolve/{COMMIT}/(.+)", self.path):
            return self._file(unquote(match[1]), body=body)
        return self._start(404, {"Content-Length": "0"})

    def _json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self._start(200, {"Content-Type": "application/json", "Content-Length": str(len(data))})
        self.wfile.write(data)

    def _file(self, name: str, *, body: bool) -> None:
        entry = next(e for e in json.loads((self.folder / "listing.json").read_text()) if e["path"] == name)
        etag = f'"{entry.get("lfs", entry)["oid"]}"'
        headers = {"X-Repo-Commit": COMMIT, "ETag": etag, "Content-Length": str(entry["size"])}
        if "lfs" in entry:
            headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(entry["size"]), "Accept-Ranges": "bytes"}
        self._start(200, headers)
        if body:
            with (self.folder / name).open("rb") as file:
                sent = 0
                while sent < entry["size"]:
                    sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, 16 << 20)

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.flush()


def main() -> None:
    """Serve until killed."""
    handler = type("Handler", (_Handler,), {"folder": Path(sys.argv[1])})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
