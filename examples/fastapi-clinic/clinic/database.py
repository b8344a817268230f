"""Patients, in SQLite."""

import os
from collections.abc import Iterator

from sqlalchemy import String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import StaticPool

URL = os.environ.get("CLINIC_DATABASE", "sqlite://")

# In memory there is one database per connection, so that there must be one connection.
_memory = {"poolclass": StaticPool} if URL == "sqlite://" else {}
engine = create_engine(URL, connect_args={"check_same_thread": False}, **_memory)
_sessions = sessionmaker(engine)


class Base(DeclarativeBase):
    """Every table."""


class Patient(Base):
    """Somebody whom the clinic treats."""

    __tablename__ = "patients"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    ward: Mapped[str] = mapped_column(String(40), index=True)
    version: Mapped[int] = mapped_column(default=1)


def session() -> Iterator[Session]:
    """One session per request."""
    with _sessions() as opened:
        yield opened
