"""The check of a backend as it is seen from here: whether it is ours, and how its engine is."""

from __future__ import annotations

from typing import Any

import httpx

from backend.doctor.findings import Checking, Finding, State
from backend.settings import Settings

BACKEND = "backend"
_TIMEOUT_S = 5.0
_LOG = "see the backend's log"
_START = "start it with `vlm-judge serve`"
_UNLOCK = "export VLM_JUDGE_BASIC_AUTH_USER and VLM_JUDGE_BASIC_AUTH_PASSWORD as the backend has them"
_OURS = "vlm-judge"


def ask_backend(settings: Settings, url: str, *, is_reached: bool) -> Checking[None]:
    """What the backend's `/health` says, asked with the settings' name and password where there are any.

    `is_reached` says that Label Studio reaches it, which may be on a network that this machine is not on.
    """
    try:
        answer = httpx.get(f"{url.rstrip('/')}/health", timeout=_TIMEOUT_S, auth=_auth(settings))
    except httpx.TimeoutException:
        yield Finding(BACKEND, "failed", f"{url} does not answer within {_TIMEOUT_S:g} s", _LOG)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as exc:
        remedy = "give an address such as http://127.0.0.1:9090"
        yield Finding(BACKEND, "failed", f"{url} is not an address that can be asked ({exc})", remedy)
    except httpx.HTTPError as exc:
        remedy = "none is needed if only Label Studio's network knows the address" if is_reached else _START
        state: State = "warning" if is_reached else "failed"
        yield Finding(BACKEND, state, f"from here, nothing answers at {url} ({exc})", remedy)
    else:
        yield _finding(url, answer)


def _auth(settings: Settings) -> tuple[str, str] | None:
    if settings.basic_auth_user is None or settings.basic_auth_password is None:
        return None
    return settings.basic_auth_user, settings.basic_auth_password.get_secret_value()


def _finding(url: str, answer: httpx.Response) -> Finding:
    if answer.status_code in (401, 403):
        return Finding(BACKEND, "failed", f"{url} does not let us in (status {answer.status_code})", _UNLOCK)
    said = _said(answer)
    if said == {"status": "UP"}:
        detail = f"{url} is up and says no more, as ours does without its name and password"
        return Finding(BACKEND, "warning", detail, _UNLOCK)
    if not str(said.get("model_class", "")).startswith(_OURS):
        remedy = "give the address of a `vlm-judge serve`"
        return Finding(BACKEND, "failed", f"what answers at {url} is not this product's backend", remedy)
    judge, engine, why = said.get("judge"), said.get("engine"), said.get("detail")
    if engine == "failed":
        reason = f": {why}" if why else ""
        return Finding(BACKEND, "failed", f"{url} runs {judge}, which failed{reason}", f"{_LOG}, and start it again")
    if engine == "loading":
        remedy = "wait until it is loaded; tasks asked for meanwhile are judged afterwards"
        return Finding(BACKEND, "warning", f"{url} runs {judge}, which is still loading", remedy)
    return Finding(BACKEND, "ok", f"{url} runs {judge}, which is {engine}")


def _said(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
