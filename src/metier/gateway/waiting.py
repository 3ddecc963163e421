"""Waits for an answer that a specialist has to write, no longer than its settings say."""

from __future__ import annotations

import asyncio

from metier.gateway.calls import Decision


async def settled(decision: Decision) -> Decision:
    """The decision once its answer is written; `pending.otherwise` where the desk has no room or takes too long.

    Cancelled, it gives back its place in the queue. An answer that is being written is written to its end, unread.
    """
    pending = decision.pending
    if pending is None:
        return decision
    future = pending.desk.submit(pending.work, pending.max_waiting)
    if future is None:
        return pending.otherwise
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), pending.timeout_s)
    except TimeoutError:
        pending.desk.gave_up()
        return pending.otherwise
