"""An independent electronic post office for business-to-government messages; not affiliated with Logius."""

__version__ = "0.1.0"
