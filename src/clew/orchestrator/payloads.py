"""What entries name by digest: made here, salted here, and put beside the store when it is large."""

from __future__ import annotations

from typing import Any

from clew.core.running import statuses
from clew.orchestrator.driven_run import SALT_SIZE, DrivenRun, PayloadContent, encode_payload
from clew.ports import AttemptReport, Bucket, BucketError, Chance

Json = Any

STORED_SIZE_MAX = 256 * 1024
"""Larger payloads stand in the bucket for payloads: a tracker is for looking things up, not for bulk."""


class PayloadKeeper:
    """Turns what was said into a payload: salted, and spilled to `bucket` when it is large."""

    def __init__(
        self, *, chance: Chance, bucket: Bucket | None, stored_size_max: int = STORED_SIZE_MAX
    ) -> None:
        self._chance = chance
        self._bucket = bucket
        self._stored_size_max = stored_size_max

    def keep(self, run: DrivenRun, value: dict[str, Json] | None) -> PayloadContent | None:
        """The payload of the run's next entry; None when there is nothing to say. A large one is durable in
        its bucket before the entry that names it is recorded; when the bucket can't take it, it stands in the
        store all the same, since what was said must not be lost for want of the better place."""
        if not value:
            return None
        content = encode_payload(value)
        salt = self._chance.token(SALT_SIZE)
        if len(content) <= self._stored_size_max or self._bucket is None:
            return PayloadContent(salt, content)
        key = f"{run.state.run_id}/{run.head.seq}-{salt.hex()}.json"
        try:
            self._bucket.write(key, content)
        except BucketError:
            return PayloadContent(salt, content)
        return PayloadContent(salt, content, key)


def report_payload(report: AttemptReport, outputs_name: str = "variables") -> dict[str, Json] | None:
    """What an attempt's report says beyond its verdict. A result that the outputs say whole is not repeated.

    The outputs of an item are no `variables`: those are the stage's, when it has gathered them.
    """
    outputs, result = report.outputs, report.result
    if result is None and not outputs and report.error is None and not report.log_size:
        return None
    payload: dict[str, Json] = {}
    if outputs:
        payload[outputs_name] = outputs
    if result is not None and not _says_no_more(result, outputs):
        payload["result"] = result
    if report.error is not None and report.outcome != statuses.COMPLETED:
        payload["error"] = report.error
    if report.log_size:
        payload["log"] = {"size": report.log_size, "truncated": report.log_truncated}
    return payload or None


def _says_no_more(result: Json, outputs: Any) -> bool:
    if result == outputs:
        return True
    return len(outputs) == 1 and next(iter(outputs.values())) == result
