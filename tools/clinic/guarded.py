"""The application with the middleware of sdk/python around it: five lines, and not one of the application's own changed.

Between the two stands what answers browsers that ask first, as in any application whose pages are at another origin.
"""

import os

from chancery import ChanceryMiddleware
from clinic.main import app as clinic
from starlette.middleware.cors import CORSMiddleware

pages = CORSMiddleware(clinic, allow_origins=["https://page.test"], allow_methods=["*"])
app = ChanceryMiddleware(
    pages, issuer=os.environ["CHANCERY_ISSUER"], audience="clinic", exempt=["/health", "/hooks/lab"]
)
