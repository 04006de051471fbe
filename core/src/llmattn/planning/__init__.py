"""What scoring a corpus would take, told before anything is paid."""

from llmattn.planning.plan import Plan, PlanPoint, make_plan
from llmattn.planning.plot import plot_plan
from llmattn.planning.text_plan import make_text_plan

__all__ = ["Plan", "PlanPoint", "make_plan", "make_text_plan", "plot_plan"]
