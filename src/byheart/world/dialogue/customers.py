"""Users who get the same questions again and again, and answer as they like: mostly as others do, sometimes not.

Everybody knows what most people answer. A user shares that on some topics and differs for good on others, departs from
their own ways now and then, and says other things besides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from byheart.core.errors import BadInput


@dataclass(frozen=True)
class Topic:
    """A question in several wordings, and the replies that there are; most people give the first."""

    name: str
    questions: tuple[str, ...]
    replies: tuple[str, ...]


TOPICS = (
    Topic("drink", ("What can I get you to drink?", "Anything to drink with that?", "Which drink shall I order?"),
          ("A coffee, please.", "Green tea for me.", "Just sparkling water.", "I'd like an apple juice.")),
    Topic("seat", ("Where would you like to sit?", "Which seat shall I book?", "Do you have a wish for the seat?"),
          ("By the window, please.", "On the aisle, as always.", "Right at the back.", "Close to the exit.")),
    Topic("pay", ("How would you like to pay?", "What means of payment do you use?", "How shall we settle the bill?"),
          ("With my card.", "I pay in cash.", "Send me an invoice.", "By bank transfer.")),
    Topic("call", ("How may I reach you?", "What is the best way to get in touch?", "How shall we contact you later?"),
          ("By email is best.", "Give me a ring.", "Write me a letter.", "Leave a text message.")),
    Topic("music", ("What shall I play?", "Which music do you want to hear?", "Any music while you work?"),
          ("Some pop songs.", "Old jazz records.", "A string quartet.", "Nothing but silence.")),
    Topic("bread", ("Which bread would you like?", "What bread goes with the soup?", "Which loaf shall I cut?"),
          ("White rolls, thanks.", "Dark rye bread.", "Something without gluten.", "A corn loaf.")),
    Topic("time", ("When shall we meet?", "What time of day suits you?", "When should I come by?"),
          ("In the afternoon.", "At dawn, before work.", "Late at night.", "During the lunch break.")),
    Topic("way", ("How do you get here?", "How will you travel?", "What means of transport do you take?"),
          ("I come by car.", "On my bicycle.", "I take the tram.", "I walk all the way.")),
    Topic("read", ("What would you like to read?", "Which book shall I put aside?", "Any wishes from the library?"),
          ("A crime novel.", "Poems, short ones.", "Something on history.", "A book on gardening.")),
    Topic("pet", ("What animal shall we look after?", "Which pet will you bring?", "Who is the animal with you?"),
          ("It's my dog.", "My grey parrot.", "A pair of rabbits.", "Only the tortoise.")),
    Topic("sport", ("Which class shall I enrol you in?", "What sport do you want to do?", "What exercise do you plan?"),
          ("Running, I think.", "Rowing on the lake.", "A fencing lesson.", "Swimming lengths.")),
    Topic("room", ("Which room do you prefer?", "What kind of room shall I reserve?", "Any wish for the room?"),
          ("One with a balcony.", "The one in the cellar.", "A room facing the yard.", "Under the roof, please.")),
)  # fmt: skip
TALK = (
    "The tram was late again.", "What a grey morning.", "My shoes are wet.", "It smells of paint here.",
    "The queue was long.", "I forgot my scarf.", "There was snow on the hills.", "The lift is broken, by the way.",
    "I slept badly.", "The market was crowded.",
)  # fmt: skip


@dataclass(frozen=True)
class Exchange:
    """A question to a user, the message that came, which reply it holds, and which replies there are."""

    question: str
    message: str
    reply: str
    topic: Topic


class Customer:
    """A user with lasting preferences.

    Parameters
    ----------
    different: chance that a preference is not that of most. strays: chance that a reply departs from the preference.
    talks: chance of a further sentence on something else. seed: of the user.

    >>> from itertools import islice
    >>> [e.message for e in islice(Customer(seed=1).visit(0), 2)]
    ['I slept badly. A crime novel.', 'The one in the cellar. The lift is broken, by the way.']
    """

    def __init__(self, *, different: float = 0.5, strays: float = 0.1, talks: float = 0.5, seed: int = 0) -> None:
        for name, value in (("different", different), ("strays", strays), ("talks", talks)):
            if not 0 <= value <= 1:
                raise BadInput(f"{name}={value} is no chance; give a number from 0 to 1")
        self.strays, self.talks, self.seed = strays, talks, seed
        rng = np.random.default_rng(seed)
        self.likes = {t.name: int(rng.integers(1, 4)) if rng.random() < different else 0 for t in TOPICS}

    def visit(self, number: int, *, strays: bool = True) -> Iterator[Exchange]:
        """One exchange on each topic, in an order and in wordings drawn for this visit."""
        rng = np.random.default_rng([self.seed, number])
        for n in rng.permutation(len(TOPICS)):
            topic = TOPICS[n]
            wording, stray, other, talk, place = (
                rng.integers(3),
                rng.random(),
                rng.integers(4),
                rng.random(),
                rng.random(),
            )
            chosen = int(other) if strays and stray < self.strays else self.likes[topic.name]
            sentences = [topic.replies[chosen]]
            if talk < self.talks:
                sentences.insert(int(place < 0.5), TALK[int(rng.integers(len(TALK)))])
            yield Exchange(topic.questions[int(wording)], " ".join(sentences), topic.replies[chosen], topic)
