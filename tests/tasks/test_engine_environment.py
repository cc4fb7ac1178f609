"""Environments made by the real uv, for an engine without dependencies."""

import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from registry.errors import InfrastructureError, UsageError
from tasks.engine_environment import engine_script, prepare_engine

HEADER = '# /// script\n# requires-python = ">=3.11"\n# dependencies = {}\n# ///\n'


def _nothing(*_: object) -> None:
    """For logs nobody reads."""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A cache of ours and one of uv's own, and no network."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    own = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "UV_CACHE_DIR": str(tmp_path / "uv")}
    return {**kept, **own, "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}


@pytest.fixture
def engine(tmp_path: Path) -> Callable[..., Path]:
    """Writes a toy engine with these dependencies."""

    def write(*dependencies: str) -> Path:
        script = tmp_path / "toy.py"
        script.write_text(HEADER.format(json.dumps(dependencies)), encoding="utf-8")
        return script

    return write


def _prepare(script: Path, env: dict[str, str], said: list[str] | None = None) -> Path:
    messages = said if said is not None else []
    return prepare_engine(
        "toy", env=env, log=_nothing, progress=lambda message, _: messages.append(message), script=script
    ).python


def test_environment_is_made_once(env: dict[str, str], engine: Callable[..., Path]) -> None:
    """The second time nothing is said or run, even with no uv cache to look at."""
    said: list[str] = []
    python = _prepare(engine(), env, said)
    assert python.is_relative_to(env["UV_CACHE_DIR"])
    assert said
    said.clear()
    assert _prepare(engine(), env, said) == python
    assert said == []


def test_lost_environment_is_made_again(env: dict[str, str], engine: Callable[..., Path]) -> None:
    """``uv cache clean`` may come at any time."""
    python = _prepare(engine(), env)
    python.unlink()
    assert os.access(_prepare(engine(), env), os.X_OK)


def test_unreachable_index_leaves_nothing_to_trust(env: dict[str, str], engine: Callable[..., Path]) -> None:
    """One paragraph that names the index, twice: the failed attempt is not taken for an environment."""
    for _ in range(2):
        with pytest.raises(InfrastructureError, match=r"127\.0\.0\.1:9/simple.* could not be reached"):
            _prepare(engine("anything==1"), env)
    assert not list(Path(env["XDG_CACHE_HOME"]).rglob("*.json"))
    assert list(Path(env["XDG_CACHE_HOME"]).rglob("*.unfinished"))


def test_half_made_environment_is_laid_anew(env: dict[str, str], engine: Callable[..., Path]) -> None:
    """What a killed run left is not trusted; afterwards nothing marks it as unfinished."""
    _prepare(engine(), env)
    record = next(Path(env["XDG_CACHE_HOME"]).rglob("*.json"))
    record.unlink()
    record.with_suffix(".unfinished").touch()
    assert os.access(_prepare(engine(), env), os.X_OK)
    assert not record.with_suffix(".unfinished").exists()


def test_two_at_once_agree(env: dict[str, str], engine: Callable[..., Path]) -> None:
    """One makes it, the other waits and takes it."""
    script, found = engine(), []
    threads = [threading.Thread(target=lambda: found.append(_prepare(script, env))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert len(set(found)) == 1


@pytest.fixture
def torch_index(tmp_path: Path) -> Iterator[str]:
    """A CPU wheel index with a torch of three files, on the loopback."""
    folder = tmp_path / "index" / "torch"
    folder.mkdir(parents=True)
    wheel = "torch-2.13.0+cpu-py3-none-any.whl"
    info = "torch-2.13.0+cpu.dist-info"
    with zipfile.ZipFile(folder / wheel, "w") as archive:
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{wheel}">{wheel}</a>', encoding="utf-8")
    handler = partial(_Quiet, directory=str(folder.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


def test_torch_comes_from_its_own_index(
    env: dict[str, str], engine: Callable[..., Path], torch_index: str
) -> None:
    """HEADGATE_TORCH_INDEX works for the exact pin of the engines, overrides included."""
    script = engine("torch==2.13.0")
    text = script.read_text(encoding="utf-8")
    overrides = '# [tool.uv]\n# override-dependencies = ["torch==2.13.0"]\n# ///\n'
    script.write_text(text.removesuffix("# ///\n") + overrides, encoding="utf-8")
    python = _prepare(script, {**env, "HEADGATE_TORCH_INDEX": torch_index})
    assert list(python.parent.parent.rglob("torch-2.13.0+cpu.dist-info"))


def test_unknown_engine_is_refused_with_the_known_ones() -> None:
    """A misspelt engine is the user's mistake."""
    with pytest.raises(UsageError, match="awq_autoawq"):
        engine_script("awq")
