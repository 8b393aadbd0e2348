"""Forms of common English verbs, and words that tell a person from a place or a role."""

from __future__ import annotations

AGENT = frozenset(
    (
        "sign approve manage lead run found write teach repair keep pay own direct chair edit design build paint "
        "cook bake clean train hire supervise coordinate handle maintain inspect order book drive report collect "
        "publish invent discover compose organise organize review check answer prepare deliver fix plan lend guard "
        "sell buy audit issue grant lock feed tune host create establish restore translate record draw carve donate "
        "fund command represent replace look deal serve approve decide choose teach oversee operate administer "
        "write service stock monitor schedule assign welcome greet empty wash wind light sweep distribute verify "
        "test update"
    ).split()
)
EVENT = frozenset(
    "leave arrive depart return open close start begin end finish meet run sail expire reopen land stop sound".split()
)
PLACE = frozenset("live work meet stand lie sit sleep park stay dock moor start end".split())
_IRREGULAR = {
    "leave": ("left", "left"),
    "begin": ("began", "begun"),
    "run": ("ran", "run"),
    "meet": ("met", "met"),
    "write": ("wrote", "written"),
    "build": ("built", "built"),
    "keep": ("kept", "kept"),
    "pay": ("paid", "paid"),
    "lead": ("led", "led"),
    "teach": ("taught", "taught"),
    "take": ("took", "taken"),
    "make": ("made", "made"),
    "sell": ("sold", "sold"),
    "buy": ("bought", "bought"),
    "draw": ("drew", "drawn"),
    "drive": ("drove", "driven"),
    "stand": ("stood", "stood"),
    "lie": ("lay", "lain"),
    "sit": ("sat", "sat"),
    "sleep": ("slept", "slept"),
    "feed": ("fed", "fed"),
    "lend": ("lent", "lent"),
    "choose": ("chose", "chosen"),
    "oversee": ("oversaw", "overseen"),
    "deal": ("dealt", "dealt"),
    "wind": ("wound", "wound"),
    "light": ("lit", "lit"),
    "sweep": ("swept", "swept"),
    "go": ("went", "gone"),
    "have": ("had", "had"),
    "cost": ("cost", "cost"),
    "hold": ("held", "held"),
}
_DOUBLED = frozenset("plan stop".split())


def _third(base: str) -> str:
    if base == "have":
        return "has"
    if base.endswith(("s", "x", "z", "ch", "sh", "o")):
        return base + "es"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + "s"


def _past(base: str) -> str:
    if base in _DOUBLED:
        return base + base[-1] + "ed"
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ied"
    return base + "ed"


_BASES = AGENT | EVENT | PLACE | set(_IRREGULAR) | {"carry", "call", "locate", "store", "use", "need", "name", "open"}
THIRD = {_third(b): b for b in _BASES}
PAST = {_IRREGULAR.get(b, (_past(b), ""))[0]: b for b in _BASES if b not in ("cost", "run")}
PARTICIPLES = {_IRREGULAR[b][1] if b in _IRREGULAR else _past(b) for b in _BASES} | {"known", "set", "given"}

PLACES = frozenset(
    (
        "Creek Canyon Valley Forest Desert Ocean Sea Strait Beach Point Cape Fort Castle Palace Abbey Cathedral "
        "Highway Route Railway Airport Festival League Cup Army Navy Regiment Force Games HMS Air Transport Airlines "
        "Records Press Times Journal News Channel Theatre Theater Gallery Foundation Association Federation Party "
        "Street Road Avenue Lane Square Harbour Harbor Office Bridge Hall House Rock Island Isle River Lake Mount "
        "Mountain Hill University School College Company Bank Church Council Committee Department Team Board "
        "Society Institute Museum Library Station Port Park Bay City Town Village County State Republic Kingdom "
        "North South East West New Great Old Upper Lower Centre Center Hospital Club Union Guild Court Tower "
        "Lighthouse Quay Pier Dock Inn Hotel Cafe Ministry Agency Group Limited Ltd Inc Handbook Act Plan Policy "
        "Day Week Month Year Service Network"
    ).split()
)
ROLES = (
    "master manager director secretary treasurer keeper officer mayor head chief captain warden leader chair "
    "chairman chairwoman chairperson president editor author founder owner boss contact coordinator supervisor "
    "engineer clerk cook librarian nurse doctor teacher principal curator inspector caretaker janitor "
    "administrator accountant lead deputy assistant guard guide pilot skipper foreman receptionist mechanic "
    "architect designer inventor composer winner host steward baker gardener porter driver conductor trainer "
    "dean provost judge sheriff"
).split()
ATTRIBUTES = frozenset(
    (
        "password code fee price fine colour color motto name nickname number capital deadline limit address phone "
        "cost salary rate currency population height length depth width weight temperature symbol language title "
        "password pin budget rent target maximum minimum speed frequency channel extension room size age anthem "
        "emblem flower dish"
    ).split()
)
