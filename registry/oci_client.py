"""An image registry over HTTP: manifests, small blobs, and what refers to an image.

Source: the distribution specification v1.1. Every digest is checked on what is read. Images themselves are
pushed by other tools, or by ``images``; what is attached to them, and how it is kept whole, is
``attachment``'s. HTTPS always, but to this machine.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType

import httpx

from registry.descriptor import INDEX_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest
from registry.errors import HeadgateError, InfrastructureError, UsageError
from registry.oci_auth import RegistryAuth, is_loopback
from registry.plain_text import one_line
from registry.referrers import media_type_of, read_index

_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_LARGEST = 64 << 20  # bytes of one answer: statements and manifests are far smaller
_TIMEOUT = 15.0  # seconds without a byte
_WAITS = (0.3, 1.0, 3.0)  # seconds before asking again
_PASSING = {408, 429, 500, 502, 503, 504}
_WITHOUT_API = {400, 404, 405, 406, 501}  # what registries answer that do not know /referrers/
_PAGES = 200
_ACCEPT = ", ".join(
    [
        MANIFEST_MEDIA_TYPE,
        INDEX_MEDIA_TYPE,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
)


@dataclass(frozen=True)
class Repository:
    """Where images of one name lie: ``host[:port]/name``."""

    host: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read ``registry.example.com/team/model``; UsageError for anything else, such as one with a tag."""
        host, slash, name = text.partition("/")
        told = "." in host or ":" in host or host == "localhost"
        if not (slash and told and _HOST.fullmatch(host) and _NAME.fullmatch(name) and len(name) < 256):
            raise UsageError(
                f"{text!r} is not a repository of an image registry",
                why="it is written host[:port]/name, in lower case, without a scheme, tag or digest",
                next_step="name it like registry.example.com/models/tiny",
            )
        return cls(host, name)

    @property
    def url(self) -> httpx.URL:
        """Where its API begins; plain HTTP within this machine only."""
        bare = self.host.rpartition(":")[0] if re.search(r":\d+$", self.host) else self.host
        scheme = "http" if is_loopback(bare.strip("[]")) else "https"
        return httpx.URL(f"{scheme}://{self.host}/v2/{self.name}/")

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes
    next_page: str | None


class OciClient:
    """One repository; a context manager. Every method may raise InfrastructureError and UsageError."""

    def __init__(self, repository: Repository, credentials: tuple[str, str] | None = None) -> None:
        self.repository = repository
        url = repository.url
        self._http = httpx.Client(
            base_url=url,
            auth=RegistryAuth(url, credentials),
            follow_redirects=True,
            timeout=_TIMEOUT,
            trust_env=url.scheme == "https",  # a proxy is never the way to this machine
            headers={"User-Agent": "headgate", "Accept-Encoding": "identity"},
        )

    def __enter__(self) -> OciClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get_manifest(self, reference: Digest | str) -> tuple[Descriptor, bytes] | None:
        """The manifest or index of a digest or tag, or None."""
        path = f"manifests/{reference}"
        answer = self._ask("GET", path, headers={"Accept": _ACCEPT}, expected=(200, 404))
        if answer.status == 404:
            return None
        self._check(answer.body, reference if isinstance(reference, Digest) else None, path)
        try:
            kind = media_type_of(answer.body)
        except ValueError as problem:
            raise self._nonsense(path, str(problem)) from problem
        return Descriptor(kind, Digest.of_bytes(answer.body), len(answer.body)), answer.body

    def has_manifest(self, digest: Digest) -> bool:
        """Whether the registry says that it has this manifest."""
        path, headers = f"manifests/{digest}", {"Accept": _ACCEPT}
        return self._ask("HEAD", path, headers=headers, expected=(200, 404)).status == 200

    def put_manifest(self, data: bytes, tag: str | None = None) -> None:
        """Keep a manifest or index, and point the tag at it."""
        headers = {"Content-Type": media_type_of(data)}
        path = f"manifests/{tag or Digest.of_bytes(data)}"
        self._ask("PUT", path, content=data, headers=headers, expected=(200, 201))

    def get_blob(self, digest: Digest) -> bytes | None:
        """The bytes of a small blob, or None."""
        answer = self._ask("GET", f"blobs/{digest}", expected=(200, 404))
        if answer.status == 404:
            return None
        self._check(answer.body, digest, f"blobs/{digest}")
        return answer.body

    def read_blob(self, digest: Digest, start: int, end: int, write: Callable[[bytes], object]) -> None:
        """Hand the bytes from ``start`` to before ``end`` of a blob of any size to ``write``, unchecked.

        Asked again as long as bytes come. Raises InfrastructureError also when the blob is not there.
        """
        waits = iter(_WAITS)
        while start < end:
            before = start
            try:
                for chunk in self._range(digest, start, end):
                    write(chunk)
                    start += len(chunk)
                if start < end:
                    raise self._nonsense(f"blobs/{digest}", f"it ends after {start} bytes")
            except httpx.TransportError as problem:
                waits = iter(_WAITS) if start > before else waits
                if (wait := next(waits, None)) is None:
                    raise self._unreachable(problem) from problem
                time.sleep(wait * (0.5 + secrets.randbelow(1000) / 1000))

    def put_blob(self, data: bytes) -> Digest:
        """Keep these bytes; nothing is sent when the registry has them."""
        digest = Digest.of_bytes(data)
        if self._has_blob(digest):
            return digest
        started = self._ask("POST", "blobs/uploads/", expected=(202,))
        # The location is absolute or relative, and may carry parameters of its own.
        place = self._http.base_url.join(started.headers.get("Location", ""))
        try:
            headers = {"Content-Type": "application/octet-stream"}
            where = str(place.copy_merge_params({"digest": str(digest)}))
            self._ask("PUT", where, content=data, headers=headers, expected=(201,))
        except HeadgateError:
            if not self._has_blob(digest):  # else it arrived, and only the answer was lost
                raise
        return digest

    def listed(self, subject: Digest) -> list[Descriptor] | None:
        """What the registry itself lists as referring to an image; None where it has no such list."""
        found: list[Descriptor] = []
        page: str | None = f"referrers/{subject}"
        for _ in range(_PAGES):
            if page is None:
                return found
            answer = self._ask("GET", page, expected={200, *_WITHOUT_API})
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
            if answer.status != 200 or kind != INDEX_MEDIA_TYPE:
                return None
            try:
                found += read_index(answer.body)
            except ValueError as problem:
                raise self._nonsense(page, str(problem)) from problem
            page = answer.next_page
        raise self._nonsense(f"referrers/{subject}", f"the list has more than {_PAGES} pages")

    def _has_blob(self, digest: Digest) -> bool:
        return self._ask("HEAD", f"blobs/{digest}", expected=(200, 404)).status == 200

    def _ask(
        self,
        method: str,
        path: str,
        *,
        expected: Collection[int],
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> _Answer:
        """The answer; asked for again while the registry is silent or overloaded, as all we ask may be."""
        for wait in (*_WAITS, None):
            try:
                answer = self._once(method, path, headers or {}, content)
            except (httpx.HTTPError, httpx.InvalidURL) as problem:
                if wait is None or not isinstance(problem, httpx.TransportError):
                    raise self._unreachable(problem) from problem
            else:
                if answer.status in expected:
                    return answer
                if wait is None or answer.status not in _PASSING:
                    raise self._refused(method, path, answer)
            time.sleep(wait * (0.5 + secrets.randbelow(1000) / 1000))
        raise AssertionError("the last attempt returns or raises")

    def _once(self, method: str, path: str, headers: Mapping[str, str], content: bytes | None) -> _Answer:
        with self._http.stream(method, path, headers=dict(headers), content=content) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _LARGEST:
                    raise self._nonsense(path, f"the answer is longer than {_LARGEST >> 20} MiB")
            link = response.links.get("next", {}).get("url")
            next_page = str(response.url.join(link)) if link else None
            return _Answer(response.status_code, response.headers, bytes(body), next_page)

    def _range(self, digest: Digest, start: int, end: int) -> Iterator[bytes]:
        path, headers = f"blobs/{digest}", {"Range": f"bytes={start}-{end - 1}"}
        with self._http.stream("GET", path, headers=headers) as response:
            if response.status_code in _PASSING:
                raise httpx.ReadError(f"the registry answered {response.status_code}")
            if response.status_code not in {200, 206}:
                raise self._refused("GET", path, _Answer(response.status_code, response.headers, b"", None))
            skipped = start if response.status_code == 200 else 0  # it knows no ranges, and sends everything
            left = end - start
            for chunk in response.iter_bytes():
                wanted = chunk[skipped:][:left]
                skipped = max(0, skipped - len(chunk))
                left -= len(wanted)
                yield wanted
                if not left:
                    return

    def _check(self, data: bytes, expected: Digest | None, path: str) -> None:
        if expected and Digest.of_bytes(data) != expected:
            raise self._nonsense(path, f"its content has the digest {Digest.of_bytes(data)}")

    def _nonsense(self, path: str, why: str) -> InfrastructureError:
        next_step = "try again; if it stays so, the registry or a proxy before it is damaged"
        return InfrastructureError(
            f"{self.repository} gave something wrong for {path}", why=why, next_step=next_step
        )

    def _unreachable(self, problem: Exception) -> InfrastructureError:
        return InfrastructureError(
            f"The registry {self.repository.host} cannot be reached",
            why=one_line(str(problem), 200) or type(problem).__name__,
            next_step="check the network and the registry's name, and run the same command again",
        )

    def _refused(self, method: str, path: str, answer: _Answer) -> HeadgateError:
        what = f"{self.repository} answered {answer.status} to {method} {one_line(path, 120)}"
        if answer.status in {401, 403}:
            may = "read" if method in {"GET", "HEAD"} else "write"
            next_step = f"run `docker login {self.repository.host}` with an account that may {may} there"
            return UsageError(what, why=_said(answer.body), next_step=next_step)
        next_step = "run the same command again; if it stays so, ask who runs the registry"
        return InfrastructureError(what, why=_said(answer.body), next_step=next_step)


def _said(body: bytes) -> str:
    """The registry's own words, for people."""
    try:
        error = json.loads(body)["errors"][0]
        return one_line(f"it says: {error.get('code')}: {error.get('message')}", 200)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""
