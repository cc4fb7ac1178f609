"""What a served artefact said is kept: asked again only when it is gone, or too old for the policy."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from images.runtime import Distribution, Runtime
from registry.digest import Digest
from registry.errors import InfrastructureError
from registry.home import Home
from registry.manifest import Manifest
from registry.stage_cache import StageCache
from tasks.respondent import Respondent
from tasks.run import open_run
from tasks.runtime import Installed
from tasks.serving import Endpoint, Served
from tasks.workplace import Workplace
from tests.simulators.engine import Engine, parse
from tests.simulators.records import SERVE, digest

TEXTS = ("one", "another", "and a third")


@pytest.fixture
def engine() -> Iterator[Engine]:
    """A simulated server."""
    server = Engine(parse(["--port", "0"]))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def meet(tmp_path: Path, engine: Engine) -> Iterator[Callable[[], Respondent]]:
    """A respondent as the next run meets it: only its home remembers."""
    runtime = Runtime((Distribution("vllm", "1", digest("vllm")),))
    served = Served("source", Manifest({}), SERVE, Installed(Path(sys.executable), runtime))
    with open_run(Home(tmp_path), "run") as run, ExitStack() as servers:

        def made() -> Respondent:
            respondent = Respondent(Workplace(run.home, os.environ, run), served, servers)
            url = f"http://127.0.0.1:{engine.server_address[1]}"
            vars(respondent)["endpoint"] = Endpoint(url, "source", Path())  # it is up already
            return respondent

        yield made


def test_what_was_said_is_not_asked_again(meet: Callable[[], Respondent], engine: Engine) -> None:
    """By the next run, which reads the same; other texts, or the other way round, are other questions."""
    first = meet().probe(TEXTS)
    assert engine.served == 3
    assert [text.tokens.tolist() for text in meet().probe(TEXTS)] == [text.tokens.tolist() for text in first]
    assert meet().answers() == meet().answers()
    assert engine.served == 3 + 24
    meet().probe(TEXTS, backwards=True)
    meet().probe(TEXTS[:2])
    assert engine.served == 3 + 24 + 3 + 2


def test_texts_asked_backwards_are_told_in_their_own_order(meet: Callable[[], Respondent]) -> None:
    """So that they pair up with what was said before."""
    forwards, backwards = meet().probe(TEXTS), meet().probe(TEXTS, backwards=True)
    assert [text.tokens.size for text in forwards] == [text.tokens.size for text in backwards] == [4, 8, 12]


def test_a_policy_that_wants_fresh_evidence_has_it_asked_again(
    meet: Callable[[], Respondent], engine: Engine
) -> None:
    """Of the kind that it is about, and of no other."""
    respondent = meet()
    respondent.probe(TEXTS)
    respondent.answers()
    home = respondent.place.home
    for stage in ("probe", "answers"):
        (entry,) = (home.cache / stage).iterdir()
        cache, key = StageCache(home.cache), Digest(entry.stem)
        cache.put(stage, key, {**(cache.get(stage, key) or {}), "at": "2026-01-01T00:00:00+00:00"})
    home.policy.write_text("production: [{kind: fidelity, max_age: 30d}]\n")
    meet().probe(TEXTS)
    meet().answers()
    assert engine.served == 3 + 24 + 3


def test_a_damaged_memory_is_named(meet: Callable[[], Respondent]) -> None:
    """Blobs are kept by their content: the same answer would be kept in the same damaged file."""
    respondent = meet()
    respondent.probe(TEXTS)
    (blob,) = (respondent.place.home.blobs / "sha256").iterdir()
    blob.write_bytes(b"something else")
    with pytest.raises(InfrastructureError, match="cannot be read any more") as caught:
        meet().probe(TEXTS)
    assert str(blob) in caught.value.next_step
    blob.unlink()
    assert len(meet().probe(TEXTS)) == 3
