"""The application with the middleware of sdk/python around it: five lines, and not one of the application's own changed. Around both is
what the attacks ask: it judges nobody."""

import asyncio
import os

from chancery import ChanceryMiddleware
from clinic.main import app as clinic
from starlette.responses import JSONResponse


class Recorded:
    """Keeps the target of every request as uvicorn read it, before anybody looks at it; whoever asks uvicorn itself gets them at `/came`.

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


app = Recorded(ChanceryMiddleware(
    clinic, issuer=os.environ["CHANCERY_ISSUER"], audience="clinic", exempt=["/health", "/hooks/lab"]
))
