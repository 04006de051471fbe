"""Can this provider score at all? Word triples whose order is plain to anyone."""

from __future__ import annotations

from attrs import frozen

from llmattn.errors import BadReply, ConfigError
from llmattn.rows import Row, Scope
from llmattn.scoring.source import ScoreSource

__all__ = ["TRIPLES", "Agreement", "probe", "probe_rows"]

TRIPLES: tuple[tuple[str, str, str], ...] = (
    ("eats", "cat", "of"),
    ("barks", "dog", "the"),
    ("drives", "car", "if"),
    ("sails", "ship", "and"),
    ("flies", "bird", "to"),
    ("swims", "fish", "but"),
    ("reads", "book", "at"),
    ("writes", "pen", "or"),
    ("drinks", "water", "than"),
    ("burns", "fire", "with"),
    ("crown", "king", "is"),
    ("throne", "queen", "by"),
    ("sword", "soldier", "from"),
    ("battle", "army", "for"),
    ("hospital", "doctor", "as"),
    ("school", "teacher", "in"),
    ("church", "priest", "on"),
    ("court", "judge", "so"),
    ("farm", "farmer", "it"),
    ("kitchen", "cook", "that"),
    ("bread", "baker", "was"),
    ("honey", "bee", "not"),
    ("milk", "cow", "be"),
    ("wool", "sheep", "had"),
    ("egg", "hen", "this"),
    ("nest", "bird", "table"),
    ("leaf", "tree", "shoe"),
    ("petal", "flower", "engine"),
    ("wave", "sea", "pencil"),
    ("sand", "beach", "piano"),
    ("snow", "winter", "spoon"),
    ("heat", "summer", "button"),
    ("moon", "night", "bottle"),
    ("sun", "day", "hammer"),
    ("thunder", "storm", "carpet"),
    ("umbrella", "rain", "candle"),
    ("glove", "hand", "river"),
    ("shoe", "foot", "cloud"),
    ("hat", "head", "wheel"),
    ("ring", "finger", "bridge"),
    ("key", "lock", "apple"),
    ("needle", "thread", "mountain"),
    ("bow", "arrow", "cheese"),
    ("cup", "tea", "ladder"),
    ("knife", "fork", "violin"),
    ("violin", "music", "potato"),
    ("paint", "brush", "horse"),
    ("money", "bank", "frog"),
    ("prison", "thief", "tulip"),
    ("wedding", "bride", "shovel"),
    ("grave", "death", "bicycle"),
    ("cradle", "baby", "rocket"),
    ("husband", "wife", "gravel"),
    ("brother", "sister", "lamp"),
    ("hungry", "food", "window"),
    ("thirsty", "water", "paper"),
    ("angry", "quarrel", "spoon"),
    ("tired", "sleep", "copper"),
    ("blind", "eye", "basket"),
    ("deaf", "ear", "garden"),
)
"""(query, key that matters more, key that matters less)."""


@frozen
class Agreement:
    """How often one channel put the two keys of a triple in the plain order."""

    channel: str
    agreed: float
    """Triples in order; a tie counts as half."""
    triples: int

    @property
    def share(self) -> float:
        """Between 0 and 1; 0.5 is chance."""
        return self.agreed / self.triples if self.triples else 0.0

    @property
    def chance(self) -> tuple[float, float]:
        """The middle 95% of what tossing a coin would give, as shares."""
        spread = 1.96 * 0.5 / self.triples**0.5 if self.triples else 0.5
        return max(0.0, 0.5 - spread), min(1.0, 0.5 + spread)

    @property
    def verdict(self) -> str:
        """In words, what the share says."""
        low, high = self.chance
        if self.share > 0.8:
            return "it can do this"
        if self.share > high:
            return "better than chance, but weak"
        return "worse than chance" if self.share < low else "no better than chance"


def probe_rows() -> list[Row]:
    """The triples as rows; the better key stands first in every other row."""
    return [
        Row(query, (better, worse) if number % 2 else (worse, better))
        for number, (query, better, worse) in enumerate(TRIPLES)
    ]


def probe(source: ScoreSource) -> list[Agreement]:
    """Score the triples and count, channel by channel.

    Raises ConfigError for a source of PREFIX scope, and what ``ScoreSource.fill`` raises.
    """
    if source.identity.scope is not Scope.PAIR:
        raise ConfigError(
            f"--probe asks for pairs of words, and {source.name} as it is set up scores words in "
            "their context. Name another provider with --provider, a chat model without --scope "
            "prefix; whether scores in context help is for `llmattn compare` to say."
        )
    scores = source.scores(probe_rows())
    counts = []
    for channel, name in enumerate(source.identity.channels):
        agreed, known = 0.0, 0
        for number, row in enumerate(scores):
            first, second = (float(value) for value in row[channel])
            better, worse = (first, second) if number % 2 else (second, first)
            if better == better and worse == worse:  # neither is NaN
                known += 1
                agreed += 1.0 if better > worse else 0.5 if better == worse else 0.0
        if not known:
            raise BadReply(f"{source.name}: no triple of the probe was scored; check its limits.")
        counts.append(Agreement(name, agreed, known))
    return counts
