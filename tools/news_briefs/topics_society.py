"""What a community decides and worries about: politics, crime, health and education."""

from __future__ import annotations

from news_briefs.compose import Story, Topic
from news_briefs.words import MOVES, table

POLITICS = Topic(
    openers=(
        "The debate has filled the letters page for weeks.",
        "Journalists crowded the stairs of the town hall until late at night.",
        "It was the busiest {day} in local politics for a long time.",
        "Few decisions have been awaited with such interest.",
    ),
    asides=(
        "The opposition spoke of a missed chance.",
        "About {few} hundred people followed the events on a screen in the square.",
        "The next session is planned for {month}.",
        "Observers praised the calm tone on both sides.",
    ),
    quotes=(
        '"Now the real work begins," said {speaker} of the Reform Party.',
        '"I respect the result, but I do not like it," said councillor {speaker}.',
        '"People are tired of waiting," said {speaker}, who leads a residents group.',
    ),
    stories=(
        Story(
            slots={"share": range(51, 69), "pledge": ("rents", "bus fares", "taxes", "debts")},
            facts=(
                (
                    "Voters in {town} were called to choose a mayor on {day}.",
                    "On {day} the people of {town} voted for a mayor.",
                ),
                (
                    "With all ballots counted, {person} had {share} percent of them.",
                    "The count gave {share} percent to {person}, who has promised lower {pledge}.",
                ),
                (
                    "{rival}, mayor for the past {few} years, admitted defeat before midnight.",
                    (
                        "For {rival}, who had held the office for {few} years, it "
                        "was a bitter evening."
                    ),
                ),
            ),
            summary=(
                "{person.last} unseated {rival.last} as mayor of {town} with "
                "{share} percent of the vote."
            ),
        ),
        Story(
            slots={
                "vote": table(
                    "yes|no|did",
                    *("21|9|approved", "24|6|approved", "19|8|approved"),
                    *("16|15|narrowly approved", "14|13|narrowly approved"),
                    *("12|20|rejected", "7|23|rejected", "10|18|rejected"),
                ),
                "plan": (
                    *("ban cars from the centre", "sell the old barracks", "build a concert hall"),
                    *("close the airfield", "plant a town forest", "tear down the water tower"),
                    *("open the parks at night", "move the weekly market"),
                ),
            },
            facts=(
                (
                    "On {day} the council of {town} had to say whether the town should {plan}.",
                    "The council of {town} met on {day} to discuss whether to {plan}.",
                ),
                (
                    "After {few} hours {vote.yes} members raised their hands in favour.",
                    "In the end {vote.yes} members were in favour of the idea.",
                ),
                (
                    "Those against it numbered {vote.no}.",
                    "On the other side {vote.no} members voted against it.",
                ),
            ),
            summary=(
                "The {town} council {vote.did} a plan to {plan}, by {vote.yes} votes to {vote.no}."
            ),
        ),
        Story(
            slots={
                "office": ("housing office", "port authority", "parks department", "tax office"),
                "cause": (
                    *("unpaid bills", "a private trip", "lost files", "a secret contract"),
                    *("missing money", "a false diploma"),
                ),
            },
            facts=(
                (
                    "{person} has led the {office} in {town} for {few} years.",
                    "For {few} years the {office} in {town} has been run by {person}.",
                ),
                (
                    "On {day} the career came to a sudden end, after reports about {cause}.",
                    (
                        "Questions about {cause} had been asked since {month}; on "
                        "{day} came the resignation."
                    ),
                ),
                (
                    "{rival}, until now the deputy, moves into the office at once.",
                    "The post goes to {rival}, who came from {other} last year.",
                ),
            ),
            summary=(
                "{rival.last} replaces {person.last} at the {town} {office} "
                "after a row over {cause}."
            ),
        ),
    ),
)

CRIME = Topic(
    openers=(
        "Blue lights woke the whole street in the early hours.",
        "Detectives do not often see a case like this one.",
        "The file fills more than {few} folders.",
        "There was a moment of silence when the news was read out.",
    ),
    asides=(
        "Anyone who noticed something unusual is asked to call the police.",
        "Traces of {few} different shoes were secured.",
        "The investigation has kept officers busy since {month}.",
        "A lawyer for the family declined to comment.",
    ),
    quotes=(
        '"We followed every lead, however small," said inspector {speaker}.',
        '"Nothing ever happens here, and now this," said {speaker}, a neighbour.',
        '"I am glad that it is over," said {speaker}, who was a witness.',
    ),
    stories=(
        Story(
            slots={
                "place": (
                    *("a jewellery shop", "the post office", "a warehouse", "the yacht club"),
                    *("a pharmacy", "a music school"),
                ),
                "loot": (
                    *("watches", "violins", "coffee machines", "rare stamps", "gold coins"),
                    *("copper wire", "cameras"),
                ),
                "sum": range(20, 99),
            },
            facts=(
                (
                    "Somebody broke into {place} in {town} during the night to {day}.",
                    (
                        "When the staff of {place} in {town} came to work on {day}, "
                        "a window was broken."
                    ),
                ),
                (
                    "The shelves with the {loot} had been emptied.",
                    "Only the {loot} were gone; nothing else had been touched.",
                ),
                (
                    "The owner puts the loss at {sum} thousand crowns.",
                    "The value of the haul is given as {sum} thousand crowns.",
                ),
            ),
            summary="Burglars took {loot} worth {sum} thousand crowns from {place} in {town}.",
        ),
        Story(
            slots={
                "job": ("banker", "notary", "dentist", "pilot", "hotel manager", "art dealer"),
                "crime": (
                    *("fraud", "arson", "blackmail", "tax evasion", "forging banknotes"),
                    *("smuggling", "bribery"),
                ),
                "years": range(2, 13),
            },
            facts=(
                (
                    "{person}, who worked as a/an {job} in {town}, heard the verdict on {day}.",
                    "The trial of {person}, a/an {job} from {town}, ended on {day}.",
                ),
                (
                    "The court had no doubt that it was a case of {crime}.",
                    "After {few} witnesses the charge of {crime} was held to be proved.",
                ),
                (
                    "The sentence is {years} years, and the defence will appeal.",
                    "Judge {rival} set the sentence at {years} years.",
                ),
            ),
            summary=(
                "a/an {job} from {town}, {person.last}, must go to prison "
                "for {years} years for {crime}."
            ),
        ),
        Story(
            slots={
                "thing": (
                    *("a golden crown", "an old map", "a royal sword", "a famous cello"),
                    *("a marble lion", "a silver cup", "an ivory chess set"),
                ),
                "place": ("a garage", "a well", "an attic", "a barn", "a laundry", "a lorry"),
                "years": range(11, 40),
            },
            facts=(
                (
                    "For {years} years nobody knew what had become of {thing} from {other}.",
                    "It is {years} years since {thing} was stolen in {other}.",
                ),
                (
                    "On {day} officers searched {place} in {town} for quite another reason.",
                    "A routine check on {day} led the police to {place} in {town}.",
                ),
                (
                    "Wrapped in newspaper and hardly damaged, the treasure leaned against a wall.",
                    "Behind some boxes stood the missing piece, covered in dust.",
                ),
            ),
            summary="Police found {thing} in {place} in {town}, {years} years after it was stolen.",
        ),
    ),
)

HEALTH = Topic(
    openers=(
        "The waiting rooms have rarely been so full in {month}.",
        "For many families the announcement comes as a relief.",
        "Health is a subject on which everybody has an opinion.",
        "The telephone lines were busy from early in the morning.",
    ),
    asides=(
        "The ministry has asked for a report within {few} weeks.",
        "A helpline is open on every day of the week.",
        "Similar steps are being discussed in other towns.",
        "Pharmacies have been told what to say to customers.",
    ),
    quotes=(
        '"There is no reason to panic," said chief physician {speaker}.',
        '"We have asked for this for years," said {speaker}, who speaks for the patients.',
        '"I hope that others will learn from it," said nurse {speaker}.',
    ),
    stories=(
        Story(
            slots={
                "ward": (
                    "eye clinic",
                    "burns unit",
                    "heart centre",
                    "children's ward",
                    "sleep clinic",
                ),
                "beds": range(12, 60, 2),
            },
            facts=(
                (
                    "Until now people from {town} had to travel to {other} for treatment.",
                    "Patients from {town} have long had to be driven to {other}.",
                ),
                (
                    "That will change with the {ward} that the local hospital is building.",
                    (
                        "The hospital in {town} is now getting a/an {ward}, thanks "
                        "to a gift from {person}."
                    ),
                ),
                (
                    "There will be {beds} beds when the doors open in {month}.",
                    "Work ends in {month}, when {beds} beds will be ready.",
                ),
            ),
            summary="The hospital in {town} will open a/an {ward} with {beds} beds in {month}.",
        ),
        Story(
            slots={
                "illness": (
                    *("stomach flu", "measles", "food poisoning", "whooping cough", "skin rash"),
                    *("eye infection",),
                ),
                "source": (
                    *("a water pipe", "a wedding party", "a salad bar", "a summer camp"),
                    *("a public pool", "an ice cream van"),
                ),
                "number": range(20, 99),
            },
            facts=(
                (
                    "Doctors in {town} have been treating many cases of {illness}.",
                    (
                        "Since {day} family doctors in {town} have seen one case of "
                        "{illness} after another."
                    ),
                ),
                (
                    "So far {number} people have fallen ill.",
                    "The number of patients has risen to {number}.",
                ),
                (
                    "Experts from {other} believe that it all started with {source}.",
                    "All signs point to {source}, say experts from {other}.",
                ),
            ),
            summary="{source} is blamed for {illness} that struck {number} people in {town}.",
        ),
        Story(
            slots={
                "food": ("goat cheese", "apple juice", "oat biscuits", "tomato soup", "plum jam"),
                "cause": ("glass", "mould", "metal", "plastic", "a cleaning agent"),
                "packs": range(11, 60),
            },
            facts=(
                (
                    "The {food} made by {company} is sold in shops all over the region.",
                    "{company} has been selling {food} from its works in {town} for {few} years.",
                ),
                (
                    "On {day} the firm asked customers to bring the {food} back.",
                    "Since {day} customers can return the {food} and get their money back.",
                ),
                (
                    "Inspectors had come across {cause} in {packs} packs.",
                    "In {packs} packs there were traces of {cause}.",
                ),
            ),
            summary="{company} recalled its {food} after {cause} was found in {packs} packs.",
        ),
    ),
)

EDUCATION = Topic(
    openers=(
        "The school bell rang a little later than usual on {day}.",
        "Parents had been asking questions since the summer.",
        "There was applause in the assembly hall.",
        "Teachers agree on few things, but on this they do.",
    ),
    asides=(
        "The teachers union wants to see the figures first.",
        "A similar attempt in {other} was given up after {few} months.",
        "The details will be explained at a parents evening.",
        "Money for it comes from a private fund.",
    ),
    quotes=(
        '"Our young people can be proud," said headteacher {speaker}.',
        '"I wish that we had had this in my day," said {speaker}, a grandparent.',
        '"It was much harder than it looks," said {speaker}, one of the pupils.',
    ),
    stories=(
        Story(
            slots={
                "contest": ("Young Makers", "Bright Minds", "Science Fair", "Clever Hands"),
                "device": table(
                    "doc|noun",
                    "sorts rubbish by itself|sorts rubbish",
                    "waters plants while people are away|waters plants",
                    "reads letters to blind people|reads letters aloud",
                    "warns cyclists of trucks|warns cyclists",
                    "finds leaks in water pipes|finds leaks",
                    "turns bread into fuel|makes fuel from bread",
                ),
                "thing": ("robot", "machine", "sensor"),
                "number": range(20, 90),
            },
            facts=(
                (
                    "For months pupils of a school in {town} spent their afternoons on a {thing}.",
                    "A {thing} has kept pupils of a school in {town} busy since {month}.",
                ),
                (
                    "The {thing} {device.doc}, and it really works.",
                    "Their invention {device.doc}.",
                ),
                (
                    (
                        "On {day} the {thing} won first place among {number} entries "
                        "in the {contest} contest."
                    ),
                    "The jury of the {contest} contest liked the {thing} best of {number} entries.",
                ),
            ),
            summary=(
                "Pupils from {town} won the {contest} contest with a {thing} that {device.noun}."
            ),
        ),
        Story(
            slots={
                "subject": (
                    *("nursing", "bee keeping", "robotics", "sign language", "wine making"),
                    *("game design", "ship building", "forestry"),
                ),
                "number": range(20, 90, 5),
            },
            facts=(
                (
                    "Employers in {town} can hardly find anyone trained in {subject}.",
                    "People who know about {subject} are hard to find in {town}.",
                ),
                (
                    "From {month} the university there will therefore offer a course.",
                    "The university there will start to teach the subject in {month}.",
                ),
                (
                    "There is room for {number} students, chosen by interview.",
                    "The first year has {number} places, and {person} will be in charge.",
                ),
            ),
            summary="{town} university starts a {subject} course for {number} students in {month}.",
        ),
        Story(
            slots={
                "subject": ("mathematics", "chemistry", "history", "music", "physics", "Latin"),
                "percent": range(61, 90),
                "points": range(3, 15),
                "move": MOVES,
            },
            facts=(
                (
                    "The results of the {subject} exams in {town} were published on {day}.",
                    "On {day} the schools of {town} published the results of the {subject} exams.",
                ),
                (
                    "Of all who took part, {percent} percent passed.",
                    "The share of pupils who passed was {percent} percent.",
                ),
                (
                    "Since last year the figure {move.past} by {points} points.",
                    "Compared with last year the share {move.past} by {points} points.",
                ),
            ),
            summary=(
                "A {move.noun} of {points} points took the {subject} pass rate "
                "in {town} to {percent} percent."
            ),
        ),
    ),
)

TOPICS = (POLITICS, CRIME, HEALTH, EDUCATION)
