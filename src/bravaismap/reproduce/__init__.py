"""The paper, reproduced: a module for each of its figures, and the report that sets our numbers beside its own.

Each figure is a pure function that computes numbers, and one that draws them. R. K. Vasudevan et al., npj Comput.
Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7.
"""

from bravaismap.reproduce.paper import reproduce
from bravaismap.reproduce.plan import FULL, QUICK, Plan

__all__ = ["FULL", "QUICK", "Plan", "reproduce"]
