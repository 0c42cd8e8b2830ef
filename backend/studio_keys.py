"""What Label Studio must send so that our backend lets it in, and what it says when it was not let in."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from backend.errors import StudioError

WEBHOOK_HEADER = "X-Webhook-Secret"
"""Carries the webhook secret."""
KEY_HEADERS = ("Authorization", WEBHOOK_HEADER)


def secret_in_path(webhook: str, backend_url: str) -> str | None:
    """What stands behind `/webhook/` in a webhook's address; empty without it, None when it leads elsewhere."""
    plain = f"{backend_url.rstrip('/')}/webhook"
    if webhook.rstrip("/") == plain:
        return ""
    return webhook.removeprefix(f"{plain}/") if webhook.startswith(f"{plain}/") else None


def webhook_keys(user: str | None, password: str | None, secret: str | None) -> Mapping[str, str]:
    """The header that opens our door to a webhook. Raises StudioError for what Label Studio could not send right."""
    _refuse_unsendable("basic auth user", user, "Latin-1")
    _refuse_unsendable("basic auth password", password, "Latin-1")
    _refuse_unsendable("webhook secret", secret, "ASCII")
    if secret:
        return {WEBHOOK_HEADER: secret}
    if user:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode()}
    return {}


def closed_door(detail: str) -> str:
    """What to do when Label Studio's `detail` says that our backend did not let it in; empty when it does not."""
    if "authentication parameters" in detail or "401 Client Error" in detail:
        return (
            "the backend asks for another name and password; set VLM_JUDGE_BASIC_AUTH_USER and "
            "VLM_JUDGE_BASIC_AUTH_PASSWORD here as they are set for it"
        )
    if "403 Client Error" in detail:
        return (
            "without a name and password the backend serves its own machine only; set VLM_JUDGE_BASIC_AUTH_USER and "
            "VLM_JUDGE_BASIC_AUTH_PASSWORD for it and here"
        )
    return ""


def _refuse_unsendable(name: str, value: str | None, encoding: str) -> None:
    """Label Studio fails with characters beyond Latin-1, and takes spaces from the ends without a word."""
    text = value or ""
    if text != text.strip() or not text.isprintable() or text.encode(encoding, "ignore").decode(encoding) != text:
        raise StudioError(
            f"Label Studio cannot send the {name} as it is set; choose one of {encoding} characters, "
            "without spaces at its ends"
        )
