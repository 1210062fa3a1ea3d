"""Asking a head-end through REST, as a back-office does."""

import json
from collections.abc import Mapping
from typing import Annotated, NoReturn

import httpx2
import typer

from api.commands.telling import REFUSED, Unreachable, complain, told

TIMEOUT_S = 35.0
JSON = "application/json"

Url = Annotated[
    str, typer.Option("--url", envvar="HEADEND_URL", help="Where the head-end answers.")
]
Key = Annotated[
    str,
    typer.Option("--key", envvar="HEADEND_KEY", help="API key; better in HEADEND_KEY than here."),
]
KeyIfAny = Annotated[
    str | None,
    typer.Option("--key", envvar="HEADEND_KEY", help="API key; better in HEADEND_KEY than here."),
]
TokenIfAny = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="HEADEND_PERSON_TOKEN",
        help="Your personal token hp_... in place of a key; better in HEADEND_PERSON_TOKEN.",
    ),
]
DEFAULT_URL = "http://127.0.0.1:8080"


def key_or_token(key: str | None, token: str | None) -> str:
    """What a command brings that keys and people may give; a person's own token goes first."""
    if (found := token or key) is None:
        raise typer.BadParameter("bring an API key (--key) or a personal token (--token)")
    return found


def asked(
    url: str, key: str, method: str, path: str, body: Mapping[str, object] | None = None
) -> Mapping[str, object]:
    """The answer of a head-end; ends the command when there is none, or it is a problem."""
    content = None if body is None else json.dumps(body).encode()
    return _understood(_answer(url, key, method, path, content), url)


def asked_with_file(
    url: str, key: str, path: str, content: bytes, *, media_type: str
) -> Mapping[str, object]:
    """The answer to a file that is posted; ends the command as `asked` does."""
    return _understood(_answer(url, key, "POST", path, content, media_type=media_type), url)


def asked_text(url: str, key: str, path: str) -> str:
    """An answer that is text and no JSON; ends the command as `asked` does."""
    answer = _answer(url, key, "GET", path, None)
    if not answer.is_success:
        _refused(answer, _json(answer, url))
    return answer.text


def _understood(answer: httpx2.Response, url: str) -> Mapping[str, object]:
    found = _json(answer, url)
    if not answer.is_success or not isinstance(found, dict):
        _refused(answer, found)
    return found


def _answer(
    url: str,
    key: str,
    method: str,
    path: str,
    content: bytes | None,
    *,
    media_type: str = JSON,
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key}"}
    if content is not None:
        headers["Content-Type"] = media_type
    with told():
        try:
            return httpx2.request(
                method,
                url.rstrip("/") + path,
                content=content,
                headers=headers,
                timeout=TIMEOUT_S,
                trust_env=False,
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unreachable(
                f"no head-end answers at {url} ({type(error).__name__});"
                " start one with: headend serve, or name another with --url"
            ) from None


def _json(answer: httpx2.Response, url: str) -> object:
    with told():
        try:
            return answer.json()
        except ValueError:
            raise Unreachable(f"what answers at {url} is no head-end; check --url") from None


def _refused(answer: httpx2.Response, found: object) -> NoReturn:
    problem = found if isinstance(found, dict) else {}
    complain(f"{problem.get('title', answer.status_code)}: {problem.get('detail', '')}")
    raise typer.Exit(REFUSED)
