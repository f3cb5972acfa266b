"""From records to spans and statistics, and on to the exporters."""

from ._assembler import Assembler
from ._closings import Closing, Closings
from ._family import Limits, Rules
from ._meter import StepMeter
from ._pipeline import Pipeline
from ._places import Place, place_of
from ._sink import Sink
from ._tables import Tables
from ._waits import Wait, classify_wait

__all__ = (
    "Assembler",
    "Closing",
    "Closings",
    "Limits",
    "Pipeline",
    "Place",
    "Rules",
    "Sink",
    "StepMeter",
    "Tables",
    "Wait",
    "classify_wait",
    "place_of",
)
