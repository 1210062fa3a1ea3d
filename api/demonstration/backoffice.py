"""The back-office of the demonstration: it sells through REST over HTTP, and looks what came of it.

It knows the head-end by its address and an API key only.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TypeAlias

import httpx2

from headend.errors import HeadendError

Told: TypeAlias = Mapping[str, object]

TIMEOUT_S = 20.0
OPEN_S = 20.0
KNOCK_EVERY_S = 0.05


class Unexpected(HeadendError):
    """The head-end answered as it should not, or not at all; the text says what."""


class BackOffice:
    """A client of the REST interface; closed when the `async with` block is left."""

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def wait_until_open(self) -> None:
        """Wait until tokens can be made and every bus has its link; raises Unexpected."""
        try:
            async with asyncio.timeout(OPEN_S):
                await self._knock("/v1/health/can-vend")
                await self._knock("/v1/health/can-deliver")
        except TimeoutError:
            raise Unexpected(f"the head-end cannot sell after {OPEN_S:g} s") from None

    async def set_times(self, sgc: str, *, fallback_after_s: int) -> None:
        """Give a supply group its policy."""
        body = {"name": "Demonstration", "fallback_after_s": fallback_after_s}
        await self._ask("PUT", f"/v1/supply-groups/{sgc}", body)

    async def sell(self, order: Told) -> Told:
        """Post a recharge."""
        return await self._ask("POST", "/v1/recharges", order)

    async def look(self, recharge: str) -> Told:
        """What became of a recharge."""
        return await self._ask("GET", f"/v1/recharges/{recharge}")

    async def _knock(self, path: str) -> None:
        while True:
            try:
                if (await self._client.get(path)).is_success:
                    return
            except httpx2.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(KNOCK_EVERY_S)

    async def _ask(self, method: str, path: str, body: Told | None = None) -> Told:
        try:
            answer = await self._client.request(method, path, json=body)
            found = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise Unexpected(f"{method} {path}: no answer ({type(error).__name__})") from error
        if not answer.is_success or not isinstance(found, dict):
            problem = found if isinstance(found, dict) else {}
            told = f"{problem.get('title', '')}: {problem.get('detail', '')}"
            raise Unexpected(f"{method} {path} is answered {answer.status_code}: {told}")
        return found
