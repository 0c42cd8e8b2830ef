"""The container's health check: exit code 0 while the backend answers and its model has not failed.

A model that is still loading counts as healthy: a large one takes minutes, and what Label Studio asks meanwhile is
answered as pending. The backend says how its model is only to who brings its name and password, which the container's
environment has.
"""

import base64
import json
import os
import sys
import urllib.request

ADDRESS = "http://127.0.0.1:9090/health"
TIMEOUT_S = 4
"""Less than what the Dockerfile gives the whole check, so that the reason is still said."""


def trouble(address: str) -> str:
    """What is wrong with the backend at this address; empty when nothing is."""
    user = os.environ.get("VLM_JUDGE_BASIC_AUTH_USER", "")
    password = os.environ.get("VLM_JUDGE_BASIC_AUTH_PASSWORD", "")
    key = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {key}"} if user else {}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - the address is not a stranger's
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy would look for itself at 127.0.0.1
    try:
        with direct.open(request, timeout=TIMEOUT_S) as response:
            said = json.load(response)
    except (OSError, ValueError) as exc:
        return f"{address} does not answer: {exc}"
    return "the model has failed; see the backend's log" if said.get("engine") == "failed" else ""


if __name__ == "__main__":
    sys.exit(trouble(sys.argv[1] if len(sys.argv) > 1 else ADDRESS) or 0)
