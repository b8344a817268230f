"""The application: `uvicorn clinic.main:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from . import documents, lattices, live, patients, results
from .database import Base, engine


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """The tables are there before the first request."""
    Base.metadata.create_all(engine)
    yield


app = FastAPI(title="Clinic", version="1.0.0", lifespan=lifespan)
for part in (patients, lattices, documents, live, results):
    app.include_router(part.router)


@app.exception_handler(patients.NotModified)
def not_modified(_: Request, error: patients.NotModified) -> Response:
    """304 has no body."""
    return Response(status_code=304, headers={"ETag": error.tag})


@app.get("/health", tags=["operations"])
def health() -> dict[str, str]:
    """It runs."""
    return {"status": "ok"}


@app.post("/api/visit", tags=["operations"], status_code=204)
def visit(response: Response) -> None:
    """Two cookies at once."""
    response.set_cookie("clinic-theme", "dark", httponly=True)
    response.set_cookie("clinic-lang", "cs", httponly=True)


@app.api_route("/api/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def echo(request: Request) -> dict[str, object]:
    """What came, as this application sees it. Left over from debugging, and in no documentation."""
    return {
        "method": request.method,
        "path": request.url.path,
        "raw_path": request.scope["raw_path"].decode("latin-1"),
        "query": request.url.query,
        "client": request.client.host if request.client else None,
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.raw],
        "body": (await request.body()).decode("latin-1"),
    }
