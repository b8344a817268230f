"""Documents: uploads by form and by stream, downloads by stream."""

import hashlib
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, UploadFile, status
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

router = APIRouter(prefix="/api/documents", tags=["documents"])


class Stored(BaseModel):
    """What came."""

    name: str | None
    kind: str | None
    size: int
    sha256: str


@router.post("", status_code=status.HTTP_201_CREATED)
async def upload_document(file: UploadFile, kind: Annotated[str, Form(max_length=20)]) -> Stored:
    """Takes a document of a form."""
    digest, size = hashlib.sha256(), 0
    while chunk := await file.read(64 * 1024):
        digest.update(chunk)
        size += len(chunk)
    return Stored(name=file.filename, kind=kind, size=size, sha256=digest.hexdigest())


@router.put("/raw", status_code=status.HTTP_201_CREATED)
async def stream_document(request: Request) -> Stored:
    """Takes a document as it comes, of any length."""
    digest, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return Stored(name=None, kind=None, size=size, sha256=digest.hexdigest())


@router.get("/sample")
def download_sample(size: Annotated[int, Query(ge=0, le=64 * 1024 * 1024)] = 1024) -> StreamingResponse:
    """Gives so many bytes, whose length is not told beforehand."""

    def chunks() -> Iterator[bytes]:
        left, block = size, bytes(range(256)) * 64
        while left:
            yield block[:left]
            left -= min(left, len(block))

    return StreamingResponse(chunks(), media_type="application/octet-stream")
