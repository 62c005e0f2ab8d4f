"""Packages of the flat layout; everything else is in pyproject.toml.

`alembic/` holds migrations and must stay out: as a package it would hide the
library of the same name.
"""

from setuptools import find_packages, setup

setup(
    packages=find_packages(
        include=["votepyramid*", "workflows*", "activities*", "admin_ui*"]
    ),
)
