"""What is said to uv to make an engine's environment, and what its answers mean. Pure: values in, values out.

The environment belongs to the engine's PEP 723 header, not to its script: engines with the same header
share one, and an edited script needs no new one. Running uv is ``tasks.engine_environment``'s work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from registry.digest import Digest
from registry.errors import InfrastructureError, UsageError
from registry.key_source import key_variables

TORCH_INDEX_VARIABLE = "HEADGATE_TORCH_INDEX"
_HEADER = re.compile(r"^# /// script$\n(?:^#(?: .*)?$\n)+?^# ///$", re.MULTILINE)
# What pip is told by variables that uv does not read, and uv's own name for it.
_PIP_VARIABLES = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_NO_INDEX": "UV_NO_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
}
_LISTS = ("UV_INDEX", "UV_FIND_LINKS")
# These would lead the engine's interpreter, or uv, to another environment's packages.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
_UNREACHABLE = re.compile(
    r"error sending request|dns error|could not connect|connection refused|connect error|timed? ?out"
    r"|network (?:was|connectivity is) disabled|connection (?:reset|closed)|unreachable|operation timed out",
    re.IGNORECASE,
)
_URL = re.compile(r"https?://[^\s`'\")]+")
_STEPS = re.compile(r"^\s*(Downloading|Downloaded|Building|Built|Resolved|Prepared|Installed|Bytecode)\b")


def read_header(script: str, name: str) -> str:
    """The PEP 723 block of an engine's script; raises UsageError when it has none."""
    found = _HEADER.search(script)
    if not found:
        raise UsageError(f"the engine {name} names no dependencies", why="its script has no PEP 723 header")
    return found[0] + "\n"


def with_torch_index(header: str, index: str | None) -> str:
    """The header with torch, and torch alone, taken from ``index``; unchanged without one.

    torchvision, where the header names it, comes along: it is built for one build of torch. As a further
    index for everything it would hide the other packages' own: uv takes a package from the first index that
    has its name.
    """
    if not index:
        return header
    quoted = index.replace("\\", "\\\\").replace('"', '\\"')
    sections = ["", "[[tool.uv.index]]", 'name = "torch"', f'url = "{quoted}"', "explicit = true", ""]
    packages = ["torch", *(["torchvision"] if "torchvision==" in header else [])]
    sections += ["[tool.uv.sources]", *(f'{name} = {{ index = "torch" }}' for name in packages)]
    added = "".join(f"# {line}".rstrip() + "\n" for line in sections)
    return header.removesuffix("# ///\n") + added + "# ///\n"


def environment_key(header: str, env: Mapping[str, str], python: str) -> Digest:
    """What one environment is made from: header, interpreter version, and where packages come from."""
    sources = {name: env[name] for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS") if name in env}
    return Digest.of_json({"header": header, "python": python, "sources": sources})


def engine_variables(env: Mapping[str, str]) -> dict[str, str]:
    """An engine's environment variables: this process's, without what points at other packages, or signs."""
    return {name: value for name, value in env.items() if name not in {*_FOREIGN, *key_variables(env)}}


def uv_variables(env: Mapping[str, str]) -> dict[str, str]:
    """uv's environment variables: pip's settings under uv's names, and bytecode compiled while installing."""
    variables = engine_variables(env)
    for pip, uv in _PIP_VARIABLES.items():
        if variables.get(pip) and uv not in variables:
            variables[uv] = ",".join(variables[pip].split()) if uv == "UV_FIND_LINKS" else variables[pip]
    # Without bytecode a vLLM server takes twice as long to start, each time.
    return {**variables, "UV_COMPILE_BYTECODE": "1", "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"}


def sync_command(
    uv: str, script: str, python: str, *, again: bool = False, offline: bool = False
) -> list[str]:
    """Make the script's environment; ``again`` lays every file anew, for what a killed run left behind."""
    flags = [*(["--reinstall"] if again else []), *(["--offline"] if offline else [])]
    return [uv, "sync", "--script", script, "--python", python, *flags]


def find_command(uv: str, script: str) -> list[str]:
    """Print the interpreter of the script's environment."""
    return [uv, "python", "find", "--script", script, "--offline"]


def needs_torch(header: str) -> bool:
    """Whether the environment is a large one."""
    return "torch==" in header


def step_of(line: str) -> str | None:
    """What a line of uv's output says about its progress, if it does."""
    return line.strip() if _STEPS.match(line) else None


def is_unreachable(lines: Sequence[str]) -> bool:
    """Whether uv failed because something did not answer."""
    return any(_UNREACHABLE.search(line) for line in lines)


def explain_failure(name: str, lines: Sequence[str]) -> InfrastructureError:
    """One paragraph on why an environment could not be made, from uv's output."""
    text = " ".join(line.strip(" ×│├╰─▶\t") for line in lines if line.strip())  # noqa: RUF001 - uv's drawing
    what = f"the environment of the engine {name} could not be made"
    if "No space left" in text or "os error 28" in text:
        return InfrastructureError(what, why="the disk is full", next_step="free some space and run again")
    if is_unreachable(lines):
        url = _URL.search(text)
        place = _without_user(url[0]) if url else "the package index"
        return InfrastructureError(
            what,
            why=f"{place} could not be reached, and what is needed is not in uv's cache",
            next_step="check the network, or name an index that is in reach in UV_DEFAULT_INDEX",
        )
    return InfrastructureError(
        what, why=f"uv says: {text[-600:]}", next_step="check the package index that uv is told to use"
    )


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)
