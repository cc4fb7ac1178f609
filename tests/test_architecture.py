"""The rules of the house that no linter knows: sizes, docstrings, names, purity, pins, forbidden words."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cli", "examples", "flows", "tasks", "fleet", "images", "eval_suites", "registry", "judging")
NOUNS = ("judging", "registry", "eval_suites", "images", "fleet")
ENGINES = sorted((ROOT / "tasks" / "engines").glob("*.py"))

HEAVY = {"torch", "transformers", "vllm", "llmcompressor", "awq", "lm_eval"}
"""What lives in the engines' environments only: their pins conflict with each other and with Prefect."""

WORLD = {
    *("asyncio", "ctypes", "fcntl", "http", "multiprocessing", "os", "random", "secrets", "shutil", "signal"),
    *("socket", "subprocess", "tempfile", "threading", "time", "urllib", "uuid"),
    *("boto3", "docker", "envoy", "httpx", "huggingface_hub", "prefect", "requests"),
}
CLOCKS = {"now", "utcnow", "today"}

TOUCHES_THE_WORLD = {
    "fleet/envoy_holder.py": "a program: the parent that keeps Envoy alive",
    "fleet/envoy_router.py": "talks to Envoy's admin port",
    "fleet/local_fleet.py": "starts the supervisor and waits for it",
    "fleet/local_gateway.py": "starts the holder of Envoy",
    "fleet/local_processes.py": "finds and ends processes",
    "fleet/local_replicas.py": "starts servers",
    "fleet/local_supervisor.py": "a program: makes the desired state so",
    "fleet/readiness.py": "asks a server for a completion",
    "images/trivy_finder.py": "looks for a program on PATH",
    "registry/atomic.py": "replaces files",
    "registry/blobs.py": "links files",
    "registry/dir_store.py": "locks, links and replaces files",
    "registry/identity.py": "draws an identity once",
    "registry/key_source.py": "reads key files",
    "registry/kms_signer.py": "asks key services",
    "registry/lease.py": "watches a lease, and renews it in a thread",
    "registry/oci_auth.py": "answers the challenges of image registries",
    "registry/oci_client.py": "talks to image registries",
    "registry/s3_store.py": "talks to S3 services, and waits for busy ones",
}


def own_files() -> list[Path]:
    """Every Python file of ours but the tests, engines included."""
    return [
        path
        for folder in (*PACKAGES, "benchmarks", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def all_files() -> Iterator[Path]:
    """Every file of the checkout that a person or a tool may read, without caches and environments."""
    for top in sorted(ROOT.iterdir()):
        hidden = top.name.startswith(".") and top.name not in {".ci", ".gitignore"}
        if not hidden and top.name not in {"build", "dist"} and not top.name.endswith(".egg-info"):
            files = [top] if top.is_file() else sorted(top.rglob("*"))
            yield from (path for path in files if path.is_file() and "__pycache__" not in path.parts)


def relative(path: Path) -> str:
    """The path as people name it."""
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def imported(path: Path) -> set[str]:
    """Every module a file imports, wherever in the file, as dotted names."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def tops(names: Iterable[str]) -> set[str]:
    """The top-level packages of dotted names."""
    return {name.partition(".")[0] for name in names}


def undocumented(path: Path) -> Iterator[str]:
    """The module and the public definitions in it that have no docstring."""
    if not ast.get_docstring(parsed(path)):
        yield "module"
    scopes: list[ast.Module | ast.ClassDef] = [parsed(path)]
    while scopes:
        for node in scopes.pop().body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                yield f"{node.name}, line {node.lineno}"
            if isinstance(node, ast.ClassDef):
                scopes.append(node)


def worldly(path: Path) -> set[str]:
    """What a pure module may not have: imports that reach the world, and reads of the clock."""
    clocks = {
        f"{ast.unparse(node.func)}()"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS
    }
    return (tops(imported(path)) & WORLD) | clocks


def script_header(path: Path) -> dict[str, object] | None:
    """The PEP 723 metadata of a script, or None without any."""
    block = re.search(
        r"(?m)^# /// script$\s(?P<body>(^#(| .*)$\s)+)^# ///$", path.read_text(encoding="utf-8")
    )
    if block is None:
        return None
    return tomllib.loads("".join(line[2:] for line in block["body"].splitlines(keepends=True)))


def test_files_stay_short() -> None:
    """No file of ours is over 300 lines."""
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in own_files()}
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def test_functions_stay_short() -> None:
    """No function of ours has a body over 40 lines."""
    lengths = {
        f"{relative(path)}:{function.lineno} {function.name}": body_lines(function)
        for path in own_files()
        for function in functions(parsed(path))
    }
    assert {name: length for name, length in lengths.items() if length > 40} == {}


def test_everything_public_is_documented() -> None:
    """Every module, public class and public function says what it is for, the engines' too."""
    missing = {relative(path): names for path in own_files() if (names := list(undocumented(path)))}
    assert missing == {}


def test_no_flow_hides_a_package() -> None:
    """No file in flows/ is named like something that is imported: Prefect may put flows/ on the path."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {Requirement(line).name.replace("-", "_") for line in project["dependencies"]}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    taken = sys.stdlib_module_names | folders | needed | HEAVY | WORLD
    assert {path.stem for path in (ROOT / "flows").glob("*.py")} & taken == set()


def test_no_module_is_named_like_an_sdk() -> None:
    """A module that wraps a product is called <product>_<role>: the product itself stays importable."""
    names = {relative(path) for path in own_files() if path.stem in HEAVY | WORLD}
    assert names == set()


def test_pure_modules_do_not_touch_the_world() -> None:
    """A module of a noun package without a listed reason reads no clock and starts or calls nothing."""
    found = {
        relative(path): reached
        for package in NOUNS
        for path in sorted((ROOT / package).rglob("*.py"))
        if relative(path) not in TOUCHES_THE_WORLD and (reached := worldly(path))
    }
    assert found == {}


def test_the_list_of_worldly_modules_is_no_longer_than_needed() -> None:
    """Whoever is excused exists, and needs the excuse."""
    idle = [name for name in TOUCHES_THE_WORLD if not (ROOT / name).is_file() or not worldly(ROOT / name)]
    assert idle == []


def test_headgate_imports_no_engine_library() -> None:
    """torch and its kin are named in engines only; import-linter checks the packages, this the whole tree."""
    files = (path for path in all_files() if path.suffix == ".py" and path not in ENGINES)
    found = {relative(path): heavy for path in files if (heavy := tops(imported(path)) & HEAVY)}
    assert found == {}


@pytest.mark.parametrize("engine", ENGINES, ids=lambda path: path.stem)
def test_engines_stand_alone(engine: Path) -> None:
    """An engine runs in an environment without Headgate: beside itself it has only its neighbours."""
    assert tops(imported(engine)) & set(PACKAGES) == set()


@pytest.mark.parametrize(
    "engine", [path for path in ENGINES if script_header(path)], ids=lambda path: path.stem
)
def test_engines_pin_every_dependency(engine: Path) -> None:
    """The same engine is the same program everywhere: each dependency has one exact version."""
    header = script_header(engine) or {}
    assert header.get("requires-python")
    dependencies = header.get("dependencies")
    assert isinstance(dependencies, list)
    assert dependencies
    loose = [line for line in dependencies if not re.fullmatch(r"==[^*,]+", str(Requirement(line).specifier))]
    assert loose == []


def test_engines_are_programs() -> None:
    """Every engine file has a header, but for what they share, which another one imports."""
    shared = [path.stem for path in ENGINES if not script_header(path)]
    programs = "".join(path.read_text(encoding="utf-8") for path in ENGINES)
    used = {name for name in shared if re.search(rf"^(from|import) {name}\b", programs, re.MULTILINE)}
    assert used == {*shared}
    assert {path.stem for path in ENGINES} - {*shared} == {
        *("awq_autoawq", "evaluate_lm_eval", "load_vllm_cpu"),
        *("quantize_llmcompressor", "read_lm_eval", "serve_vllm_cpu", "train_quickstart"),
    }


def test_nothing_names_a_machine_or_a_package_index() -> None:
    """Where things come from, and where a checkout lies, is for the machine's own settings to say."""
    forbidden = re.compile(
        r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|conda\.anaconda\.org|npmjs\.org"
        r"|^\s*(?:--)?(?:extra-)?index-url\b|(?<![\w.*>}])/(?:root|work|tmp|Users/\w+)/\w"
    )
    found = [
        f"{relative(path)}:{number}: {match[0]}"
        for path in all_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if (match := forbidden.search(line))
    ]
    assert found == []


def test_tests_mirror_the_tree() -> None:
    """The tests of a folder lie in the folder of the same name under tests/."""
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    homeless = [
        relative(path) for path in tests if not (ROOT / path.parent.relative_to(ROOT / "tests")).is_dir()
    ]
    assert homeless == []
