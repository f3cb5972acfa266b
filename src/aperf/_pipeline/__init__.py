"""From records to spans and statistics, and on to the exporters."""

from ._assembler import Assembler
from ._family import Rules
from ._pipeline import Pipeline
from ._sink import Sink
from ._tables import Tables

__all__ = ("Assembler", "Pipeline", "Rules", "Sink", "Tables")
