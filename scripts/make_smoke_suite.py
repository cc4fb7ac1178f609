"""Writes ``eval_suites/smoke.jsonl``: small general questions that any trained English model can answer.

Sums, sequences, capitals, opposites and plurals, four choices each. Run it after a change here:
``python scripts/make_smoke_suite.py``; the seed keeps every other line as it was.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent.parent / "eval_suites" / "smoke.jsonl"

CAPITALS = """
Afghanistan Kabul|Albania Tirana|Algeria Algiers|Angola Luanda|Argentina Buenos Aires|Armenia Yerevan|Australia Canberra
Austria Vienna|Azerbaijan Baku|Bangladesh Dhaka|Belarus Minsk|Belgium Brussels|Bhutan Thimphu|Bolivia Sucre
Botswana Gaborone|Brazil Brasilia|Bulgaria Sofia|Cambodia Phnom Penh|Cameroon Yaounde|Canada Ottawa|Chad N'Djamena
Chile Santiago|China Beijing|Colombia Bogota|Croatia Zagreb|Cuba Havana|Cyprus Nicosia|Denmark Copenhagen|Ecuador Quito
Egypt Cairo|Eritrea Asmara|Estonia Tallinn|Ethiopia Addis Ababa|Fiji Suva|Finland Helsinki|France Paris
Gabon Libreville|Georgia Tbilisi|Germany Berlin|Ghana Accra|Greece Athens|Guyana Georgetown|Haiti Port-au-Prince
Honduras Tegucigalpa|Hungary Budapest|Iceland Reykjavik|India New Delhi|Indonesia Jakarta|Iran Tehran|Iraq Baghdad
Ireland Dublin|Italy Rome|Jamaica Kingston|Japan Tokyo|Jordan Amman|Kazakhstan Astana|Kenya Nairobi|Kyrgyzstan Bishkek
Laos Vientiane|Latvia Riga|Lebanon Beirut|Libya Tripoli|Lithuania Vilnius|Madagascar Antananarivo|Malawi Lilongwe
Malaysia Kuala Lumpur|Mali Bamako|Malta Valletta|Moldova Chisinau|Mongolia Ulaanbaatar|Morocco Rabat|Mozambique Maputo
Namibia Windhoek|Nepal Kathmandu|Nicaragua Managua|Niger Niamey|Nigeria Abuja|Norway Oslo|Oman Muscat
Pakistan Islamabad|Paraguay Asuncion|Peru Lima|Poland Warsaw|Portugal Lisbon|Qatar Doha|Romania Bucharest|Russia Moscow
Rwanda Kigali|Senegal Dakar|Serbia Belgrade|Slovakia Bratislava|Slovenia Ljubljana|Somalia Mogadishu|Spain Madrid
Sudan Khartoum|Suriname Paramaribo|Sweden Stockholm|Syria Damascus|Tajikistan Dushanbe|Thailand Bangkok|Togo Lome
Tunisia Tunis|Turkey Ankara|Turkmenistan Ashgabat|Uganda Kampala|Ukraine Kyiv|Uruguay Montevideo|Uzbekistan Tashkent
Venezuela Caracas|Vietnam Hanoi|Yemen Sanaa|Zambia Lusaka|Zimbabwe Harare
"""
OPPOSITES = """
hot cold|big small|fast slow|high low|open closed|early late|happy sad|rich poor|strong weak|light dark|full empty
hard soft|young old|wet dry|loud quiet|near far|deep shallow|wide narrow|thick thin|sharp blunt|clean dirty|safe dangerous
true false|right wrong|up down|in out|on off|left right|first last|day night|love hate|war peace|buy sell|win lose
begin end|push pull|give take|come go|ask answer|laugh cry|rise fall|find lose|enter leave|accept refuse|arrive depart
increase decrease|remember forget|success failure|friend enemy|north south|east west|best worst|more less|always never
"""
PLURALS = """
cat cats|dog dogs|box boxes|bus buses|city cities|baby babies|leaf leaves|knife knives|wolf wolves|man men|woman women
child children|foot feet|tooth teeth|mouse mice|goose geese|ox oxen|church churches|dish dishes|fox foxes|hero heroes
potato potatoes|tomato tomatoes|story stories|party parties|lady ladies|country countries|life lives|wife wives|shelf shelves
half halves|loaf loaves|day days|key keys|toy toys|boy boys|glass glasses|class classes|watch watches|bench benches
"""
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

Question = tuple[str, str, list[str]]


def questions() -> Iterator[Question]:
    """Prompt, answer, and the pool wrong choices are drawn from."""
    for a in range(1, 13):
        yield from ((f"{a} + {b} =", str(a + b), _near(a + b)) for b in range(1, 13))
    yield from ((f"{a} - {b} =", str(a - b), _near(a - b)) for a in range(5, 19) for b in range(2, 5))
    yield from ((f"Counting up by one: {n - 2}, {n - 1},", str(n), _near(n)) for n in range(12, 90))
    yield from ((f"Counting up by two: {n - 4}, {n - 2},", str(n), _near(n)) for n in range(14, 80))
    yield from ((f"Counting down by one: {n + 2}, {n + 1},", str(n), _near(n)) for n in range(11, 60))
    for series, name in ((DAYS, "day"), (MONTHS, "month"), (LETTERS, "letter")):
        after = itertools.pairwise(series)
        yield from ((f"The {name} that comes right after {a} is", b, series) for a, b in after)
    yield from _pairs("The capital of {} is", CAPITALS)
    yield from _pairs("The opposite of {} is", OPPOSITES)
    yield from _pairs("The plural of {} is", PLURALS)


def _near(n: int) -> list[str]:
    return [str(n + d) for d in (-3, -2, -1, 1, 2, 3, 10) if n + d >= 0]


def _pairs(prompt: str, text: str) -> Iterator[Question]:
    pairs = [item.split(" ", 1) for item in text.replace("\n", "|").split("|") if item.strip()]
    pool = [answer for _, answer in pairs]
    yield from ((prompt.format(word), answer, pool) for word, answer in pairs)


def item(question: Question, rng: random.Random) -> dict[str, object]:
    """One line of the dataset, its choices in a seeded order."""
    prompt, answer, pool = question
    named = prompt.split()
    wrong = rng.sample(sorted({p for p in pool if p != answer and p not in named}), 3)
    choices = rng.sample([answer, *wrong], 4)
    return {"prompt": prompt, "choices": choices, "answer": choices.index(answer)}


def main() -> None:
    """Write the dataset."""
    lines = [
        json.dumps(item(question, random.Random(question[0])), ensure_ascii=False) for question in questions()
    ]
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{OUTPUT.name}: {len(lines)} items")


if __name__ == "__main__":
    main()
