"""Engines run for real: toy ones, in this interpreter, through the protocol that the real ones use."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import HeadgateError, InfrastructureError, Refused, UsageError
from tasks import engine_run
from tasks.process import ProcessFailed, run_process

ENGINES = Path(engine_run.__file__).parent / "engines"
TOY = """
import sys
sys.path.insert(0, {engines!r})
from engine_protocol import EngineError, progress, serve_request

def work(request):
    progress(0.5, "half way")
    print("chatter {{not json")
    {body}

serve_request(work)
"""


def _run(tmp_path: Path, body: str, **request: object) -> tuple[Path, list[tuple[str, float | None]]]:
    script = tmp_path / "toy.py"
    script.write_text(TOY.format(engines=str(ENGINES), body=body), encoding="utf-8")
    seen: list[tuple[str, float | None]] = []
    listen = engine_run.listener(lambda message, fraction: seen.append((message, fraction)), lambda _: None)
    command = engine_run.write_request(tmp_path, Path(sys.executable), script, request)
    run_process(command, log=listen, timeout=30, env={"PATH": os.environ["PATH"]})
    return tmp_path / "result.json", seen


def test_other_objects_reach_who_listens() -> None:
    """Lines of JSON that are no progress are the engine's own words."""
    others: list[object] = []
    listen = engine_run.listener(lambda _message, _fraction: None, others.append)
    for line in ('{"look": "0001.json"}', '{"progress": 0.5}', "words", "[1]"):
        listen(line)
    for odd in ('{"progress": null}', '{"progress": "half"}', f'{{"progress": {10**400}}}', '{"x":' * 99999):
        listen(odd)
    assert others == [{"look": "0001.json"}]


@pytest.mark.parametrize(
    "read",
    [
        lambda: Path("gone.json").read_bytes(),
        lambda: json.loads("{"),
        lambda: {}["look"],
        lambda: len(5),
        lambda: float(10**400),
        lambda: (5).strip,
    ],
)
def test_what_an_engine_wrote_is_read_or_told(read: Callable[[], object]) -> None:
    """Whatever is wrong with it: whose it is, why, and where its log lies."""
    with pytest.raises(InfrastructureError) as told, engine_run.reading("toy", Path("runs/1/toy.log")):
        read()
    assert str(told.value).startswith("what the engine toy wrote cannot be read. ")
    assert "runs/1/toy.log" in told.value.next_step
    assert told.value.why


def test_the_first_thing_that_is_wrong_is_the_one_that_is_told() -> None:
    """What a program says until it is ended is not heard: it would be told in place of the reason."""
    heard: list[object] = []

    def refuse(line: object) -> None:
        heard.append(line)
        time.sleep(0.5)  # while it goes on
        raise ValueError(f"number {len(heard)}")

    program = "import time\nfor n in range(3): print('{\"look\": 1}', flush=True); time.sleep(0.05)"
    listen = engine_run.listener(lambda _message, _fraction: None, refuse)
    with pytest.raises(ValueError, match="number 1"):
        run_process([sys.executable, "-c", program], log=listen, timeout=30, env={})
    assert len(heard) == 1


def test_result_and_progress_come_back(tmp_path: Path) -> None:
    """Progress lines reach the reporter, other output does not, and the result is the engine's."""
    result, seen = _run(tmp_path, 'return {"double": 2 * request["number"]}', number=21)
    assert engine_run.read_result("toy", result) == {"ok": True, "double": 42}
    assert seen == [("half way", 0.5)]


@pytest.mark.parametrize(("failure", "kind"), [("config", UsageError), ("model", Refused)])
def test_engine_error_becomes_ours(tmp_path: Path, failure: str, kind: type[HeadgateError]) -> None:
    """The class decides who has to act; the three sentences come through."""
    with pytest.raises(ProcessFailed):
        _run(tmp_path, f'raise EngineError({failure!r}, "It broke", why="so", next_step="do this")')
    error = engine_run.read_failure(tmp_path / "result.json")
    assert type(error) is kind
    assert str(error) == "It broke. so. Next: do this."


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('return {"x": request["absent"]}', "request lacks something"),
        ('raise OSError(28, "No space left on device")', "disk is full"),
        ("raise MemoryError()", "memory is used up"),
        ('raise RuntimeError("odd")', "RuntimeError: odd"),
    ],
)
def test_unexpected_failure_is_put_into_words(tmp_path: Path, body: str, said: str) -> None:
    """The traceback goes to the log, never into the error."""
    with pytest.raises(ProcessFailed):
        _run(tmp_path, body)
    error = engine_run.read_failure(tmp_path / "result.json")
    assert error is not None
    assert said in str(error)
    assert "Traceback" not in str(error)


def test_value_that_json_lacks_is_a_failure(tmp_path: Path) -> None:
    """A NaN in the result must not become a file that only Python reads."""
    with pytest.raises(ProcessFailed):
        _run(tmp_path, 'return {"x": float("nan")}')
    assert not (tmp_path / "result.json").exists()


def test_engine_that_died_reported_nothing(tmp_path: Path) -> None:
    """Then the caller's own error, with the tail of the output, is the best there is."""
    with pytest.raises(ProcessFailed):
        _run(tmp_path, "import os; os._exit(3)")
    assert engine_run.read_failure(tmp_path / "result.json") is None


def test_missing_result_is_an_error(tmp_path: Path) -> None:
    """An engine that ends well without a result did nothing."""
    with pytest.raises(InfrastructureError, match="ended without a result"):
        engine_run.read_result("toy", tmp_path / "result.json")


def test_engine_digest_covers_its_program() -> None:
    """Cached results of one engine are not those of another."""
    names = ("awq_autoawq", "evaluate_lm_eval", "read_lm_eval", "train_quickstart", "serve_vllm_cpu")
    assert len({engine_run.engine_digest(name) for name in names}) == len(names)


def test_engine_digest_covers_what_the_program_imports(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An edited sibling would otherwise be answered from results that the old one made."""
    monkeypatch.setattr(engine_run, "ENGINES", tmp_path)
    monkeypatch.setattr(engine_run, "engine_script", lambda name: tmp_path / f"{name}.py")
    (tmp_path / "toy.py").write_text("import json\nfrom near import one\n", encoding="utf-8")
    (tmp_path / "near.py").write_text("import far\nimport near\n", encoding="utf-8")
    digests = []
    for text in ("x = 1\n", "x = 2\n"):
        (tmp_path / "far.py").write_text(text, encoding="utf-8")
        digests.append(engine_run.engine_digest("toy"))
    assert digests[0] != digests[1]
    (tmp_path / "other.py").write_text("y = 1\n", encoding="utf-8")
    assert engine_run.engine_digest("toy") == digests[1]
