"""What every page of ours has in common: one HTML file that needs nothing else to be read.

No script, no font, no address to load from. Everything that came from elsewhere is escaped, and a content
security policy in the page forbids what a mistake in that would let in. Pure.
"""

from __future__ import annotations

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

from judging.unit import Unit
from registry.plain_text import one_line, plain


@cache
def page_template(package: str, name: str) -> Template:
    """A template of this package; it may extend ``page.html.jinja`` and import ``page_parts.html.jinja``."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("registry", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: plain(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cut": one_line, "number": _number, "when": _when}
    return environment.get_template(name)


def _number(value: float | None, unit: Unit | None = None) -> str:
    if value is None:
        return ""
    return unit.says(value) if unit else f"{value:.6g}"


def _when(at: str) -> str:
    return f"{at[:10]} {at[11:16]}" if len(at) > 16 else at
