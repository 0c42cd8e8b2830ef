"""What is said to Label Studio about ML backends: which are connected, and the webhooks that come with them."""

from __future__ import annotations

from urllib.parse import urlsplit

from backend.errors import ConnectionRefusedByStudio, StudioError
from backend.studio_access import StudioAccess, StudioRefusal
from backend.studio_keys import KEY_HEADERS, closed_door, secret_in_path, webhook_keys
from backend.studio_types import Connection, Json, parse_connection

CONNECT_TIMEOUT_S = 30.0


class StudioConnections:
    """The ML backends of a Label Studio's projects. Every method raises StudioError."""

    def __init__(self, access: StudioAccess) -> None:
        self._access = access
        self.url = access.url

    def connections(self, project_id: int) -> tuple[Connection, ...]:
        """The ML backends of a project; Label Studio asks each for its state, which takes a moment."""
        params: dict[str, str | int] = {"project": project_id}
        found = self._access.call("GET", "api/ml", "list the ML backends", params=params, timeout_s=CONNECT_TIMEOUT_S)
        return tuple(parse_connection(item) for item in found)

    def connect_backend(
        self,
        project_id: int,
        url: str,
        title: str,
        *,
        user: str | None = None,
        password: str | None = None,
        webhook_secret: str | None = None,
        interactive: bool = False,
    ) -> Connection:
        """Connect our backend as the project's settings page does; one that has this address is updated.

        Label Studio gives `user` and `password` with everything it asks, but not with webhooks. So the webhook that it
        makes gets a header with the secret, or else with the two. Everybody who may see the project's webhooks can read
        it there. Raises ConnectionRefusedByStudio, with nothing left behind, when the address check forbids the
        address.
        """
        keys = webhook_keys(user, password, webhook_secret)
        body: dict[str, object] = {"project": project_id, "url": url, "title": title, "is_interactive": interactive}
        # An empty name, because Label Studio sends what an earlier connection had, whatever the method is now.
        body |= {"auth_method": "BASIC_AUTH" if user else "NONE", "basic_auth_user": user or ""}
        if user:
            body |= {"basic_auth_pass": password or ""}
        existing = self._usable(project_id, url)
        method, path = ("PATCH", f"api/ml/{existing}") if existing else ("POST", "api/ml")
        doing = f"connect the backend at {url} to project {project_id}"
        try:
            answer = self._access.call(method, path, doing, body=body, timeout_s=CONNECT_TIMEOUT_S)
        except StudioRefusal as exc:
            if remedy := closed_door(exc.detail):
                raise StudioError(f"could not {doing}: {remedy}") from exc
            if "health check failed" in exc.detail:
                said = f'Label Studio at {self.url} says "{exc.detail}"'
                raise StudioError(f"could not {doing}: {said}; {_away(url)}") from exc
            if not _is_address_check(exc):
                raise
            self.disconnect_backend(project_id, url)
            raise _refused(self.url, url, exc.detail) from exc
        self._give_to_webhook(project_id, url, keys)
        # The answer to POST is from before Label Studio asked for the version.
        return next(
            (item for item in self.connections(project_id) if item.id == answer["id"]), parse_connection(answer)
        )

    def disconnect_backend(self, project_id: int, url: str) -> None:
        """Remove every connection to this address, and the webhook that came with it."""
        for item in self.connections(project_id):
            if _same(item.url, url):
                self._access.call("DELETE", f"api/ml/{item.id}", f"remove the connection {item.id}")
        for hook in self._webhooks(project_id):
            if secret_in_path(hook["url"], url) is not None:
                self._access.call("DELETE", f"api/webhooks/{hook['id']}/", f"remove the webhook {hook['id']}")

    def _give_to_webhook(self, project_id: int, url: str, keys: Json) -> None:
        """Let the backend's webhook send these headers instead of those of an earlier connection."""
        for hook in self._webhooks(project_id):
            if secret_in_path(hook["url"], url) is None:
                continue
            others = {n: v for n, v in hook["headers"].items() if n not in KEY_HEADERS}
            if hook["headers"] != {**others, **keys}:
                # Without its actions a webhook that is narrowed to some would be left with none.
                body = {"headers": {**others, **keys}, "actions": hook["actions"]}
                doing = f"give the webhook {hook['id']} the header that the backend asks for"
                self._access.call("PATCH", f"api/webhooks/{hook['id']}/", doing, body=body)

    def _webhooks(self, project_id: int) -> list[Json]:
        params: dict[str, str | int] = {"project": project_id}
        found: list[Json] = self._access.call("GET", "api/webhooks/", "list the webhooks", params=params)
        return [hook for hook in found if hook["project"] == project_id]

    def _usable(self, project_id: int, url: str) -> int | None:
        """The connection with this address, if it is whole; half ones (without webhook) and doubles are removed."""
        ids = [item.id for item in self.connections(project_id) if _same(item.url, url)]
        if not ids:
            return None
        hooks = self._webhooks(project_id)
        whole = any(secret_in_path(hook["url"], url) is not None for hook in hooks)
        for number in ids[1:] if whole else ids:
            self._access.call("DELETE", f"api/ml/{number}", f"remove the half-made connection {number}")
        return ids[0] if whole else None


def _same(address: str, other: str) -> bool:
    return address.rstrip("/") == other.rstrip("/")


def _away(url: str) -> str:
    """What to do when Label Studio's own request to the backend had no answer."""
    port = urlsplit(url).port or 9090
    return (
        "name the address by which Label Studio reaches the backend, and where none runs yet start it with: "
        f"vlm-judge serve --port {port}"
    )


def _is_address_check(refusal: StudioRefusal) -> bool:
    return "reserved network address" in refusal.detail or "SSRF" in refusal.detail


def _refused(studio_url: str, backend_url: str, detail: str) -> ConnectionRefusedByStudio:
    return ConnectionRefusedByStudio(
        f"Label Studio at {studio_url} refuses to talk to the backend at {backend_url}: {detail}. Since 1.23 it does "
        "not call private addresses. If that network is yours, start Label Studio with ML_BLOCK_LOCAL_IP=false and "
        "SSRF_PROTECTION_ENABLED=false (the first alone is not enough) and connect again. "
        "What the attempt left in the project has been removed"
    )
