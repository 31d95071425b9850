"""The version of the package, apart from `edgessd/__init__.py` so that no module imports the package root."""

__version__ = "0.1.0"
