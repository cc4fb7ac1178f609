"""Asks a server for one real token. A health endpoint says 200 long before and long after it can answer."""

from __future__ import annotations

import http.client
import json


def answers(port: int, model: str, timeout: float) -> bool:
    """Whether the server on this loopback port completes a prompt within ``timeout`` seconds."""
    body = json.dumps({"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        value = json.loads(reply.read())
        return reply.status == http.client.OK and bool(value["choices"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return False
    finally:
        connection.close()
