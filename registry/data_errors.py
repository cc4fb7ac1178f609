"""Why data could not be read, in words: Python's own errors are for whoever wrote the reader. Pure."""

from __future__ import annotations

import json


def worded(problem: Exception) -> str:
    """A sentence without a capital and a stop: what is missing, or what is wrong where."""
    match problem:
        case json.JSONDecodeError():
            return f"it is not JSON: {problem.msg}, in line {problem.lineno}, column {problem.colno}"
        case UnicodeDecodeError():
            return f"it is not UTF-8 text: {problem.reason} at byte {problem.start}"
        case KeyError(args=(key,)):
            return f"it has no {key!r}"
        case RecursionError():
            return "it is nested too deeply"
        case TypeError() | AttributeError() | IndexError():
            return "it has not the form it should have"
        case OSError(strerror=str(reason)):
            return reason
    return str(problem) or type(problem).__name__
