"""The routes over patients: list, create, read, change, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Response, status
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from .database import Patient, session

router = APIRouter(prefix="/api/patients", tags=["patients"])
Db = Annotated[Session, Depends(session)]
PatientId = Annotated[int, Path(ge=1)]


class PatientIn(BaseModel):
    """What is told of a patient."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    ward: str = Field(pattern=r"^[a-z][a-z-]{0,39}$")


class PatientOut(PatientIn):
    """A patient, as kept."""

    model_config = ConfigDict(from_attributes=True)

    id: int


def _found(db: Session, patient_id: int) -> Patient:
    patient = db.get(Patient, patient_id)
    if patient is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "no such patient")
    return patient


@router.get("")
def list_patients(
    db: Db,
    ward: Annotated[list[str] | None, Query(max_length=5)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[PatientOut]:
    """Patients, of these wards if any are named: `?ward=a&ward=b`."""
    query = select(Patient).order_by(Patient.id.desc()).limit(limit)
    if ward:
        query = query.where(Patient.ward.in_(ward))
    return [PatientOut.model_validate(patient) for patient in db.scalars(query)]


@router.post("", status_code=status.HTTP_201_CREATED)
def create_patient(db: Db, body: PatientIn, response: Response) -> PatientOut:
    """Takes a patient in."""
    patient = Patient(**body.model_dump())
    db.add(patient)
    db.commit()
    response.headers["Location"] = f"/api/patients/{patient.id}"
    return PatientOut.model_validate(patient)


@router.get("/{patient_id}")
def read_patient(
    db: Db, patient_id: PatientId, response: Response, if_none_match: Annotated[str | None, Header()] = None
) -> PatientOut:
    """One patient; 304 if it is the version that the client has."""
    patient = _found(db, patient_id)
    tag = f'"{patient.id}-{patient.version}"'
    if if_none_match == tag:
        # An HTTPException of 304 would carry a body.
        raise NotModified(tag)
    response.headers["ETag"] = tag
    return PatientOut.model_validate(patient)


@router.put("/{patient_id}")
def change_patient(db: Db, patient_id: PatientId, body: PatientIn) -> PatientOut:
    """Replaces what is told of a patient."""
    patient = _found(db, patient_id)
    patient.name, patient.ward, patient.version = body.name, body.ward, patient.version + 1
    db.commit()
    return PatientOut.model_validate(patient)


@router.delete("/{patient_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_patient(db: Db, patient_id: PatientId) -> None:
    """Lets a patient go."""
    db.delete(_found(db, patient_id))
    db.commit()


class NotModified(Exception):
    """The client has the newest version."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self.tag = tag
