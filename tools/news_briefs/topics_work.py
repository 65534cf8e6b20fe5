"""What people live on: business, transport, energy and the land."""

from __future__ import annotations

from news_briefs.compose import Story, Topic
from news_briefs.words import HUNDREDS, MOVES, PERCENT, table

PRODUCTS = (
    *("bicycles", "garden tools", "washing machines", "toys", "tea", "paper", "carpets"),
    *("batteries", "office chairs", "running shoes"),
)

BUSINESS = Topic(
    openers=(
        "Investors had been nervous for most of {month}.",
        "Rumours had been going round the market for days.",
        "The news came out shortly before the exchange closed.",
        "It has been an eventful year for the industry.",
    ),
    asides=(
        "The shares gained {few} percent on {day}.",
        "Analysts had expected something else.",
        "The firm was founded by two sisters in a garage.",
        "Trade unions want to be heard before anything is signed.",
    ),
    quotes=(
        '"We are only at the beginning," said {speaker}, the head of the company.',
        '"Our customers decide, and nobody else," said board member {speaker}.',
        '"It is too early to celebrate," said {speaker}, an analyst.',
    ),
    stories=(
        Story(
            slots={"product": PRODUCTS, "percent": PERCENT, "move": MOVES, "sum": HUNDREDS},
            facts=(
                (
                    "{company} told the press in {town} on {day} how the year has gone.",
                    (
                        "On {day} it was the turn of {company}, based in {town}, to "
                        "present its figures."
                    ),
                ),
                (
                    "The trade in {product} {move.past} by {percent} percent.",
                    "What the company earns with {product} {move.past} by {percent} percent.",
                ),
                (
                    "Sales now stand at {sum} million crowns, mostly from abroad.",
                    (
                        "The new total is {sum} million crowns, enough for plans to "
                        "open {few} more shops."
                    ),
                ),
            ),
            summary=(
                "{company} reported a/an {percent} percent {move.noun} in sales of "
                "{product}, to {sum} million crowns."
            ),
        ),
        Story(
            slots={"product": PRODUCTS, "jobs": HUNDREDS},
            facts=(
                (
                    "{company} already makes {product} in {few} countries.",
                    "{company} cannot keep up with the demand for its {product}.",
                ),
                (
                    "The next factory will stand on a field outside {town}.",
                    "The firm has therefore bought land for a factory outside {town}.",
                ),
                (
                    "The gates open in {month}, and {jobs} people will find work there.",
                    "There will be work for {jobs} people from {month}.",
                ),
            ),
            summary="{company} will make {product} in {town} from {month}, creating {jobs} jobs.",
        ),
        Story(
            slots={"sum": range(20, 99), "months": range(11, 30)},
            facts=(
                (
                    "{company} and {rival_company} have been talking for {months} months.",
                    "For {months} months {company} has wanted to own {rival_company}.",
                ),
                (
                    "On {day} the smaller firm said yes to an offer of {sum} million crowns.",
                    "The price on which they agreed on {day} is {sum} million crowns.",
                ),
                (
                    "The head office moves from {other} to {town}.",
                    "Both names will stay, but there will be one office, in {town}.",
                ),
            ),
            summary=(
                "{company} buys {rival_company} for {sum} million crowns "
                "after {months} months of talks."
            ),
        ),
    ),
)

TRANSPORT = Topic(
    openers=(
        "Commuters will have to change their habits.",
        "The platform was crowded when the loudspeaker came on.",
        "There is hardly a subject that divides drivers more.",
        "Whoever travelled on {day} needed a good deal of patience.",
    ),
    asides=(
        "Details can be found at every stop.",
        "The ministry pays {few} tenths of the costs.",
        "Taxi firms have put extra cars on the road.",
        "Cyclists are not affected.",
    ),
    quotes=(
        '"We ask our passengers to bear with us," said spokesperson {speaker}.',
        '"I leave the house an hour earlier now," said {speaker}, who works in {other}.',
        '"Safety comes before speed," said the engineer {speaker}.',
    ),
    stories=(
        Story(
            slots={
                "mode": ("tram", "ferry", "bus", "cable car", "railway"),
                "minutes": range(11, 60),
            },
            facts=(
                (
                    "For years people in {town} have asked for a better way to get to {other}.",
                    "The road between {town} and {other} has been full for years.",
                ),
                (
                    "The answer is a new {mode} line, which has just been approved.",
                    "On {day} work ended on a {mode} line that joins the two.",
                ),
                (
                    "The ride will take {minutes} minutes, and it all starts in {month}.",
                    "From {month} nobody will need more than {minutes} minutes.",
                ),
            ),
            summary=(
                "A new {mode} line will link {town} and {other} in {minutes} minutes from {month}."
            ),
        ),
        Story(
            slots={
                "bridge": ("Chain", "Mill", "Abbey", "Stone", "Harbour", "Market"),
                "fault": ("cracks", "rust", "loose bolts", "rotten beams", "a bent pillar"),
                "weeks": range(11, 30),
            },
            facts=(
                (
                    "Engineers climbed under the {bridge} Bridge in {town} on {day}.",
                    "The {bridge} Bridge in {town} was due for its yearly inspection on {day}.",
                ),
                (
                    "What they noticed there worried them: {fault}.",
                    "The report speaks of {fault} and leaves no doubt about the danger.",
                ),
                (
                    "No car will cross the river here for {weeks} weeks.",
                    "Repairs take {weeks} weeks, and drivers must go round by {other}.",
                ),
            ),
            summary="{fault} will keep the {bridge} Bridge in {town} closed for {weeks} weeks.",
        ),
        Story(
            slots={"mode": ("bus", "tram", "train", "ferry", "taxi"), "percent": PERCENT},
            facts=(
                (
                    "The {mode} drivers of {town} earn less than those of {other}.",
                    "In {town} there has been trouble between {company} and its {mode} drivers.",
                ),
                (
                    "The drivers want {percent} percent more and will not settle for less.",
                    "The union of the drivers asks for {percent} percent more money.",
                ),
                (
                    "As talks have failed, nothing will move on {day}.",
                    "All of them will stop work on {day} to show that they mean it.",
                ),
            ),
            summary="{mode} drivers in {town} strike on {day} for a/an {percent} percent pay rise.",
        ),
    ),
)

ENERGY = Topic(
    openers=(
        "Candles and torches sold well this week.",
        "Energy is on the agenda again.",
        "The meeting in the community centre went on past midnight.",
        "Some said that it would never come to this.",
    ),
    asides=(
        "Consumer groups advise people to compare offers.",
        "The regulator will look into the matter in {month}.",
        "The region has used {few} percent less energy than a year ago.",
        "An open day will answer questions from residents.",
    ),
    quotes=(
        '"Nobody will be left in the cold," promised {speaker} of the energy board.',
        '"We had to act, and we did," said technician {speaker}.',
        '"I read the letter three times," said {speaker}, who lives nearby.',
    ),
    stories=(
        Story(
            slots={
                "kind": table(
                    "park|unit",
                    *("wind|turbines", "solar|panels", "tidal|generators"),
                    *("geothermal|wells", "battery|containers"),
                ),
                "number": range(20, 90, 5),
                "homes": HUNDREDS,
            },
            facts=(
                (
                    "{company} may build a {kind.park} park near {town}, a court ruled on {day}.",
                    (
                        "The way is clear for a {kind.park} park that {company} has "
                        "planned near {town}."
                    ),
                ),
                (
                    "The {number} {kind.unit} will be delivered in {month}.",
                    "In {month} lorries will bring the {number} {kind.unit} from {other}.",
                ),
                (
                    "The new park will produce enough for {homes} homes.",
                    "When the park is ready, {homes} homes can live on it.",
                ),
            ),
            summary=(
                "a/an {kind.park} park with {number} {kind.unit} near {town} "
                "will supply {homes} homes."
            ),
        ),
        Story(
            slots={
                "cause": (
                    *("a squirrel", "a kite", "a fallen crane", "a digger", "lightning"),
                    *("a nesting stork", "a hot air balloon"),
                ),
                "hours": range(3, 20),
            },
            facts=(
                (
                    "All over {town} the lights went out on {day}.",
                    "On {day} fridges and lamps in {town} stopped working all at once.",
                ),
                (
                    "The search for the fault led to {cause} at a substation.",
                    "A cable had been cut, and the culprit was {cause}.",
                ),
                (
                    "It took {hours} hours until the current flowed again.",
                    "Only after {hours} hours did {company} have everything running.",
                ),
            ),
            summary="A power cut caused by {cause} darkened {town} for {hours} hours on {day}.",
        ),
        Story(
            slots={"fuel": ("gas", "power", "heating oil", "firewood", "coal"), "percent": PERCENT}
            | {"move": MOVES},
            facts=(
                (
                    "Customers of {company} in {town} have had a letter.",
                    "A letter from {company} reached thousands of homes in {town} on {day}.",
                ),
                (
                    "The letter is about the price of {fuel}, which will change in {month}.",
                    "From {month} there will be a new price for {fuel}.",
                ),
                (
                    "Customers will have to pay {percent} percent {move.more}.",
                    "That means {percent} percent {move.more} on the yearly bill.",
                ),
            ),
            summary=(
                "{company} will {move.verb} {fuel} prices in {town} by "
                "{percent} percent in {month}."
            ),
        ),
    ),
)

LAND = Topic(
    openers=(
        "The fields are quiet at this time of the year.",
        "Country people do not complain without reason.",
        "The smell of wet soil hung over the valley.",
        "At the weekly market there was only one subject.",
    ),
    asides=(
        "The chamber of agriculture keeps {few} advisers in the area.",
        "A meeting of farmers has been called for {day}.",
        "Young families have begun to move back to the villages.",
        "Hikers are asked to stay on the marked paths.",
    ),
    quotes=(
        '"Nature does not keep to our plans," said {speaker}, a farmer.',
        '"My grandfather would not have believed it," said {speaker}, who keeps bees.',
        '"We think in decades here, not in months," said the forester {speaker}.',
    ),
    stories=(
        Story(
            slots={
                "crop": ("apples", "hops", "potatoes", "grapes", "cherries", "carrots", "plums"),
                "cause": ("late frost", "hail", "mild nights", "new seeds", "drought", "warm rain"),
                "percent": PERCENT,
                "move": MOVES,
            },
            facts=(
                (
                    "The growers around {town} have brought in the last of the {crop}.",
                    "Around {town} the {crop} are in, and the sheds are closed.",
                ),
                (
                    "The total {move.past} by {percent} percent against last year.",
                    "According to the scales, the yield {move.past} by {percent} percent.",
                ),
                (
                    "The reason given by {person}, who speaks for them, is {cause}.",
                    "Everybody in the trade names the same reason: {cause}.",
                ),
            ),
            summary=(
                "Because of {cause}, the {town} harvest of {crop} {move.past} by {percent} percent."
            ),
        ),
        Story(
            slots={
                "trees": ("oaks", "pines", "birches", "maples", "larches", "willows"),
                "cause": ("fire", "beetles", "a storm", "an avalanche"),
                "number": range(20, 90, 5),
            },
            facts=(
                (
                    "The slopes above {town} have been bare since {cause} destroyed the forest.",
                    "Where {cause} destroyed the forest above {town}, only stumps are left.",
                ),
                (
                    "From {month} {number} thousand {trees} will be planted there.",
                    "Helpers are to set {number} thousand young {trees} in {month}.",
                ),
                (
                    "The bill is paid by {company}, which has its seat in {other}.",
                    "{company} has promised to cover all costs.",
                ),
            ),
            summary=(
                "{company} pays for {number} thousand {trees} at {town}, "
                "where {cause} destroyed a forest."
            ),
        ),
        Story(
            slots={
                "predator": ("wolves", "lynxes", "foxes", "eagles", "stray dogs"),
                "animal": ("sheep", "lambs", "hens", "geese", "rabbits"),
                "number": range(11, 60),
                "sum": range(40, 99, 5),
            },
            facts=(
                (
                    "Since {month} {number} {animal} have been found dead near {town}.",
                    "Farmers near {town} have lost {number} {animal} since {month}.",
                ),
                (
                    "Traces leave no doubt that it was the work of {predator}.",
                    "A camera showed that {predator} come down from the hills at night.",
                ),
                (
                    "The state will pay {sum} crowns for each animal.",
                    "For each animal the owners get {sum} crowns from the state.",
                ),
            ),
            summary=(
                "Farmers near {town} get {sum} crowns for each of {number} "
                "{animal} killed by {predator}."
            ),
        ),
    ),
)

TOPICS = (BUSINESS, TRANSPORT, ENERGY, LAND)
