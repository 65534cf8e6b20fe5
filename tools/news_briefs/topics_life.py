"""What happens in free time and around it: sport, weather, science, culture and local life."""

from __future__ import annotations

from news_briefs.compose import Story, Topic
from news_briefs.words import HUNDREDS, RIVERS, table

SPORT = Topic(
    openers=(
        "Supporters had waited since {month} for an afternoon like this.",
        "Long queues stood at the gates, and every car park was full by noon.",
        "Nobody at the ground had expected an easy week.",
        "There was plenty to talk about in the sports bars this week.",
    ),
    asides=(
        "Tickets for the next event go on sale early next month.",
        "Local radio carried the news live, and the shops nearby stayed open late.",
        "The last time there was so much excitement was {few} years ago.",
        "A film crew has been following the season for a documentary.",
    ),
    quotes=(
        '"We stayed calm and trusted our training," said coach {speaker}.',
        '"I have hardly slept since I heard," admitted {speaker}, who runs the fan club.',
        '"It could have gone either way," wrote the columnist {speaker}.',
    ),
    stories=(
        Story(
            slots={
                "cup": ("Harvest Cup", "Coast Cup", "Valley Cup", "Lantern Cup", "Miners Cup"),
                "score": table(
                    "goals|did",
                    *("1-0|edge", "2-1|edge", "3-2|edge"),
                    *("3-1|beat", "2-0|beat", "4-0|crush", "5-1|crush"),
                ),
                "minute": range(11, 40),
            },
            facts=(
                (
                    "{town} Rovers met {other} Albion in the {cup} on {day}.",
                    "On {day} the {cup} brought {other} Albion to the home of {town} Rovers.",
                ),
                (
                    "After {minute} minutes {person} put the hosts ahead.",
                    "The hosts took the lead when {person} scored after {minute} minutes.",
                ),
                (
                    "The hosts were still in front at the whistle, and {score.goals} it was.",
                    "When the referee ended the match, the board read {score.goals}.",
                ),
            ),
            summary="{person.last} helped {town} {score.did} {other} {score.goals} in the {cup}.",
        ),
        Story(
            slots={"distance": range(60, 200, 10), "gap": range(12, 50), "field": HUNDREDS},
            facts=(
                (
                    "The {distance}-kilometre cycle race from {town} to {other} was held on {day}.",
                    (
                        "On {day} {field} cyclists left {town} for {other}, "
                        "{distance} kilometres away."
                    ),
                ),
                (
                    "{person} broke away on the last hill and was never seen again by {rival}.",
                    "On the last hill {person} attacked, and {rival} could not follow.",
                ),
                (
                    "At the line {gap} seconds lay between the two.",
                    "The clock showed a gap of {gap} seconds at the finish.",
                ),
            ),
            summary=(
                "{person.last} won the race from {town} to {other}, {gap} "
                "seconds before {rival.last}."
            ),
        ),
        Story(
            slots={"role": ("goalkeeper", "defender", "striker", "winger", "midfielder")},
            facts=(
                (
                    "{town} Rovers have been looking for a new {role} since {month}.",
                    "Since {month} {town} Rovers have had to play without a regular {role}.",
                ),
                (
                    "The club now says that {person} will join from {other} Albion.",
                    "On {day} {other} Albion agreed to let {person} move to the club.",
                ),
                (
                    "The contract runs for {few} seasons, according to people close to the talks.",
                    "The player has signed for {few} seasons, and the fee was kept secret.",
                ),
            ),
            summary="{town} signed {role} {person.last} from {other} on a {few}-year contract.",
        ),
    ),
)

WEATHER = Topic(
    openers=(
        "The forecast had warned of it, but few people had listened.",
        "Older residents say that they have never seen such a/an {month}.",
        "The sky was still clear when most people went to bed.",
        "Umbrellas and boots have been sold out for days.",
    ),
    asides=(
        "The weather service expects calmer days from {day} on.",
        "Several trains were cancelled, and buses ran late.",
        "Insurers have begun to count the damage.",
        "A shelter with {few} dozen beds was opened in the sports hall.",
    ),
    quotes=(
        '"I have never seen anything like it," said {speaker}, who runs a bakery.',
        '"Please stay at home if you can," fire chief {speaker} told residents.',
        '"Our neighbours have been wonderful," said {speaker}, a retired teacher.',
    ),
    stories=(
        Story(
            slots={
                "speed": range(90, 150, 5),
                "homes": HUNDREDS,
                "place": (
                    *("the town hall", "the old mill", "the bus station", "the swimming pool"),
                    *("the covered market", "the sports hall"),
                ),
            },
            facts=(
                (
                    "A storm reached {town} shortly before dawn on {day}.",
                    "Shortly after midnight a storm came in from the sea and crossed {town}.",
                ),
                (
                    "Gusts of {speed} kilometres an hour tore the roof off {place}.",
                    "The roof of {place} gave way to gusts of {speed} kilometres an hour.",
                ),
                (
                    "By noon {homes} homes were still without electricity.",
                    "Falling trees brought down lines, and {homes} homes went dark.",
                ),
            ),
            summary="A storm in {town} damaged {place} and cut power to {homes} homes.",
        ),
        Story(
            slots={"river": RIVERS, "number": range(20, 90, 5), "rain": range(3, 9)},
            facts=(
                (
                    "It has rained for {rain} days without a break in the hills above {town}.",
                    "The rain over {town} has not stopped for {rain} days.",
                ),
                (
                    "On {day} the river {river} rose over its banks and filled the lower streets.",
                    "Water from the river {river} ran through the lower streets on {day}.",
                ),
                (
                    "Boats took {number} people from their houses to a school on the hill.",
                    "Fire crews brought {number} people to safety, some of them from rooftops.",
                ),
            ),
            summary=(
                "The {river} flooded {town} after {rain} days of rain, and "
                "{number} people were rescued."
            ),
        ),
        Story(
            slots={
                "degrees": range(31, 43),
                "years": range(20, 90, 10),
                "month": ("April", "May", "June", "July", "August", "September"),
            },
            facts=(
                (
                    "Thermometers in {town} showed {degrees} degrees on {day}.",
                    "On {day} the station at {town} measured {degrees} degrees in the shade.",
                ),
                (
                    "No {month} day has been so hot there for {years} years.",
                    "The last {month} day as hot as that was {years} years ago.",
                ),
                (
                    "Schools sent their pupils home before lunch.",
                    "The council handed out water at {few} places in the centre.",
                ),
            ),
            summary="{town} had its hottest {month} day in {years} years, at {degrees} degrees.",
        ),
    ),
)

SCIENCE = Topic(
    openers=(
        "Good news from the laboratories is rare in {month}.",
        "It began with a note in the margin of an old book.",
        "Few people outside the field had heard of the project until now.",
        "The phone in the institute has not stopped ringing since {day}.",
    ),
    asides=(
        "The work was paid for by a foundation and took {few} years to prepare.",
        "Colleagues abroad called the result surprising but sound.",
        "The full report will appear in a journal later this year.",
        "A public lecture on the subject is planned.",
    ),
    quotes=(
        '"We checked everything twice, then once more," said {speaker}, a member of the team.',
        '"This is the reason why I became a scientist," said {speaker}.',
        '"There is still a great deal that we do not know," warned the physicist {speaker}.',
    ),
    stories=(
        Story(
            slots={
                "find": (
                    *("a stone bridge", "a wooden boat", "a bronze bell", "a clay oven"),
                    *("a painted tomb", "a silver mask", "a grain store", "a mosaic floor"),
                ),
                "age": ("1,500", "2,000", "3,000", "4,000", "5,000"),
                "depth": range(2, 9),
            },
            facts=(
                (
                    "Archaeologists from {town} have been digging near {other} since {month}.",
                    "Since {month} a team of archaeologists from {town} has worked near {other}.",
                ),
                (
                    "Under {depth} metres of clay they came upon {find}.",
                    "What they struck on {day}, {depth} metres down, was {find}.",
                ),
                (
                    "Tests on the soil point to an age of {age} years.",
                    "To judge from the soil, the find is probably {age} years old.",
                ),
            ),
            summary="Archaeologists discovered {find} from about {age} years ago near {other}.",
        ),
        Story(
            slots={
                "habit": table(
                    "doc|noun",
                    "walked to work|walking to work",
                    "sang in a choir|singing",
                    "worked in a garden|gardening",
                    "swam in cold water|cold baths",
                    "took a nap after lunch|short naps",
                    "ate nuts|eating nuts",
                ),
                "risk": table(
                    "doc|noun",
                    "caught a cold|colds",
                    "slept badly|poor sleep",
                    "had back pain|back pain",
                    "complained of headaches|headaches",
                ),
                "percent": range(15, 50),
                "number": HUNDREDS,
            },
            facts=(
                (
                    (
                        "Doctors at the university of {town} followed {number} "
                        "volunteers for {few} years."
                    ),
                    (
                        "For {few} years {number} volunteers kept a diary for the "
                        "university of {town}."
                    ),
                ),
                (
                    "About half of those who took part regularly {habit.doc}.",
                    "Some of the volunteers {habit.doc} every week, and others never did.",
                ),
                (
                    "Those who did so {risk.doc} {percent} percent less often than the rest.",
                    "It turned out that this group {risk.doc} {percent} percent less often.",
                ),
            ),
            summary=(
                "a/an {town} study links {habit.noun} to {percent} percent "
                "fewer cases of {risk.noun}."
            ),
        ),
        Story(
            slots={
                "animal": (
                    *("a white stork", "a river otter", "a marsh frog", "a blue moth"),
                    *("a grey owl", "a mountain cat", "a sand lizard", "a black beetle"),
                ),
                "years": range(20, 90, 5),
                "place": ("a quarry", "a reed bed", "a churchyard", "a pine wood", "a dry canal"),
            },
            facts=(
                (
                    (
                        "{person}, a biologist from {other}, spends most evenings in "
                        "{place} near {town}."
                    ),
                    "On {day} the biologist {person} set up a camera in {place} near {town}.",
                ),
                (
                    "The pictures taken there show {animal}.",
                    "To the surprise of everybody, {animal} walked in front of the camera.",
                ),
                (
                    "The species was last recorded in the region {years} years ago.",
                    "For {years} years nobody had reported one in the region.",
                ),
            ),
            summary=(
                "Biologist {person.last} photographed {animal} near {town}, "
                "the first there in {years} years."
            ),
        ),
    ),
)

CULTURE = Topic(
    openers=(
        "Posters have been hanging in every shop window for a week.",
        "The evening began with a speech that went on for rather too long.",
        "Lovers of the arts have something to look forward to.",
        "For once the talk in the cafes is not about the weather.",
    ),
    asides=(
        "Students and pensioners pay half the price.",
        "A local choir will sing at the opening.",
        "The guest book is already full of praise.",
        "Some critics remain doubtful and call the whole affair too safe.",
    ),
    quotes=(
        '"People want to be surprised," said the director, {speaker}.',
        '"I cried, and I am not ashamed of it," said {speaker}, who came from {other}.',
        '"It was worth all the sleepless nights," said {speaker}, one of the organisers.',
    ),
    stories=(
        Story(
            slots={
                "museum": ("City Museum", "Harbour Gallery", "Glass Museum", "North Gallery"),
                "works": ("drawings", "landscapes", "portraits", "sculptures", "photographs"),
                "number": range(20, 90, 5),
            },
            facts=(
                (
                    "The {museum} in {town} is preparing its next exhibition.",
                    "In {town} the {museum} has cleared its largest hall for a new exhibition.",
                ),
                (
                    "From {month} visitors can see {number} {works}, many never shown before.",
                    "The show opens in {month} with {number} {works} lent by private owners.",
                ),
                (
                    "All of the {works} are by {person}, who lived in {other} until last year.",
                    "The artist behind all of the {works} is {person}, born in {other}.",
                ),
            ),
            summary=(
                "The {museum} will show {number} {works} by {person.last} in {town} from {month}."
            ),
        ),
        Story(
            slots={
                "prize": ("Lantern Prize", "River Prize", "Golden Quill", "Orchard Medal"),
                "subject": (
                    *(
                        "a lighthouse keeper",
                        "two rival bakers",
                        "a lost orchestra",
                        "a village school",
                    ),
                    *(
                        "a blind painter",
                        "a family of smugglers",
                        "a night train",
                        "a silent clock",
                    ),
                ),
                "number": range(40, 99),
            },
            facts=(
                (
                    "The judges of the {prize} had {number} novels to read this year.",
                    "This year {number} novels were sent in for the {prize}.",
                ),
                (
                    "The winner, announced on {day}, is {person} from {town}.",
                    "On {day} the jury gave the award to {person} from {town}.",
                ),
                (
                    "The book tells the story of {subject} and took {few} years to write.",
                    "At the centre of the novel is {subject}.",
                ),
            ),
            summary="{town} writer {person.last} won the {prize} for a novel about {subject}.",
        ),
        Story(
            slots={
                "house": ("Opera House", "Old Theatre", "Puppet Theatre", "Grand Cinema"),
                "sum": range(3, 20),
                "cause": ("a fire", "a burst pipe", "a flood", "a fallen ceiling"),
            },
            facts=(
                (
                    "The {house} in {town} has been shut since {cause} ruined its stage.",
                    "Ever since {cause} ruined the stage, the {house} in {town} has stood empty.",
                ),
                (
                    "Repairs have cost {sum} million crowns, half of it from donations.",
                    "Builders needed {few} months and {sum} million crowns to put it right.",
                ),
                (
                    "The first evening with an audience is planned for {month}.",
                    "In {month} the curtain will rise again.",
                ),
            ),
            summary=(
                "Closed after {cause}, the {town} {house} reopens in {month} "
                "for {sum} million crowns."
            ),
        ),
    ),
)

LOCAL = Topic(
    openers=(
        "Not much usually happens here in {month}.",
        "The story was told at every kitchen table this week.",
        "It was meant to be a quiet {day}.",
        "Neighbours had been whispering about it for days.",
    ),
    asides=(
        "The mayor sent flowers and a card.",
        "Pictures of it were shared {few} thousand times within a day.",
        "Coffee and cake were served afterwards in the parish hall.",
        "The local paper has printed an extra page about it.",
    ),
    quotes=(
        '"You could not make it up," said {speaker}, who lives across the road.',
        '"This is what I love about our town," said shopkeeper {speaker}.',
        '"I would do it all again tomorrow," laughed {speaker}, who was there.',
    ),
    stories=(
        Story(
            slots={
                "animal": ("parrot", "donkey", "goat", "tortoise", "llama", "peacock", "pony"),
                "home": ("a farm", "a circus", "the zoo", "a riding school", "a petting park"),
                "place": (
                    *("a car wash", "a church", "a bakery", "the library", "a school bus"),
                    *("the railway station", "a flower shop"),
                ),
            },
            facts=(
                (
                    "a/an {animal} got out of {home} in {town} on {day}.",
                    (
                        "On {day} somebody left a gate open at {home} in {town}, and "
                        "a/an {animal} ran off."
                    ),
                ),
                (
                    "Dozens of people joined the search, which lasted for {few} days.",
                    "For {few} days police and children looked for the animal together.",
                ),
                (
                    "In the end {person} noticed the {animal} in {place}, tired but well.",
                    "It was {person} who finally came across the {animal} in {place}.",
                ),
            ),
            summary="a/an {animal} that escaped in {town} was found in {place} after {few} days.",
        ),
        Story(
            slots={
                "bags": range(40, 99),
                "odd": (
                    *("a piano", "a bathtub", "a wedding dress", "a rowing boat", "a stuffed bear"),
                    *("a garden gnome", "a fax machine"),
                ),
                "place": ("canal", "beach", "castle park", "river bank", "old railway"),
                "number": HUNDREDS,
            },
            facts=(
                (
                    "In {town} {number} volunteers met on {day} to clean up the {place}.",
                    "The call to clean up the {place} in {town} was answered by {number} people.",
                ),
                (
                    "By evening the helpers had filled {bags} bags with rubbish.",
                    "The work took {few} hours, and {bags} bags were carried away.",
                ),
                (
                    "The strangest thing that was pulled out was {odd}.",
                    "Among the bottles and tins there was even {odd}.",
                ),
            ),
            summary="Volunteers at the {town} {place} collected {bags} bags of rubbish and {odd}.",
        ),
        Story(
            slots={
                "age": range(100, 109),
                "secret": table(
                    "doc|noun",
                    "eaten an onion every morning|onions",
                    "danced every evening|dancing",
                    "never missed a nap|naps",
                    "avoided doctors|staying away from doctors",
                    "swum in the river all year|river swimming",
                    "played chess against the neighbours|chess",
                ),
                "job": ("tailor", "teacher", "nurse", "sailor", "baker", "farmer"),
            },
            facts=(
                (
                    "{person}, once a {job} in {other}, had visitors all day on {day}.",
                    "Friends and family came to see {person}, once a {job} in {other}, on {day}.",
                ),
                (
                    "It was birthday number {age}, and no one in {town} has ever lived longer.",
                    "Nobody in {town} is older: the cake carried {age} candles.",
                ),
                (
                    'Asked for the secret, the former {job} said: "I have {secret.doc}."',
                    '"I have {secret.doc}," was the answer to the question that everybody asked.',
                ),
            ),
            summary=(
                "The oldest person in {town}, {person.last}, turned {age} and thanks {secret.noun}."
            ),
        ),
    ),
)

TOPICS = (SPORT, WEATHER, SCIENCE, CULTURE, LOCAL)
