"""What uv is told, and what its answers mean."""

from pathlib import Path

import pytest

from registry.errors import UsageError
from tasks import engine_uv

HEADER = '# /// script\n# requires-python = ">=3.11"\n# dependencies = ["torch==2.13.0"]\n# ///\n'
ENGINES = Path(engine_uv.__file__).parent / "engines"


def test_header_is_cut_out_of_its_script() -> None:
    """The program below the header has no part in the environment."""
    assert engine_uv.read_header(HEADER + "import torch\n# ///\n", "toy") == HEADER


def test_script_without_header_is_refused() -> None:
    """It would run in an environment without anything."""
    with pytest.raises(UsageError, match="names no dependencies"):
        engine_uv.read_header("print()\n", "toy")


def test_the_trainer_shares_the_quantizers_environment() -> None:
    """A third environment with torch would cost 5 GB for a model of 3 MB."""
    headers = [
        engine_uv.read_header((ENGINES / f"{name}.py").read_text(encoding="utf-8"), name)
        for name in ("awq_autoawq", "train_quickstart")
    ]
    assert headers[0] == headers[1]


def test_torch_index_serves_torch_alone() -> None:
    """Other packages keep their own index, and the block stays a PEP 723 block."""
    header = engine_uv.with_torch_index(HEADER, "https://wheels.example/cpu")
    assert engine_uv.read_header(header, "toy") == header
    assert '# url = "https://wheels.example/cpu"\n# explicit = true\n' in header
    assert '# torch = { index = "torch" }\n# ///\n' in header
    assert engine_uv.with_torch_index(HEADER, None) == HEADER


def test_torchvision_comes_from_where_torch_does() -> None:
    """The one of another index is built for another torch, and does not import beside this one."""
    both = HEADER.replace('"torch==2.13.0"', '"torch==2.13.0", "torchvision==0.28.0"')
    header = engine_uv.with_torch_index(both, "https://wheels.example/cpu")
    assert '# torch = { index = "torch" }\n# torchvision = { index = "torch" }\n# ///\n' in header
    left_out = HEADER.replace('"torch==2.13.0"', '"torch==2.13.0", "torchvision; sys_platform == \'never\'"')
    assert "torchvision = {" not in engine_uv.with_torch_index(left_out, "https://wheels.example/cpu")


def test_pip_settings_reach_uv_unless_uv_has_its_own() -> None:
    """uv reads none of pip's variables."""
    pip = {"PIP_FIND_LINKS": "/wheels /more", "PIP_INDEX_URL": "https://pip.example/simple"}
    variables = engine_uv.uv_variables({**pip, "UV_DEFAULT_INDEX": "https://uv.example/simple"})
    assert variables["UV_FIND_LINKS"] == "/wheels,/more"
    assert variables["UV_DEFAULT_INDEX"] == "https://uv.example/simple"
    assert variables["UV_COMPILE_BYTECODE"] == "1"


def test_engines_do_not_see_headgates_own_packages() -> None:
    """PYTHONPATH would put this repository's modules before the engine's."""
    assert engine_uv.engine_variables({"PYTHONPATH": "/repo", "HOME": "/home/me"}) == {"HOME": "/home/me"}


@pytest.mark.parametrize("changed", ["header", "python", "UV_FIND_LINKS"])
def test_environment_is_keyed_by_all_it_is_made_from(changed: str) -> None:
    """uv keeps a CUDA build it once installed, even when a CPU wheel is offered later."""
    before = engine_uv.environment_key(HEADER, {}, "3.11.7")
    header = HEADER + "#\n" if changed == "header" else HEADER
    env = {"UV_FIND_LINKS": "/wheels"} if changed == "UV_FIND_LINKS" else {}
    assert engine_uv.environment_key(header, env, "3.12.1" if changed == "python" else "3.11.7") != before


def test_commands_are_lists_of_words() -> None:
    """What is run can be read here."""
    sync = engine_uv.sync_command("uv", "e.py", "python3", again=True, offline=True)
    assert " ".join(sync) == "uv sync --script e.py --python python3 --reinstall --offline"
    assert " ".join(engine_uv.find_command("uv", "e.py")) == "uv python find --script e.py --offline"


def test_progress_is_told_from_noise() -> None:
    """Only uv's steps are shown; the list of packages is for the log."""
    assert engine_uv.step_of("   Downloading torch (826.9MiB)") == "Downloading torch (826.9MiB)"
    assert engine_uv.step_of(" + torch==2.13.0") is None


UNREACHABLE = [
    "error: Request failed after 3 retries in 5.2s",
    "  Caused by: Failed to fetch: `https://me:secret@index.example/simple/torch/`",
    "  Caused by: error sending request for url",
    "  Caused by: dns error: failed to lookup address information",
]


def test_unreachable_index_is_named_without_its_password() -> None:
    """The user learns what could not be reached."""
    error = engine_uv.explain_failure("toy", UNREACHABLE)
    assert "https://index.example/simple/torch/ could not be reached" in str(error)
    assert "secret" not in str(error)
    assert "\n" not in str(error)


def test_full_disk_is_called_by_its_name() -> None:
    """uv's own words for it are deep in a chain of causes."""
    error = engine_uv.explain_failure(
        "toy", ["error: failed to write", "No space left on device (os error 28)"]
    )
    assert "disk is full" in str(error)


def test_other_failures_show_what_uv_says() -> None:
    """For instance a version the index does not have."""
    error = engine_uv.explain_failure("toy", ["error: No solution found", "  ╰─▶ torch==9 is not available"])
    assert "No solution found torch==9 is not available" in str(error)
