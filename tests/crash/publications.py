"""Files published, copied, overwritten and deleted in a store by runs that are killed; judged by the objects there."""

from __future__ import annotations

from itertools import count
from typing import Any

from tests.crash.judging import violations_in_the_store
from tests.crash.stories import ForkServer, Play, Story
from tests.object_stores.serving import ObjectStore

MODULES = ("re2", "clew.buckets.rounds", "clew.buckets.s3.bucket", "clew.buckets.s3.clients")

FORWARD = Story("published", "publishing", "completed", modules=MODULES)
BACKWARD = Story("taken-back", "publishing", "rolled_back", modules=MODULES)

LARGE = bytes(range(256)) * 5_000
BEFORE = {
    "in/batch_9": b"nine\n",
    "in/batch_10": b"ten\n",
    "large": LARGE,
    "state": b"before\n",
    "empty": b"",
    "beside": b"nobody's concern",
}
AFTER = {
    "in/batch_9": b"nine\n",
    "in/batch_10": b"ten\n",
    "large": b"after\n",
    "fresh": b"was not there\n",
    "beside": b"nobody's concern",
    "out/list": b"latest,in/batch_10,10\n",
    "out/copy": b"ten\n",
    "out/large": LARGE,
}

_numbers = count(1)


class Publication(Play):
    """A story over a folder of its own in a bucket."""

    def __init__(self, story: Story, server: ForkServer, store: ObjectStore, bucket: str) -> None:
        super().__init__(story, server)
        self._store = store
        self._client: Any = store.client()
        self._bucket = bucket
        self._prefix = f"play-{next(_numbers)}/"

    def _set_out(self) -> None:
        super()._set_out()
        url = self._store.url(self._bucket, self._prefix)
        (self.folder / "clew.toml").write_text(f'[buckets]\ndata = "{url}"\n')
        for key, content in BEFORE.items():
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content)
        if self._story.status == "completed":
            (self.folder / "allowed").touch()

    def _violations(self) -> list[str]:
        return [*violations_in_the_store(self._evidence()), *self._wrong_objects()]

    def _wrong_objects(self) -> list[str]:
        wanted = AFTER if self._story.status == "completed" else BEFORE
        found = self.objects()
        names = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
        return [f"the object {name} is not what it should be" for name in names]

    def objects(self) -> dict[str, bytes]:
        """What is there now."""
        listed = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix)["Contents"]
        return {
            one["Key"].removeprefix(self._prefix): self._client.get_object(
                Bucket=self._bucket, Key=one["Key"]
            )["Body"].read()
            for one in listed
        }
