"""The application with the middleware of sdk/python around it: five lines, and not one of the application's own changed."""

import os

from chancery import ChanceryMiddleware
from clinic.main import app as clinic

app = ChanceryMiddleware(
    clinic, issuer=os.environ["CHANCERY_ISSUER"], audience="clinic", exempt=["/health", "/hooks/lab"]
)
