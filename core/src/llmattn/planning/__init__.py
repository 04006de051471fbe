"""What scoring a corpus would take, told before anything is paid."""

from llmattn.data.corpus import Corpus
from llmattn.planning.plan import Plan, PlanPoint, make_pair_plan
from llmattn.planning.plot import plot_plan
from llmattn.planning.text_plan import make_text_plan
from llmattn.planning.vector_plan import VectorPlan, make_vector_plan
from llmattn.rows import Scope
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource

__all__ = ["Plan", "PlanPoint", "VectorPlan", "make_plan", "make_vector_plan", "plot_plan"]


def make_plan(
    source: ScoreSource, corpus: Corpus, choice: ScoreChoice = ScoreChoice(), *, block_size: int
) -> Plan:
    """Plan the scoring of ``corpus`` with ``source``, as far as ``choice`` wants it. Nothing is
    sent.
    """
    make = make_text_plan if source.identity.scope is Scope.PREFIX else make_pair_plan
    return make(source, corpus, choice, block_size=block_size)
