"""Without a Prefect server a command starts its own: out of reach of what ends it, and gone after it."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.reaper import reap_orphans
from tests.simulators.project import Project, project, until


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where these servers keep their runs: it takes ten seconds to be made."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture
def place(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A user's project, whose commands find no Prefect server."""
    monkeypatch.setenv("PREFECT_HOME", str(database))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with project(tmp_path, port, "") as made:
        yield made


def servers(place: Project) -> list[int]:
    """The Prefect servers of this project's commands."""
    mark = f"HEADGATE_HOME={place.home.root}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"create_app" in (entry / "cmdline").read_bytes():
                found += [int(entry.name)] if mark in (entry / "environ").read_bytes().split(b"\0") else []
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_a_terminal_ends_a_release_at_once_and_in_words(place: Project, number: int) -> None:
    """A terminal, and a service manager, tell the whole group; Prefect's own server would be gone first."""
    place.push(evaluate_seconds=60)
    process = place.start("release", str(place.write_spec()), "--json")
    until(lambda: any(place.home.runs.glob("*/evaluate.log")))
    began = time.monotonic()
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 60  # minutes, when the client looks for a server that is gone
    assert json.loads(out.splitlines()[-1])["error"]["kind"] == "Interrupted"
    assert not {word for word in ("Traceback", "ERROR", "Error") if word in err}, err
    assert err.rstrip().endswith("the same command goes on from there.")
    assert servers(place) == []


def test_a_killed_command_leaves_no_server(place: Project) -> None:
    """Nothing else would ever end it."""
    place.push(evaluate_seconds=60)
    process = place.start("release", str(place.write_spec()), "--json")
    until(lambda: any(place.home.runs.glob("*/evaluate.log")))
    assert servers(place)
    process.kill()
    process.communicate()
    until(lambda: servers(place) == [])
    reap_orphans(place.home)  # its model's server: the next run of this home would do it


def test_a_server_that_does_not_start_is_said(place: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database it keeps its runs in cannot be made here."""
    monkeypatch.setenv("PREFECT_HOME", str(place.folder / "items.jsonl"))
    code, out, _ = place.command("fetch", str(place.write_spec()), "--dry-run", "--json")
    error = json.loads(out.splitlines()[-1])["error"]
    assert (code, error["kind"]) == (40, "InfrastructureError")
    assert "the Prefect server of this command ended before it answered" in error["what"]
    assert "PREFECT_API_URL" in error["next"]


@pytest.mark.parametrize("url", ["http://me:secret@127.0.0.1:9/api", "no-url"])
def test_a_named_server_that_does_not_answer_is_said(place: Project, url: str) -> None:
    """Before any flow is begun, and without what its address may hold."""
    code, out, err = replace(place, api_url=url).command("reconcile", "--json")
    error = json.loads(out.splitlines()[-1])["error"]
    assert (code, error["kind"]) == (40, "InfrastructureError")
    assert "does not answer as one" in error["what"]
    assert "PREFECT_API_URL" in error["next"]
    assert "secret" not in out + err
