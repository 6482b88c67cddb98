"""The orchestrators of a history: they start, take up what is unfinished, attend to people, and end as badly as can
be. Mostly there is one; now and then two, when the one before was taken for dead and was not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.simulation.posts import Post, assemble
from tests.simulation.timeline import Life

from clew.orchestrator.driven_run import DrivenRun
from clew.ports import CommitUnknown, Fenced, RunExists, StoreBusy, StoreError

if TYPE_CHECKING:
    from tests.simulation.world import World

ATTEND_AGAIN_MILLISECONDS_MAX = 60_000
"""What has been said is looked for again and again, ever more seldom, so that histories have an end."""


class Lives:
    """Who drives, and who did."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._timeline, self._chance, self._tell = world.timeline, world.chance, world.tell
        self.post: Post | None = None
        self._posts: list[Post] = []
        self._count = 0
        self._frozen: list[Post] = []
        """Those that are taken for dead, and come back when their runs have been taken over."""

    @property
    def acting(self) -> Post | None:
        """The orchestrator that can do something now, if there is one."""
        post = self.post
        return None if post is None or post.life.is_frozen or post.is_closing else post

    @property
    def is_alone(self) -> bool:
        return len(self._posts) == 1

    # ---- following runs ----

    def observer(self, run_id: str) -> Callable[[Any, Any], None]:
        return lambda entry, state: self._world.witness.acknowledged_entry(run_id, entry.seq)

    def follow_all(self, post: Post) -> None:
        """Somebody waits for each run that is driven there to come to rest."""
        for run in list(post.orchestrator.driver.runs.values()):
            if run not in post.followed:
                self.follow(post, run)

    def follow(self, post: Post, run: DrivenRun) -> None:
        run_id = run.state.run_id
        post.runs[run_id] = run
        post.followed.append(run)
        run.observer = self.observer(run_id)

        async def wait() -> None:
            try:
                await post.orchestrator.rested(run)
            except Fenced:
                self._tell(f"{post.life} lost {run_id}")
            except RunExists as error:
                self._tell(f"{run_id}: {error}")
            except StoreError:
                return  # told to all, and seen to where the orchestrator stops
            else:
                self._rested(post, run)
            post.followed.remove(run)

        self._timeline.within(post.life, lambda: post.life.create_task(wait()))

    def _rested(self, post: Post, run: DrivenRun) -> None:
        run_id, status = run.state.run_id, run.state.status
        self._tell(f"{post.life}: {run_id} is {status} {run.state.held}")
        if run.state.is_settled:  # what is held may have been moved on by a successor
            rests = self._world.witness.runs[run_id].rests
            self._world.witness.check(status in rests, f"{run_id}: said {status}, recorded are {rests}")

    # ---- attending to people ----

    def attend(self) -> None:
        """Have whoever drives look for what people have said: once all has ended that another has begun, since runs
        that nobody drives are called up for it."""
        post = self.acting
        if post is None:
            return

        def attend() -> None:
            if post is not self.acting or self._others_are_about(post):
                return
            with suppress(StoreBusy, CommitUnknown):
                post.orchestrator.attend()
            self.follow_all(post)

        self._timeline.within(post.life, lambda: post.tasks.soon(attend))

    def _others_are_about(self, post: Post) -> bool:
        drive = any(other is not post and not other.life.is_frozen for other in self._posts)
        return drive or any(attempt.life is not post.life for attempt in self._world.outside.alive)

    def attend_until(self, is_answered: Callable[[], bool], delay: int) -> None:
        """Attend after that time, and again, until that is answered."""

        def attend() -> None:
            if not is_answered():
                self.attend()
                self.attend_until(is_answered, min(2 * delay + 1, ATTEND_AGAIN_MILLISECONDS_MAX))

        self._timeline.after(delay, attend)

    # ---- coming ----

    def start(self) -> None:
        """A new orchestrator, which takes up whatever is unfinished."""
        self._count += 1
        life = Life(self._timeline, f"life-{self._count}")
        post = self._timeline.within(life, lambda: assemble(self._world, life))
        self.post = post
        self._posts.append(post)
        self._tell(f"{life} starts")
        if self._count > 1 and self._world.odds.strike("orchestrator that only obeys", 0.06):
            self._pass_by(post)
        else:
            self._adopt(post)

    def _pass_by(self, post: Post) -> None:
        """Somebody's own process, where nobody drives: it has what was said obeyed, perhaps begins nothing by it, and
        leaves the runs to whoever comes."""
        post.only_obeys = True
        if self._chance.random() < 0.5:
            post.orchestrator.driver.drain()
        self.attend()
        self._timeline.after(self._chance.choice((1, 50, 2_000)), lambda: self.close(post))

    def _adopt(self, post: Post) -> None:
        """Take up the runs that nobody drives. A store that is busy is asked again."""
        if post is not self.acting or post.only_obeys:
            return
        try:
            self._timeline.within(post.life, lambda: self._take_up_all(post))
        except StoreError as error:
            self._tell(f"{post.life} could not take up all: {error}")
            self._timeline.after(200, lambda: self._adopt(post))
            return
        if post.life.is_gone:
            return
        if self._chance.random() < 0.5:
            self.attend()
        frozen, self._frozen = self._frozen, []
        for other in frozen:
            if self._chance.random() < 0.5:
                self._thaw(other)  # before the successor has written a line
            else:
                delay = self._chance.choice((0, 1, 300, 20_000))
                self._timeline.after(delay, lambda other=other: self._thaw(other))

    def _take_up_all(self, post: Post) -> None:
        store = post.orchestrator.store
        for run_id, version, _, _ in store.unsettled():
            if run_id in post.orchestrator.driver.runs:
                continue
            row = self._world.store.run(run_id)
            assert row is not None
            run = post.orchestrator.take_up(run_id, version, row["origin"], self.observer(run_id))
            self._tell(f"{post.life} takes up {run_id}, {run.state.status}, epoch {run.epoch}")
            self._timeline.after(0, lambda: None if post.life.is_gone else self.follow_all(post))

    # ---- going ----

    def crashed(self, life: Life) -> None:
        self.kill(next((post for post in self._posts if post.life is life), None), life)

    def kill(self, post: Post | None, life: Life | None = None) -> None:
        """The process is gone, its attempts die soon, and another one comes when they have."""
        life = post.life if post is not None else life
        assert life is not None
        if life.is_gone:
            return
        self._tell(f"{life} is gone")
        life.end()
        self._world.outside.kill_all_of(life)
        if post is None:  # it died while it was being put together
            return
        self._posts.remove(post)
        self._world.witness.check_acknowledged()
        if post is self.post:
            self.post = None
            for other in [other for other in self._posts if not other.life.is_frozen]:
                self.kill(other)  # nobody takes anything up before whatever was started has ended
            self._timeline.after(self._chance.choice((1, 100, 60_000)), lambda: self._replace(life))
        else:
            self._inherit(life)

    def _inherit(self, life: Life) -> None:
        """What a second orchestrator drove besides goes to the first, once its attempts have ended."""
        if self._world.outside.has_attempts_of(life):
            self._timeline.after(50, lambda: self._inherit(life))
        elif self.post is not None:
            self._adopt(self.post)

    def _replace(self, life: Life) -> None:
        if self._world.outside.alive:
            self._timeline.after(50, lambda: self._replace(life))
        elif self.post is None:
            self.start()

    def stopped_loudly(self, life: Life, error: BaseException | None) -> None:
        """The orchestrator said that it can't go on; whoever runs it closes it, and starts another."""
        self._tell(f"{life} stops: {error}")
        if not isinstance(error, StoreError):
            self._timeline.errors.append(error or RuntimeError("stopped without an error"))
        for post in self._posts:
            if post.life is life:
                self.close(post)

    def close(self, post: Post) -> None:
        if post.is_closing or post.life.is_gone:
            return
        post.is_closing = True

        async def close() -> None:
            await post.orchestrator.close()
            self._timeline.after(0, lambda: self.kill(post))

        self._timeline.within(post.life, lambda: post.life.create_task(close()))

    def freeze(self, post: Post) -> None:
        """It is held still and taken for dead: its attempts are killed, another one takes its runs. Then it
        goes on as if nothing had happened."""
        life = post.life
        self._tell(f"{life} is frozen, and taken for dead")
        life.is_frozen = True
        self.post = None
        self._frozen.append(post)
        self._world.outside.kill_all_of(life)
        self._replace(life)

    def _thaw(self, post: Post) -> None:
        if post.life.is_gone:
            return
        self._tell(f"{post.life} goes on")
        self._timeline.within(post.life, lambda: self._be_sure(post))
        post.life.thaw()
        self._timeline.after(self._chance.choice((1_000, 100_000)), lambda: self.kill(post))

    def _be_sure(self, post: Post) -> None:
        """Where a record is begun, and heard of later, there is a lease: whoever was held still in between acts on none
        before it is sure that the run is still its own."""
        driver = post.orchestrator.driver
        for run in list(driver.runs.values()):
            head = self._world.store.head(run.state.run_id) if run.is_being_recorded else None
            if head is not None and head.epoch != run.epoch:
                driver.drop(run, Fenced("the lease was over"))

    def leave_one(self) -> None:
        """Whoever was taken for dead is, and the other one goes on."""
        for post in list(self._posts):
            if post is not self.post:
                self.kill(post)
        if self.post is not None and self.post.life.is_frozen:
            self.post.life.thaw()

    def end(self) -> None:
        for post in self._posts:
            post.life.end()
