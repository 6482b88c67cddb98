"""Restate's services, which restate_peer.py has an ASGI server serve."""

import asyncio

import restate
from measuring import LEVELS, LONG_STEP_SECONDS, LONG_STEPS, STEPS, note_step
from restate import RunOptions
from restate.exceptions import TerminalError

service = restate.Service("peer")


async def step(number):
    return {"value": number}


async def node(name, inputs):
    return {"value": name, "inputs": len(inputs)}


async def slow(number):
    await asyncio.sleep(LONG_STEP_SECONDS)
    note_step(number)


@service.handler()
async def first(ctx: restate.Context, number: int) -> dict:
    return await ctx.run_typed("step", step, RunOptions(), 1)


@service.handler()
async def chain(ctx: restate.Context, number: int) -> dict:
    for each in range(STEPS):
        await ctx.run_typed("step", step, RunOptions(), each)
    return {"done": True}


@service.handler()
async def long(ctx: restate.Context, number: int) -> dict:
    for each in range(LONG_STEPS):
        await ctx.run_typed("slow", slow, RunOptions(), each)
    return {"done": True}


@service.handler()
async def graph(ctx: restate.Context, number: int) -> dict:
    data = {}
    for level, width in enumerate(LEVELS):
        names = [f"task-{level}-{place}" for place in range(width)]
        calls = [ctx.run_typed(name, node, RunOptions(), name, data) for name in names]
        await restate.gather(*calls)
        data = {**data, **{name: await call for name, call in zip(names, calls, strict=True)}}
    return data


# --- what a user writes for rollback ---
async def undo(name):
    return {"undone": name}


async def broken(name, inputs):
    raise TerminalError(name)


@service.handler()
async def failing(ctx: restate.Context, number: int) -> dict:
    data, undos = {}, []
    try:
        for level, width in enumerate(LEVELS):
            names = [f"task-{level}-{place}" for place in range(width)]
            undos.extend(names)
            function = broken if level == 2 else node
            calls = [ctx.run_typed(name, function, RunOptions(), name, data) for name in names]
            await restate.wait_completed(*calls)
            data = {**data, **{name: await call for name, call in zip(names, calls, strict=True)}}
    except TerminalError as error:
        for name in reversed(undos):
            await ctx.run_typed(f"undo-{name}", undo, RunOptions(), name)
        return {"rolled_back": len(undos), "error": str(error)}
    return data


# --- end ---


app = restate.app(services=[service])
