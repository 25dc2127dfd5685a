"""What a wheel installs: the two packages, and the commands as `degrade_cli` (the repository's folder is `cli`)."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["degrade", "degrade.*", "enhance", "enhance.*"]),
        "degrade_cli",
        "degrade_cli.studio",
    ],
    package_dir={"degrade_cli": "cli"},
)
