"""What can change about a person, in two halves that share no slot, no trait, no name and no wording."""

from __future__ import annotations

from dataclasses import dataclass

from byheart.world.facts import people as pools


@dataclass(frozen=True)
class Slot:
    """Something of which a person has a single value at a time. `{s}` is the person, `{o}` the value.

    `stated` gives a value, whether or not there was another; `changed` a new value; `ended` that there is none.
    """

    name: str
    values: tuple[str, ...]
    stated: tuple[str, ...]
    changed: tuple[str, ...]
    questions: tuple[str, ...]
    ended: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trait:
    """Something of which a person may have many at a time."""

    name: str
    values: tuple[str, ...]
    stated: tuple[str, ...]


@dataclass(frozen=True)
class Half:
    """Names, slots and traits of a half."""

    first: tuple[str, ...]
    last: tuple[str, ...]
    slots: tuple[Slot, ...]
    traits: tuple[Trait, ...]


TOWNS = tuple(a + b for a in pools.TOWN for b in pools.TOWN_END)
FIRMS = tuple(f"{t} {f}" for t in TOWNS[::3] for f in pools.FIRMS[::2])
CITIES = tuple(
    "Porto Ghent Tartu Malmo Graz Lyon Turin Leeds Bergen Vilnius Cork Basel Aarhus Girona Split Lublin".split()
)
NUMBERS = tuple(str(n) for n in range(102, 990, 7))
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())

DEV = Half(
    first=("Marta", "Jonas", "Irena", "Pavel", "Sofia", "Anders", "Lucia", "Tomas", "Greta", "Milo", "Hanna", "Viktor"),
    last=tuple(f"{t}er" for t in TOWNS[::4]) + pools.LAST[:6],
    slots=(
        Slot("home", TOWNS,
             ("{s} lives in {o}.", "{s}'s home is in {o}.", "{o} is where {s} lives."),
             ("{s} has moved to {o}.", "{s} now lives in {o}.", "{s} relocated to {o} last month."),
             ("Where does {s} live?", "In which town is {s}'s home?")),
        Slot("employer", FIRMS,
             ("{s} works for {o}.", "{s} is employed at {o}.", "The employer of {s} is {o}."),
             ("{s} has started a new job at {o}.", "{s} left for a position with {o}.", "{s} was hired by {o}."),
             ("Who does {s} work for?", "Which company employs {s}?"),
             ("{s} is out of work.", "{s} quit the job and has no employer any more.")),
        Slot("extension", NUMBERS,
             ("{s}'s phone extension is {o}.", "You can reach {s} on extension {o}.", "Dial {o} to call {s}."),
             ("{s}'s extension was changed to {o}.", "The new phone number of {s} is {o}."),
             ("What is the phone extension of {s}?", "Which number do I dial for {s}?"),
             ("{s} no longer has a phone extension.",)),
        Slot("dish", pools.DISHES,
             ("{s}'s favourite dish is {o}.", "{s} likes {o} best of all food.",
              "Nothing tastes better to {s} than {o}."),
             ("{s}'s new favourite dish is {o}.", "These days {s} prefers {o} to any other food."),
             ("What is {s}'s favourite dish?", "What food does {s} like best?")),
        Slot("manager", tuple(f"{a}{b} {c}" for a in pools.FIRST[:8] for b in pools.MIDDLE[:4] for c in pools.LAST[6:]),
             ("{s} reports to {o}.", "{s}'s manager is {o}.", "{o} is the boss of {s}."),
             ("{o} has taken over as {s}'s manager.", "{s} reports to {o} from now on."),
             ("Who does {s} report to?", "Who is the manager of {s}?"),
             ("{s} has no manager at the moment.",)),
        Slot("car", ("Volvo", "Skoda", "Fiat", "Renault", "Saab", "Lancia", "Peugeot", "Toyota", "Mazda", "Seat"),
             ("{s} drives a {o}.", "{s}'s car is a {o}.", "{s} owns a {o}."),
             ("{s} traded the car in for a {o}.", "{s} has bought a {o} to replace the old car."),
             ("What car does {s} drive?", "Which make is {s}'s car?"),
             ("{s} sold the car and cycles.", "{s} does not drive any more.")),
        Slot("training day", DAYS,
             ("{s} trains at the gym on {o}.", "{s}'s gym day is {o}.", "On {o} one finds {s} at the gym."),
             ("{s} has switched the gym day to {o}.", "{s} goes to the gym on {o} instead."),
             ("On which day does {s} go to the gym?", "When does {s} train?"),
             ("{s} gave up the gym.",)),
        Slot("doctor", tuple(f"Dr {n}" for n in ("Abel Moss", "Ina Krol", "Leo Hart", "Una Pike", "Per Dahl",
             "Eva Roth")),
             ("{s}'s doctor is {o}.", "{s} is a patient of {o}.", "{o} treats {s}."),
             ("{s} has changed doctors and sees {o}.", "{o} is the new doctor of {s}."),
             ("Who is {s}'s doctor?", "Which doctor treats {s}?")),
        Slot("project", ("Lantern", "Compass", "Driftwood", "Foxglove", "Granite", "Meridian", "Osprey", "Tamarack"),
             ("{s} is assigned to project {o}.", "{s} works on project {o}.", "Project {o} is what {s} is busy with."),
             ("{s} was moved over to project {o}.", "{s} switched to project {o}."),
             ("Which project is {s} on?", "What project is {s} assigned to?"),
             ("{s} is on no project at present.",)),
        Slot("deadline", tuple(f"{d} {m}" for m in ("March", "April", "May", "June") for d in (3, 9, 14, 21, 28)),
             ("{s}'s report is due on {o}.", "The deadline of {s}'s report is {o}.",
              "{s} must hand in the report by {o}."),
             ("The deadline for {s}'s report was pushed to {o}.", "{s}'s report is now due on {o}."),
             ("When is {s}'s report due?", "What is the deadline of {s}'s report?")),
        Slot("desk", tuple(f"{a}{n}" for a in "ABCD" for n in range(11, 40, 4)),
             ("{s} sits at desk {o}.", "{s}'s desk is {o}.", "You find {s} at desk {o}."),
             ("{s} was given desk {o}.", "{s} has changed places to desk {o}."),
             ("Where does {s} sit?", "Which desk is {s}'s?")),
        Slot("status", ("single", "engaged", "married", "divorced", "widowed"),
             ("{s} is {o}.", "{s}'s marital status is {o}."),
             ("{s} is {o} now.", "{s} has become {o}."),
             ("What is the marital status of {s}?", "Is {s} single or married?")),
    ),
    traits=(
        Trait("likes", ("opera", "chess", "hiking", "jazz", "pottery", "sailing", "gardening", "crosswords"),
              ("{s} likes {o}.", "{s} enjoys {o}.", "{s} is fond of {o}.", "{s} is also keen on {o}.")),
        Trait("visited", CITIES, ("{s} has been to {o}.", "{s} visited {o} on a holiday.",
         "{s} once spent a week in {o}.")),
        Trait("speaks", pools.LANGUAGES, ("{s} speaks {o}.", "{s} can hold a conversation in {o}.",
         "{s} also knows {o}.")),
        Trait("friend", ("Rosa Feld", "Emil Brandt", "Nora Vik", "Arno Hess", "Ida Lark", "Otto Penn"),
              ("{s} is a friend of {o}.", "{s} plays cards with {o}.", "{s} met {o} for lunch.")),
        Trait("bought", ("a kettle", "a red scarf", "two lamps", "a globe", "a tent", "a typewriter"),
              ("{s} bought {o}.", "{s} ordered {o} from a catalogue.", "{s} got {o} as a present.")),
    ),
)  # fmt: skip

TEST = Half(
    first=("Oskar", "Nadia", "Emil", "Rhea", "Casper", "Lotte", "Bruno", "Signe", "Yusuf", "Petra", "Hugo", "Amara"),
    last=tuple(f"van {t}" for t in TOWNS[1::4]) + pools.LAST[6:],
    slots=(
        Slot("school", tuple(f"{t} Academy" for t in TOWNS[::5]),
             ("{s} attends {o}.", "{s} goes to {o}.", "{s} is a pupil at {o}."),
             ("{s} transferred to {o}.", "{s} was enrolled at {o} this term."),
             ("Which school does {s} go to?", "Where is {s} a pupil?"),
             ("{s} dropped out of school.",)),
        Slot("bank", tuple(f"{t} Savings Bank" for t in TOWNS[2::5]),
             ("{s} banks with {o}.", "{s}'s account is held at {o}.", "{s} keeps the money at {o}."),
             ("{s} opened an account at {o} and closed the old one.", "{s} took the savings over to {o}."),
             ("Which bank does {s} use?", "Where does {s} have an account?")),
        Slot("instrument", pools.INSTRUMENTS,
             ("{s} is learning to play the {o}.", "{s} takes {o} lessons.", "{s} practises the {o} every evening."),
             ("{s} dropped the old instrument and took up the {o}.", "{s} is on to the {o} now."),
             ("Which instrument is {s} learning?", "What does {s} practise in the evening?"),
             ("{s} stopped taking music lessons.",)),
        Slot("team", tuple(f"{t} Rovers" for t in TOWNS[3::5]),
             ("{s} plays goalkeeper for {o}.", "{s} is under contract with {o}.", "{s} wears the shirt of {o}."),
             ("{s} signed with {o}.", "{s} was sold to {o} in the summer."),
             ("Which club does {s} play for?", "With whom is {s} under contract?"),
             ("{s} retired from football.", "{s} has no club.")),
        Slot("password hint", ("walrus", "thunder", "marble", "saddle", "violet", "anchor", "pepper", "candle"),
             ("{s}'s password hint is {o}.", "The hint for the password of {s} is {o}."),
             ("{s} set the password hint to {o}.", "The password hint of {s} was reset to {o}."),
             ("What is the password hint of {s}?",)),
        Slot("rent", tuple(f"{n} crowns" for n in range(610, 1500, 65)),
             ("{s} pays a rent of {o}.", "The rent of {s}'s flat is {o}.", "{s}'s flat costs {o} a month."),
             ("{s}'s rent was raised to {o}.", "{s} has to pay {o} in rent since the increase."),
             ("How high is {s}'s rent?", "What does {s} pay for the flat?")),
        Slot("meeting", tuple(f"{h}:{m}" for h in (8, 9, 10, 13, 14, 15) for m in ("00", "15", "45")),
             ("{s}'s weekly meeting starts at {o}.", "The weekly meeting with {s} is at {o}.",
              "{s} holds the weekly meeting at {o}."),
             ("{s}'s weekly meeting was rescheduled to {o}.", "{s} put the weekly meeting forward to {o}."),
             ("When does {s}'s weekly meeting start?", "At what time is the weekly meeting with {s}?"),
             ("{s}'s weekly meeting is cancelled for good.",)),
        Slot("hair", ("blond", "black", "auburn", "grey", "pink", "green"),
             ("{s}'s hair is {o}.", "{s} has {o} hair.", "The colour of {s}'s hair is {o}."),
             ("{s} dyed the hair {o}.", "{s}'s hair has turned {o}."),
             ("What colour is {s}'s hair?",)),
        Slot("trustee",
             tuple(f"{a}{b} {c}" for a in pools.FIRST[8:] for b in pools.MIDDLE[4:8] for c in pools.LAST[:6]),
             ("{s}'s lawyer is {o}.", "{s} is represented by {o}.", "{o} acts as counsel for {s}."),
             ("{s} replaced the lawyer with {o}.", "{s} is now represented by {o}."),
             ("Who is {s}'s lawyer?", "Who represents {s}?"),
             ("{s} has dismissed the lawyer and represents nobody but oneself.",)),
        Slot("dog", pools.PETS,
             ("{s}'s dog is called {o}.", "{s} walks a dog named {o}.", "The dog of {s} answers to {o}."),
             ("After the old dog died {s} got one called {o}.", "{s} has a new dog, {o}."),
             ("What is {s}'s dog called?", "What is the name of the dog of {s}?")),
        Slot("rank", ("private", "corporal", "sergeant", "lieutenant", "captain", "major", "colonel"),
             ("{s} holds the rank of {o}.", "{s} serves as a {o}.", "{s} is a {o} in the army."),
             ("{s} was promoted to {o}.", "{s} was made a {o}."),
             ("What is {s}'s rank?", "As what does {s} serve?")),
        Slot("diet", ("vegan", "vegetarian", "gluten-free", "kosher", "low-salt", "dairy-free"),
             ("{s} is on a {o} diet.", "{s} eats {o} food only.", "{s}'s diet is {o}."),
             ("{s} has gone over to a {o} diet.", "The doctor put {s} on a {o} diet."),
             ("What diet is {s} on?", "What kind of food does {s} eat?"),
             ("{s} eats everything again and follows no diet.",)),
    ),
    traits=(
        Trait("collects", ("stamps", "beetles", "old maps", "coins", "posters", "thimbles"),
              ("{s} collects {o}.", "{s} has a cabinet full of {o}.", "{s} also gathers {o}.")),
        Trait("allergic", ("nuts", "pollen", "cat hair", "shellfish", "wool", "penicillin"),
              ("{s} is allergic to {o}.", "{s} cannot stand {o}.", "{s} reacts badly to {o}.")),
        Trait("read", ("Middlemarch", "Ulysses", "Emma", "Dracula", "Walden", "Candide"),
              ("{s} has read {o}.", "{s} borrowed {o} from the library.", "{s} recommends {o}.")),
        Trait("sibling", ("Karl", "Ines", "Felix", "Clara", "Theo", "Olga"),
              ("{s} has a sibling named {o}.", "{o} is a sibling of {s}.", "{s} grew up with {o}.")),
        Trait("climbed", ("Ben Nevis", "Etna", "Teide", "Olympus", "Triglav", "Rysy"),
              ("{s} has climbed {o}.", "{s} went up {o} with a guide.", "{s} stood on top of {o}.")),
    ),
)  # fmt: skip

HALVES = {"dev": DEV, "test": TEST}
