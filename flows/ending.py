"""How a flow run ends on an error of ours: in our own words."""

from __future__ import annotations

from typing import Any, cast

from prefect.states import Failed

from registry.errors import HeadgateError


def told(error: HeadgateError) -> dict[str, Any]:
    """How a flow ends on an error of ours: Prefect shows its paragraph, callers get it raised."""
    state: Any = Failed(message=str(error), data=error)
    return cast("dict[str, Any]", state)  # a returned state becomes the flow's own
