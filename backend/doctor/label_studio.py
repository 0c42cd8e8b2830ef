"""The checks of Label Studio's address and of the token."""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass
from typing import Any

import httpx

from backend.addresses import origin
from backend.doctor.findings import Checking, Finding, Lacking, State, failed, parted
from backend.errors import StudioError
from backend.settings import Settings
from backend.studio import Studio
from backend.studio_access import StudioAccess, StudioRefusal

OLDEST_TESTED = (1, 20)
ADDRESS, TOKEN = "Label Studio", "token"
GET_A_KEY = (
    "make a personal access token under Account & Settings > Personal Access Token, and export it as "
    "LABEL_STUDIO_API_KEY"
)
_TIMEOUT_S = 10.0
_VERSION_PATH = "/api/version/"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A Label Studio that the token opens."""

    studio: Studio
    access: StudioAccess
    """The same server, for what only a doctor asks."""
    email: str


def find_label_studio(settings: Settings, *, is_needed: bool) -> Checking[str | Lacking]:
    """Whether a Label Studio answers, and which; its address. `is_needed` makes a missing address a failure."""
    if not settings.label_studio_url:
        remedy = "export LABEL_STUDIO_URL=http://127.0.0.1:8080, or where yours is"
        yield Finding(ADDRESS, _missing(is_needed), "LABEL_STUDIO_URL is not set", remedy)
        return Lacking("LABEL_STUDIO_URL is not set")
    url = settings.label_studio_url.rstrip("/")
    finding = _address_finding(url)
    yield finding
    return failed(ADDRESS) if finding.state == "failed" else url


def sign_in(settings: Settings, url: str, *, is_needed: bool) -> Checking[SignedIn | Lacking]:
    """Which kind of token there is and whom it belongs to."""
    if settings.label_studio_api_key is None:
        yield Finding(TOKEN, _missing(is_needed), "LABEL_STUDIO_API_KEY is not set", GET_A_KEY)
        return Lacking("LABEL_STUDIO_API_KEY is not set")
    token = settings.label_studio_api_key.get_secret_value().strip()
    kind, fault = kind_of_token(token)
    if fault:
        yield Finding(TOKEN, "failed", fault, GET_A_KEY)
        return failed(TOKEN)
    try:
        studio, access = Studio(url, token), StudioAccess(url, token)
        email = studio.whoami().email
    except StudioRefusal as exc:
        yield _refused_token(exc, kind)
        return failed(TOKEN)
    except StudioError as exc:
        yield Finding(TOKEN, "failed", *parted(exc, GET_A_KEY))
        return failed(TOKEN)
    yield Finding(TOKEN, "ok", f"a {kind} of {email}")
    return SignedIn(studio, access, email)


def kind_of_token(token: str) -> tuple[str, str]:
    """The kind of a token by its looks, and what is wrong with it as far as can be told without asking."""
    if "." not in token:
        if re.fullmatch(r"[0-9a-zA-Z_-]+", token):
            return "legacy token", ""
        return "", "LABEL_STUDIO_API_KEY is neither a personal access token nor a legacy one (40 hex digits)"
    try:
        claims = _claims(token)
    except ValueError:
        return "", "LABEL_STUDIO_API_KEY looks like a personal access token but is cut off or damaged"
    if claims.get("token_type") == "access":
        return "", "LABEL_STUDIO_API_KEY is a short-lived access token, not the personal access token it is made of"
    expires = claims.get("exp")
    if isinstance(expires, int | float) and expires <= time.time():
        day = time.strftime("%Y-%m-%d", time.gmtime(expires))
        return "", f"the personal access token has expired on {day}"
    return "personal access token", ""


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself; nobody vouches for it. Raises ValueError."""
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("a JWT has three parts")
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if not isinstance(claims, dict):
        raise ValueError("a JWT's claims are an object")
    return claims


def _missing(is_needed: bool) -> State:
    return "failed" if is_needed else "warning"


def without_password(url: str) -> str:
    """The address as messages show it."""
    return re.sub(r"//[^/@]*@", "//", url)


def _address_finding(url: str) -> Finding:
    shown = without_password(url)
    stranger = "set LABEL_STUDIO_URL to the address at which Label Studio opens in the browser"
    try:
        answer = httpx.get(f"{url}{_VERSION_PATH}", timeout=_TIMEOUT_S, follow_redirects=True)
        release = _release(answer.json())
    except httpx.TimeoutException:
        return Finding(
            ADDRESS, "failed", f"{shown} does not answer within {_TIMEOUT_S:g} s", "see whether Label Studio is busy"
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as exc:
        return Finding(ADDRESS, "failed", f"LABEL_STUDIO_URL is {shown}, which cannot be asked ({exc})", stranger)
    except httpx.HTTPError as exc:
        remedy = "start Label Studio there, or correct LABEL_STUDIO_URL"
        return Finding(ADDRESS, "failed", f"nothing answers at {shown} ({exc})", remedy)
    except ValueError:
        release = None
    if release is None:
        return Finding(ADDRESS, "failed", f"what answers at {shown} is not Label Studio", stranger)
    if origin(answer.url) != origin(httpx.URL(url)):
        there = str(answer.url).removesuffix(_VERSION_PATH)
        remedy = f"export LABEL_STUDIO_URL={there}"
        return Finding(ADDRESS, "warning", f"version {release}, but {shown} sends everybody on to {there}", remedy)
    return _release_finding(release, shown)


def _release(said: object) -> str | None:
    release = said.get("release") if isinstance(said, dict) else None
    return release if isinstance(release, str) and release[:1].isdigit() else None


def _release_finding(release: str, shown: str) -> Finding:
    numbers = tuple(int(number) for number in re.findall(r"\d+", release)[:2])
    if numbers < OLDEST_TESTED:
        oldest = ".".join(str(number) for number in OLDEST_TESTED)
        detail = f"version {release} at {shown}; this product is tested with {oldest} and newer"
        return Finding(ADDRESS, "warning", detail, "pip install --upgrade label-studio")
    return Finding(ADDRESS, "ok", f"version {release} at {shown}")


def _refused_token(error: StudioRefusal, kind: str) -> Finding:
    if error.status != 401:
        return Finding(TOKEN, "failed", *parted(error, GET_A_KEY))
    detail = f'Label Studio does not take the {kind}: "{error.detail}"'
    if kind != "legacy token":
        return Finding(TOKEN, "failed", detail, f"it is expired, revoked or of another server: {GET_A_KEY}")
    if "no longer valid" in error.detail or "disabled" in error.detail:
        remedy = f"switch legacy tokens on under Organization > Access token settings, or {GET_A_KEY}"
        return Finding(TOKEN, "failed", detail, remedy)
    return Finding(TOKEN, "failed", detail, f"copy it anew under Account & Settings > Legacy Token, or {GET_A_KEY}")
