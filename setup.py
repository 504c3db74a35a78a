"""The wheel: the four rooms and their data files. Tests, benchmarks, notebooks and set-up stay in the checkout."""

from setuptools import find_packages, setup

ROOMS = ("conf", "transforms", "ml", "jobs")

setup(
    name="seller-credit",
    version="0.1.0",
    description="Credit for the sellers of a marketplace: events to features, scores, decisions and their reasons",
    license="Apache-2.0",
    python_requires=">=3.11",
    # Named one by one: setuptools refuses to guess in a flat layout with several top folders.
    packages=find_packages(include=[pattern for room in ROOMS for pattern in (room, f"{room}.*")]),
    # `**` as well: folders such as conf/sources hold data only and are no packages.
    package_data={
        room: [f"{place}*.{kind}" for place in ("", "**/") for kind in ("yml", "html", "j2", "css", "js", "svg", "md")]
        for room in ROOMS
    },
    install_requires=[
        "mlflow>=3.17,<4",
        "pandas<3",
        "pyarrow",
        "numpy",
        "numba",
        "pydantic>=2,<3",
        "PyYAML",
        "click",
        "rich",
        "jinja2",
        "matplotlib",
    ],
    # An extra, since a cluster brings its own Spark and a second one in its Python would shadow it.
    extras_require={"spark": ["pyspark==4.2.0", "delta-spark==4.4.0"]},
    entry_points={"console_scripts": ["seller-credit = jobs.cli:main"]},
)
