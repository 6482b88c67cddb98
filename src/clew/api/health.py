"""Whether this process can do what it is for, and what it serves."""

from __future__ import annotations

from clew.api.calls import VIEWER, Answer, Call, Endpoints
from clew.api.documents import Status

health = Endpoints("health")


@health.add(
    "GET", "/readyz", role=VIEWER, about="Whether programs were read, and runs are driven.", answer=Status,
    statuses=(200, 503),
)  # fmt: skip
async def show_readiness(call: Call) -> Answer:
    is_ready = call.house.is_ready() and not call.house.ends()
    return Answer(Status("ready" if is_ready else "not ready"), 200 if is_ready else 503)
