"""Lattices: a body with bounds, nothing more."""

from typing import Annotated

from fastapi import APIRouter, status
from pydantic import BaseModel, Field, StringConstraints

router = APIRouter(prefix="/api/lattices", tags=["lattices"])

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class Lattice(BaseModel):
    """How a lattice is laid out. Its name may be left out; spaces around it are."""

    name: Name | None = None
    dimensions: int = Field(ge=1, le=10)
    size: int = Field(ge=2, le=100)


@router.post("", status_code=status.HTTP_201_CREATED)
def create_lattice(body: Lattice) -> Lattice:
    """Lays a lattice out."""
    return body
