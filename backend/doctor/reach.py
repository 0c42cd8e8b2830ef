"""Has Label Studio itself try a backend's address, in ways that leave nothing behind.

Its address check runs on each field before a request as a whole is looked at. So a request that is wrong in another
field is refused for the address where that is forbidden, and for the other field where it is allowed. There are two
such checks, switched by a variable each: one of backends (ML_BLOCK_LOCAL_IP) and one of the webhooks that come with
them (SSRF_PROTECTION_ENABLED). Whether the backend can be reached it says when it is to connect one under a path that
our backend does not have: what it was answered there stands in its refusal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from backend.doctor.label_studio import SignedIn
from backend.errors import StudioError
from backend.studio_access import StudioRefusal

ALLOW_PRIVATE = "start Label Studio with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false"
SERVE_THERE = (
    "start the backend there with `vlm-judge serve`, or give the address at which Label Studio's own machine or "
    "container reaches it (in a container, 127.0.0.1 is the container itself)"
)
UNLOCK = (
    "export VLM_JUDGE_BASIC_AUTH_USER and VLM_JUDGE_BASIC_AUTH_PASSWORD for the backend and for "
    "`vlm-judge project connect`, and connect it again"
)
_NOWHERE = "vlm-judge-doctor"
"""A path that no backend answers to."""
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why Label Studio would not work with a backend at an address."""

    reason: str
    remedy: str


def address_hindrance(signed: SignedIn, url: str) -> Hindrance | None:
    """What Label Studio's check of backends has against this address; None when nothing. Raises StudioError."""
    said = _refusal_of(signed, "api/ml", {"url": url, "is_interactive": _NOWHERE})
    if _is_address_check(said):
        reason = f'Label Studio does not call the address {url}: "{said.detail}"'
        return Hindrance(reason, ALLOW_PRIVATE)
    if "resolve hostname" in said.detail:
        return Hindrance(f'Label Studio does not know the host of {url}: "{said.detail}"', SERVE_THERE)
    return None


def webhook_hindrance(signed: SignedIn, url: str, *, exists: bool = False) -> Hindrance | None:
    """What Label Studio has against a webhook to this backend; None when nothing. Raises StudioError.

    The address of one that exists is checked again whenever it is to be sent, without a word to anybody.
    """
    said = _refusal_of(signed, "api/webhooks/", {"url": f"{url.rstrip('/')}/webhook", "actions": [_NOWHERE]})
    if _is_address_check(said):
        reason = f'Label Studio sends no webhooks to {url}, which leaves a connection half-made: "{said.detail}"'
        return Hindrance(reason, f"{ALLOW_PRIVATE} (the first alone is not enough)")
    if not exists and re.search(r"\burl: ", said.detail):
        reason = f"Label Studio makes no webhook for {url}, whose host has no dot in its name, so no review comes back"
        return Hindrance(reason, "give the backend a host name with a dot in it, or its IP address, and connect that")
    return None


def reach_hindrance(signed: SignedIn, project: int, url: str) -> Hindrance | None:
    """Why Label Studio does not get through to a server at this address; None when it does. Raises StudioError.

    A 401 counts as getting through: without the password, which this does not give, a locked backend says so.
    """
    probe = f"{url.rstrip('/')}/{_NOWHERE}"
    body = {"project": project, "url": probe, "title": _NOWHERE}
    doing = f"have {url} tried"
    try:
        signed.access.call("POST", "api/ml", doing, body=body, timeout_s=_TIMEOUT_S)
    except StudioRefusal as exc:
        if exc.status != 400:
            raise
        return _hindrance(url, exc.detail)
    signed.studio.disconnect_backend(project, probe)  # something there answers under every path
    return None


def _hindrance(url: str, detail: str) -> Hindrance | None:
    """What a refused connection says about reaching the backend. Raises StudioError when it is about something else."""
    _, failed, said = detail.partition("health check failed")
    if not failed:
        if "Able to connect" in detail or "Successfully connected" in detail:
            return None
        raise StudioError(f"could not have {url} tried: Label Studio says {detail!r}; correct this and try again")
    said = said.partition("Additional info: ")[2]
    if said.startswith("403 "):
        reason = f"the server at {url} refuses Label Studio (403), as ours does when asked from another machine without"
        return Hindrance(f"{reason} a password being set", UNLOCK)
    if re.match(r"\d{3} (Client|Server) Error|.*line 1 column", said):
        return None
    return Hindrance(f"Label Studio does not reach {url}: {_in_short(said)}", SERVE_THERE)


def _in_short(said: str) -> str:
    """The heart of what Python's requests say when they do not get through."""
    if "timed out" in said:
        return "no answer within 1 s"
    if "Failed to resolve" in said or "Name or service" in said or "NameResolution" in said:
        return "its host is not known there"
    error = re.search(r"\[Errno -?\d+\] ([^'\")]+)", said)
    return error[1] if error else said


def _refusal_of(signed: SignedIn, path: str, body: object) -> StudioRefusal:
    try:
        signed.access.call("POST", path, "have an address checked", body=body, timeout_s=_TIMEOUT_S)
    except StudioRefusal as exc:
        return exc
    raise StudioError("Label Studio took a request that is wrong on purpose; this version is not known to the doctor")


def _is_address_check(refusal: StudioRefusal) -> bool:
    return refusal.status == 403 and ("reserved network address" in refusal.detail or "SSRF" in refusal.detail)
