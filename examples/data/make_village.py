"""Writes village.txt: sentences about a village from a small grammar.

Who is spoken of decides what is made, with what and where, often many words later: something
that a model can learn from which words belong together. Run it with: python make_village.py
"""

from __future__ import annotations

import random
from pathlib import Path

SENTENCES = 1600

# trade: names, she or he, what the trade makes, its tools, its places, what it does
TRADES = {
    "baker": (
        ["Marta", "old Henning"],
        ["bread", "a round loaf", "a plum cake", "warm rolls"],
        ["oven", "rolling pin", "flour sack", "long wooden spoon"],
        ["the bakery", "the warm kitchen"],
        ["kneads the dough", "sifts the flour", "lights the oven"],
    ),
    "fisher": (
        ["Jonas", "Birte"],
        ["a basket of herring", "two silver eels", "fresh cod", "a fat pike"],
        ["net", "oar", "fishing line", "little boat"],
        ["the harbour", "the grey lake"],
        ["mends the net", "rows against the wind", "waits for the tide"],
    ),
    "smith": (
        ["Konrad", "his daughter Ilse"],
        ["a horseshoe", "an iron gate", "six long nails", "a new ploughshare"],
        ["hammer", "anvil", "bellows", "pair of tongs"],
        ["the forge", "the smoky workshop"],
        ["heats the iron", "strikes the anvil", "fans the fire"],
    ),
    "gardener": (
        ["Sanna", "young Peer"],
        ["red tomatoes", "a bunch of carrots", "sweet peas", "a heavy pumpkin"],
        ["spade", "watering can", "rake", "wheelbarrow"],
        ["the garden", "the glass house"],
        ["waters the beds", "pulls the weeds", "plants the seedlings"],
    ),
    "weaver": (
        ["Agnes", "quiet Tomas"],
        ["a blue shawl", "a striped blanket", "fine linen", "a woollen scarf"],
        ["loom", "spindle", "shuttle", "basket of yarn"],
        ["the weaving room", "the attic"],
        ["spins the wool", "winds the yarn", "counts the threads"],
    ),
    "shepherd": (
        ["Lukas", "little Ronja"],
        ["soft white wool", "a round cheese", "a jug of milk", "three spring lambs"],
        ["crook", "sheepdog", "tin whistle", "lantern"],
        ["the high meadow", "the stone fold"],
        ["counts the sheep", "calls the dog", "shears the old ram"],
    ),
    "teacher": (
        ["Miss Adler", "Emil"],
        ["a short poem", "a map of the coast", "a long sum", "a story about the stars"],
        ["chalk", "globe", "spelling book", "brass bell"],
        ["the schoolhouse", "the reading room"],
        ["rings the bell", "wipes the blackboard", "reads the map"],
    ),
    "musician": (
        ["Clara", "blind Anton"],
        ["a slow waltz", "a dance tune", "a sad old song", "a merry march"],
        ["fiddle", "drum", "wooden flute", "accordion"],
        ["the tavern", "the village hall"],
        ["tunes the fiddle", "hums the melody", "beats the drum"],
    ),
}
FEELINGS = ["content", "tired", "proud", "cheerful", "worried", "in no hurry"]
WEATHER = [
    ("it rains", "the roads are muddy"),
    ("it snows", "the roofs are white"),
    ("the sun shines", "the stones are warm"),
    ("the wind blows", "the shutters rattle"),
    ("fog hangs over the fields", "nobody sees the church tower"),
]
TIMES = ["at dawn", "in the morning", "at noon", "in the evening", "after supper", "on market day"]
MAKES = {
    "baker": "bakes",
    "fisher": "catches",
    "smith": "forges",
    "gardener": "grows",
    "weaver": "weaves",
    "shepherd": "brings",
    "teacher": "writes",
    "musician": "plays",
}
MALE = {"old Henning", "Jonas", "Konrad", "young Peer", "quiet Tomas", "Lukas", "Emil"}
MALE.add("blind Anton")


def sentence(draw: random.Random) -> str:
    """One sentence; everything in it belongs to one or two trades."""
    trade, other = draw.sample(sorted(TRADES), 2)
    names, goods, tools, places, acts = TRADES[trade]
    other_names, other_goods, _, other_places, other_acts = TRADES[other]
    name, friend = draw.choice(names), draw.choice(other_names)
    good, tool, place, act = (draw.choice(x) for x in (goods, tools, places, acts))
    other_good, other_place = draw.choice(other_goods), draw.choice(other_places)
    time, (rain, sign) = draw.choice(TIMES), draw.choice(WEATHER)
    feeling = draw.choice(FEELINGS)
    they, their = ("he", "his") if name in MALE else ("she", "her")
    makes, other_makes = MAKES[trade], MAKES[other]
    forms = [
        f"{name} the {trade} {makes} {good} {time}.",
        f"{time}, {name} {act} in {place}.",
        f"when {rain}, {name} stays in {place} and {act}.",
        f"the {trade} {act}, for {they} {makes} {good} {time}.",
        f"{name} cannot find the {tool}, so {they} is {draw.choice(['worried', 'cross'])}.",
        f'"where is my {tool}?" asks {name} the {trade}.',
        f'"who {makes} {good}?" asks {friend}; "the {trade} does," says {name}.',
        f"{name} gives {good} to {friend} and gets {other_good} for it.",
        f"{friend} {other_makes} {other_good}, but {name} {makes} {good}.",
        f"without {their} {tool}, the {trade} cannot work in {place}.",
        f"if {rain}, {sign}, and {friend} {draw.choice(other_acts)} in {other_place}.",
        f"{name} is {feeling}, because {they} {makes} {good} today.",
        f"the {tool} of the {trade} lies in {place}.",
        f"{name} walks from {place} to {other_place} {time}, and {rain}.",
        f"{friend} the {other} knows that {name} {makes} {good} in {place}.",
    ]
    text = draw.choice(forms)
    start = 1 if text[0] == '"' else 0
    return text[:start] + text[start].upper() + text[start + 1 :]


def main() -> None:
    """Write SENTENCES different sentences beside this file."""
    draw = random.Random(7)  # noqa: S311  the same text every time; nothing secret
    found: dict[str, None] = {}
    while len(found) < SENTENCES:
        found[sentence(draw)] = None
    path = Path(__file__).with_name("village.txt")
    path.write_text("\n".join(found) + "\n", encoding="utf-8")
    print(f"{path.name}: {len(found)} sentences, {sum(len(s.split()) for s in found)} words")


if __name__ == "__main__":
    main()
