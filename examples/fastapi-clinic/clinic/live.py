"""What goes on for a while: server-sent events and a WebSocket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

router = APIRouter(prefix="/api/live", tags=["live"])

_left = 0


@router.get("/events")
async def events(
    count: Annotated[int, Query(ge=1, le=1000)] = 3, every_ms: Annotated[int, Query(ge=0, le=1000)] = 100
) -> StreamingResponse:
    """So many events, one at a time."""

    async def stream() -> AsyncIterator[str]:
        global _left
        try:
            for number in range(count):
                yield f"id: {number}\nevent: tick\ndata: {number}\n\n"
                await asyncio.sleep(every_ms / 1000)
        except asyncio.CancelledError:
            # The client went away before the end.
            _left += 1
            raise

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


@router.get("/left")
async def left() -> dict[str, int]:
    """How many clients went away before their events ended."""
    return {"left": _left}


@router.websocket("/ward/{ward}")
async def ward_socket(socket: WebSocket, ward: str) -> None:
    """Says everything back, text as text and bytes as bytes; `bye` ends it with code 4001."""
    wanted = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol="clinic.v1" if "clinic.v1" in wanted else None)
    await socket.send_json({"ward": ward})
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") == "bye":
                await socket.close(4001, "as you wish")
                return
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        return
