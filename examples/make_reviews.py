"""Write ``reviews.csv``: some three hundred reviews of things that nobody sells.

    python examples/make_reviews.py

A part is written out below, the rest is put together from openings, details and closings, the same
each time. Some rows say the same as others, some say nothing at all: both happen in real tables.
"""

from __future__ import annotations

import csv
import datetime
import itertools
import random
from pathlib import Path

HERE = Path(__file__).parent
ROWS = 300
REPEATED = 24
EMPTY = 9

PRODUCTS = ("kettle", "desk lamp", "rain jacket", "headset", "bicycle bell", "coffee grinder", "tent", "keyboard")

WRITTEN: tuple[tuple[int, str], ...] = (
    (5, "I like you. I love you."),
    (5, "Bought one for my mother, then went back and bought one for myself."),
    (5, "Three winters of daily use and it still looks new."),
    (5, "I have recommended it to everyone at work, and two of them have already thanked me."),
    (5, "Exactly what the picture shows. Wonderful quality, quick delivery, friendly note in the box 😊"),
    (5, "My daughter refuses to leave the house without it ❤️"),
    (5, "Best thing I bought this year, and I bought a car."),
    (5, "Love it!"),
    (5, "Superbe produit, je suis ravie de mon achat."),
    (5, "Bin begeistert: leise, schnell und gut verarbeitet."),
    (5, "Excelente, funciona mejor de lo que esperaba 👍"),
    (5, "とても気に入りました。毎日使っています。"),
    (4, "Good value. The manual is a riddle, but you hardly need it."),
    (4, "Happy with it so far; ask me again after the summer."),
    (4, "Does the job well and looks nice on the shelf."),
    (4, "Molto bello, anche se un po' più piccolo di quanto pensassi."),
    (4, "Works great with gloves on, which is all I wanted."),
    (4, "Solid. I took one star off for the smell of the packaging."),
    (3, "It is fine. Nothing to praise, nothing to complain about."),
    (3, "Arrived on Tuesday. Have not used it enough to say more."),
    (3, "Average quality for an average price."),
    (3, "Half of the functions are excellent, the other half I do not understand."),
    (3, "Geht so. Für den Preis in Ordnung."),
    (3, "It does what the box says, slowly."),
    (3, "The colour is called blue. I would call it a long discussion."),
    (2, "Nice idea, disappointing execution."),
    (2, "The first one was broken, the second one is loud."),
    (2, "Smaller than expected and the lid does not close properly."),
    (2, "Un peu déçu, la batterie tient à peine deux heures."),
    (2, "Support answered after nine days, with a question."),
    (1, "Broke on the second day. Do not buy."),
    (1, "I hate it. It leaks, it squeaks, and now it smells."),
    (1, "Waste of money 😡"),
    (1, "Terrible. I returned it and am still waiting for the refund."),
    (1, "Nie wieder. Schlecht verarbeitet und der Kundendienst antwortet nicht."),
    (1, "Muy malo, dejó de funcionar a la semana."),
    (1, "The worst purchase of my life, and I once bought a horse by post."),
    (1, 'He said "it can\'t break"; it broke; he said "not like that".'),
    (4, "Line one is good.\nLine two is good as well."),
    (5, "   Great!   "),
)

OPENINGS: dict[int, tuple[str, ...]] = {
    5: ("I love this {p}.", "What a wonderful {p}!", "This {p} is excellent.", "Finally a {p} that simply works."),
    4: ("A good {p}.", "I am pleased with this {p}.", "Nice {p}, well made.", "Quite happy with the {p}."),
    3: ("The {p} is okay.", "A {p} like any other.", "It is a {p}.", "The {p} does what it should, more or less."),
    2: ("Disappointing {p}.", "A rather poor {p}.", "I am disappointed with this {p}.", "A dull {p}."),
    1: ("This {p} is awful.", "I am sorry I bought this {p}.", "Terrible {p}.", "The {p} was broken when it came."),
}
#: Of each product what is good about it, then what is bad.
DETAILS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "kettle": (
        ("Boils a litre in two minutes", "The lid opens with one finger", "You hardly hear it"),
        ("The handle gets hot", "It drips when you pour", "There is rust inside already"),
    ),
    "desk lamp": (
        ("The light is warm and does not flicker", "The arm stays where you put it", "Three levels are just enough"),
        ("The arm sinks by evening", "It hums", "The switch is at the back, where nobody finds it"),
    ),
    "rain jacket": (
        ("It kept me dry in a storm", "The hood fits over a helmet", "It folds into its own pocket"),
        ("Water comes in at the shoulders", "The zip got stuck on the first day", "You sweat in it"),
    ),
    "headset": (
        ("Voices are clear even on the train", "It folds into a small bag", "The battery lasts all week"),
        ("The left side crackles", "It hurts after an hour", "The battery is empty by noon"),
    ),
    "bicycle bell": (
        ("Everybody turns round", "It fits on a thick handlebar", "The sound is friendly and loud"),
        ("It rings by itself on cobbles", "The screw rusted in a week", "Nobody hears it"),
    ),
    "coffee grinder": (
        ("The grounds are even", "Two cups take half a minute", "It is easy to clean"),
        ("It wakes the whole house", "The crank came off", "Half of the coffee lands on the table"),
    ),
    "tent": (
        ("Up in five minutes, alone", "Dry after a night of rain", "It sleeps two and their dog"),
        ("One pole split in the wind", "It smells of plastic", "We woke up in a puddle"),
    ),
    "keyboard": (
        ("The keys feel just right", "It is quiet enough for the office", "It wakes up at once"),
        ("The space bar sticks", "The letters wore off in a month", "It loses its connection twice a day"),
    ),
}
CLOSINGS: dict[int, tuple[str, ...]] = {
    5: ("Would buy it again tomorrow.", "Thank you!", "Five stars.", "Perfect."),
    4: ("Recommended.", "Good for the price.", "I would buy it again.", ""),
    3: ("Let us see.", "No strong feelings.", "It will do.", ""),
    2: ("I will look for another.", "For that price I wanted better.", "A pity.", ""),
    1: ("Never again.", "I want my money back.", "Stay away.", "Zero stars if I could."),
}


def _detail(chance: random.Random, product: str, stars: int) -> str:
    good, bad = DETAILS[product]
    if stars == 3:
        return f"{chance.choice(good)}, but {_lower(chance.choice(bad))}"
    return chance.choice(good if stars > 3 else bad)


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def reviews() -> list[tuple[int, str, int, str | None, str]]:
    """Return (id, product, stars, review, written_on), always the same."""
    chance = random.Random(2026)
    composed: list[tuple[str, int, str | None]] = []
    for product, stars in itertools.islice(itertools.cycle(itertools.product(PRODUCTS, OPENINGS)), ROWS):
        opening = chance.choice(OPENINGS[stars]).format(p=product)
        text = f"{opening} {_detail(chance, product, stars)}. {chance.choice(CLOSINGS[stars])}"
        composed.append((product, stars, text.strip()))
    chance.shuffle(composed)

    own = [(chance.choice(PRODUCTS), stars, text) for stars, text in WRITTEN]
    rest = composed[: ROWS - len(own) - REPEATED - EMPTY]
    repeated = [chance.choice(own[:20]) for _ in range(REPEATED)]
    empty = [(chance.choice(PRODUCTS), chance.randint(1, 5), None) for _ in range(EMPTY)]
    rows = [*own, *rest, *repeated, *empty]
    chance.shuffle(rows)
    first = datetime.date(2026, 1, 1)
    return [
        (number, product, stars, text, str(first + datetime.timedelta(days=number % 270)))
        for number, (product, stars, text) in enumerate(rows, start=1)
    ]


def main() -> None:
    with (HERE / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "product", "stars", "review", "written_on"))
        writer.writerows(reviews())


if __name__ == "__main__":
    main()
