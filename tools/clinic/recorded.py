"""What the attacks ask around the guarded application: which requests uvicorn read at all. It judges nobody."""

import asyncio

from guarded import app as guarded
from starlette.responses import JSONResponse


class Recorded:
    """Keeps the target of every request before anybody looks at it; whoever asks uvicorn itself gets them at `/came`.

    `/api/dropped` gets no answer: its connection is cut.
    """

    def __init__(self, app):
        self.app, self.came = app, []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["path"] == "/came":
            await JSONResponse(self.came)(scope, receive, send)
            return
        if scope["type"] in ("http", "websocket"):
            self.came.append((scope["raw_path"] + b"?" + scope["query_string"]).decode("latin-1"))
            if scope["path"] == "/api/dropped":
                # uvicorn's own: nothing stands between it and us.
                send.__self__.transport.abort()
                await asyncio.sleep(0.1)
                return
        await self.app(scope, receive, send)


app = Recorded(guarded)
