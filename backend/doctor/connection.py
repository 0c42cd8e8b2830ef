"""The checks of a project's ML backends: whether Label Studio reaches them and whether they are whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend.doctor.findings import Checking, Finding, parted
from backend.doctor.label_studio import SignedIn
from backend.doctor.reach import UNLOCK, Hindrance, address_hindrance, reach_hindrance, webhook_hindrance
from backend.errors import StudioError
from backend.settings import Settings
from backend.studio_keys import KEY_HEADERS, secret_in_path
from backend.studio_types import Json, Project

CONNECTION, REACH = "connection", "reach"
_TIMEOUT_S = 60.0
"""Label Studio asks each backend for its health (1 s) and its version (3 s) while it lists them, with retries."""
_DISCONNECTED, _ERROR = "DI", "ER"


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a project's connections are held against."""

    settings: Settings
    signed: SignedIn
    project: Project
    fingerprint: str | None
    """What these settings would judge as; None when that is not known."""

    def connect(self, url: str) -> str:
        """The command that connects a backend, or connects it anew."""
        return f"vlm-judge project connect --project {self.project.id} {url}"


def check_connections(wiring: Wiring, backend: str | None) -> Checking[None]:
    """Each backend of the project as Label Studio sees it, which asks all of them for their state meanwhile."""
    try:
        listed, hooks = _listed(wiring, "api/ml"), _listed(wiring, "api/webhooks/")
        for item in listed:
            yield _connection_finding(wiring, item, hooks)
    except StudioError as exc:
        yield Finding(CONNECTION, "failed", *parted(exc, "try again when Label Studio answers"))
        return
    if not any(backend is None or _same(item["url"], backend) for item in listed):
        which = "no backend" if backend is None else f"the backend at {backend}"
        state = "is not connected" if backend else "is connected"
        remedy = wiring.connect(backend or "http://HOST:9090")
        yield Finding(CONNECTION, "warning", f"{which} {state} to project {wiring.project.id}", remedy)


def check_reach(signed: SignedIn, project: Project | None, backend: str) -> Checking[bool]:
    """Whether Label Studio may call and can reach a backend, connected or not; without a project only the former.

    True when it has reached it.
    """
    if not backend.startswith(("http://", "https://")):
        yield Finding(
            REACH, "failed", f"{backend} is not the address of a backend", "give one such as http://HOST:9090"
        )
        return False
    try:
        found = address_hindrance(signed, backend) or webhook_hindrance(signed, backend)
        if found is None and project is not None:
            found = reach_hindrance(signed, project.id, backend)
    except StudioError as exc:
        yield Finding(REACH, "failed", *parted(exc, "see Label Studio's log"))
        return False
    if found:
        yield Finding(REACH, "failed", found.reason, found.remedy)
        return False
    tried = "and reaches it" if project else "as far as its address goes; with --project it also tries to"
    yield Finding(REACH, "ok", f"Label Studio may call {backend} {tried}")
    return project is not None


def _listed(wiring: Wiring, path: str) -> tuple[Json, ...]:
    params: dict[str, str | int] = {"project": wiring.project.id}
    found = wiring.signed.access.call("GET", path, "list the ML backends", params=params, timeout_s=_TIMEOUT_S)
    return tuple(item for item in found if item["project"] == wiring.project.id)


def _connection_finding(wiring: Wiring, item: Json, hooks: Sequence[Json]) -> Finding:
    url, number = str(item["url"]), item["id"]
    connect = wiring.connect(url)
    if item["state"] == _DISCONNECTED:
        found = _disconnected(wiring, item)
        return Finding(CONNECTION, "failed", f"connection {number}: {found.reason}", found.remedy)
    if item["state"] == _ERROR:
        detail = f'connection {number}: {url} is there but refuses the project: "{item["error_message"]}"'
        return Finding(CONNECTION, "failed", detail, "see the backend's log; perhaps the label config does not fit")
    fault = next(_faults_of_webhook(wiring, url, hooks), None)
    if fault:
        return Finding(CONNECTION, "failed", f"connection {number}: {fault.reason}", fault.remedy or connect)
    version = item["model_version"] or "no version"
    if wiring.fingerprint and version != wiring.fingerprint:
        detail = f"connection {number}: {url} judges as {version}, but these settings as {wiring.fingerprint}"
        return Finding(CONNECTION, "warning", detail, "give `vlm-judge` the backend's settings, or start it with these")
    return Finding(CONNECTION, "ok", f"connection {number}: Label Studio reaches {url}, which judges as {version}")


def _disconnected(wiring: Wiring, item: Json) -> Hindrance:
    """Why Label Studio calls a backend disconnected; it does not keep the reason, so it is asked anew."""
    url = str(item["url"])
    found = address_hindrance(wiring.signed, url) or reach_hindrance(wiring.signed, wiring.project.id, url)
    if found:
        return found
    if wiring.settings.basic_auth_user or item["auth_method"] == "BASIC_AUTH":
        return Hindrance(f"{url} answers, but not to the name and password that the connection gives", UNLOCK)
    return Hindrance(f"{url} answers, but its /health not within 1 s or not well", "see the backend's log")


def _faults_of_webhook(wiring: Wiring, url: str, hooks: Sequence[Json]) -> Iterator[Hindrance]:
    """What keeps reviews from coming back; a remedy that is empty is to connect anew."""
    own = [hook for hook in hooks if secret_in_path(str(hook["url"]), url) is not None]
    found = webhook_hindrance(wiring.signed, url, exists=bool(own))
    if found:
        yield found
    elif not own:
        yield Hindrance(f"{url} is half-connected: it has no webhook, so no review comes back", "")
    elif not any(hook["is_active"] for hook in own):
        reason = f"the webhook to {url} is switched off, so no review comes back"
        yield Hindrance(reason, "switch it on under Settings > Webhooks")
    locked = wiring.settings.webhook_secret or wiring.settings.basic_auth_user
    keys = [set(KEY_HEADERS) & hook["headers"].keys() or secret_in_path(str(hook["url"]), url) for hook in own]
    if locked and own and not any(keys):
        yield Hindrance(f"the webhook to {url} carries no key, so the backend refuses it", "")


def _same(address: object, other: str) -> bool:
    return str(address).rstrip("/") == other.rstrip("/")
