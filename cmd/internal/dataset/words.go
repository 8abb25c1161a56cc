package dataset

import "strings"

// words splits a list written on one line.
func words(list string) []string { return strings.Fields(list) }

// phrases splits a list written with semicolons.
func phrases(list string) []string {
	out := strings.Split(list, ";")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

// verseWords makes dialogue whose lines are near to five beats.
var verseWords = grammar{
	"speaker": words("MARINER QUEEN FERRYMAN CLERK FOOL SISTER CAPTAIN NURSE MILLER KEEPER WIDOW PRINCE SCHOLAR POTTER SHEPHERD PILGRIM " +
		"GARDENER WATCHMAN BAKER SINGER"),
	"scene": phrases("The harbour, at night.; A mill beside the river.; Before the city gate.; The keeper's tower, in rain.; A garden with a wall.; " +
		"A hall, with candles.; The deck of a ship, becalmed.; A road across the moor.; The market, early.; A kitchen, late in winter.; " +
		"The library, after the fire.; A bridge of boats."),
	"adj": words("quiet bitter golden broken patient hollow silver crooked gentle weary narrow northern faithful idle burning wooden common " +
		"borrowed sudden ancient"),
	"n": words("lantern river harvest mirror window anchor garden winter candle shadow feather kingdom letter morning hammer orchard silence " +
		"needle promise stranger market ladder barrel pasture"),
	"one":   words("sea moon king road door bell wind stone flame bread crown tide field ship rain house song sword key well hill frost"),
	"many":  words("birds stars waves bells leaves kings years oars roofs fires graves sails hounds words hands clouds seeds nets debts"),
	"verb":  words("carry answer follow wander gather borrow remember measure forgive listen mend bury keep name count seek leave trust"),
	"does":  words("carries answers follows wanders gathers borrows measures forgives listens mends keeps names counts seeks leaves trusts"),
	"did":   words("carried answered followed gathered borrowed measured forgave mended buried kept named counted sought left trusted"),
	"where": phrases("beside the mill; beneath the hill; along the quay; before the gate; behind the wall; above the bay; across the moor; within the hall"),
	"when":  phrases("at break of day; when all is done; before the snow; by candle light; in time of war; at turn of tide; when summer ends; ere night be gone"),
	"call":  phrases("good {name}; my {name}; O {name}; dear {name}; sweet {name}; old {name}"),
	"reply": phrases("No more of that, {call}.; You speak too soon, {call}.; And yet I doubt it.; So it was, and so it shall not be.; " +
		"Then let us go.; I never said the {one} was mine.; Is this your {n}, {call}?; Peace, {call}, and hear the {one}.; " +
		"That is the {adj} truth of it.; Why, who would {verb} {a n}?"),
	"line": phrases("the {adj} {n} {does} the {adj} {one},;" +
		"and we who {did} the {many} {where};" +
		"shall {verb} the {one} again, and {verb} it well.;" +
		"I {did} {a n} once {where},;" +
		"but never did the {many} {verb} for me.;" +
		"what {one} is this, that {does} {when}?;" +
		"tell me, {call}, who {did} the {n};" +
		"and left the {many} to {verb} {when}?;" +
		"there is {a n} {where}, they say,;" +
		"as {adj} as the {one} that {does} the {many}.;" +
		"my {n} is {adj}, and my {one} is cold.;" +
		"they {did} the {many}, {call}, and they {did} me.;" +
		"give me the {n}; and take you the {one};" +
		"for I have {did} enough of {many}.;" +
		"not all the {many} of the {adj} {one};" +
		"can {verb} what one {adj} {n} {did}.;" +
		"come {when}, and bring the {n},;" +
		"and let the {adj} {one} {verb} what it will.;" +
		"if you would {verb} the {one}, then {verb} me first.;" +
		"the {one} has many {many}, and no {n}.;" +
		"so {does} the {n} {where}, and so do I.;" +
		"who {does} the {one} must {verb} the {n} too.;" +
		"I will not {verb} it, though the {many} should fall.;" +
		"{a adj} {one}, {a adj} {n}, and no more.;" +
		"we {verb} {when}, and {when} we sleep."),
}

// proseWords and articles make entries of an encyclopaedia. An article's sentences come in order;
// each is one of several ways to say the same kind of thing.
var proseWords = grammar{
	"given": words("Anna Boris Clara David Elena Felix Greta Hugo Irene Jonas Karin Lucas Marta Nils Olga Peter Rosa Simon Thea Victor"),
	"side":  words("north south east west"),
	"trade": words("printing weaving fishing brewing mining pottery bookbinding shipbuilding glassmaking papermaking"),
	"goods": words("salt wool timber copper grain honey linen barley cheese glass rope tar"),
	"beast": words("otters herons salmon beavers cranes trout swallows foxes deer eels"),
	"grows": words("oak beech willow birch alder pine ash elm maple hazel"),
	"stuff": words("oak brass iron pearwood silver bone copper leather ivory steel"),
	"hue":   words("grey green yellow white black brown red blue violet"),
	"food":  phrases("insects; seeds; berries; worms; small fish; snails; nuts; young leaves"),
	"body":  phrases("the town council; the royal society; a local guild; the university; the ministry of works; a group of farmers; the church"),
	"event": phrases("a great fire; the long winter; a flood; the war with {near}; an outbreak of fever; the opening of the railway"),
	"know":  phrases("is best known for; is remembered for; owes its name to; is often praised for"),
	"often": words("usually often sometimes rarely commonly mostly"),
}

var articles = [][]string{
	{ // a river
		"The {me} is a river in the {side} of {land}.",
		"{rises} and flows for {length} kilometres before it joins the {near}.",
		"{water}",
		"Its banks are lined with {grows} and {grows}, and {beast} and {beast} are {often} seen there.",
		"{bridge}",
		"{trade river}",
	},
	{ // a town
		"{me} is a town in the {side} of {land}, on the road to {near}.",
		"At the last census it had {people} inhabitants, of whom {percent} per cent worked in {trade}.",
		"{founded}",
		"{grew}",
		"{today}",
	},
	{ // a bird
		"The {me} is a bird of the {side}ern forests of {land}.",
		"The male is {hue} above and {hue} below, with {a hue} tail; the female is {hue}.",
		"It feeds on {food} and {food}, which it finds {often} near water.",
		"{nest}",
		"It was first described by {person} in {year}.",
		"{rare}",
	},
	{ // an instrument
		"The {me} is a musical instrument from {land}, made of {stuff} and {stuff}.",
		"{sounds}",
		"It was {often} played at weddings and at the feast of the harvest.",
		"{person} {wrote} {year}, and it was heard for the first time in {near}.",
		"{fell}",
	},
	{ // a machine
		"The {me} was a machine for {trade}, built by {person} in {year}.",
		"It was made of {stuff} and weighed {metres} kilograms.",
		"{worked}",
		"{sold}",
		"The only one that survives is kept in the museum of {near}, in {land}.",
	},
	{ // a person
		"{person}, called {me}, was a {craft} from {near} in {land}.",
		"{me} {youth} in {year}.",
		"{work}",
		"{me} died in {later} and {know} a book about {trade}.",
	},
	{ // a dish
		"{me} is a dish of {land} made from {goods dish}, {goods dish} and {goods dish}.",
		"{cooked}",
		"In {near} it is {often} eaten cold, with {goods dish}.",
		"{person} gave the recipe in {year}, though the dish is likely to be older.",
		"{feast}",
	},
	{ // a mountain
		"Mount {me} is {a hue} peak in the {side} of {land}, {metres} metres above the valley of the {near}.",
		"It was first climbed by {person} in {year}.",
		"{slopes}",
		"{hut}",
	},
}

func init() {
	for name, list := range map[string]string{
		"rises":       "It rises in the hills above {near}; It begins as a spring near {near}; It leaves the lake of {near} in the {side}",
		"water":       "The water is {hue} in spring and {hue} in autumn.; It is deep and slow, and ships of {metres} tonnes can use it.; In dry years it does not reach the sea.; It freezes in most winters.",
		"bridge":      "The first bridge was built by {body} in {year} and lost to {event} in {later}.; There was no bridge until {later}, when {body} built one of stone.; A ferry has crossed it since {year}.",
		"trade river": "For centuries it carried {goods} and {goods} to the towns of the {side}.; The river {know} its mills, of which {percent} were still at work in {later}.; Today it is used for {trade} and by visitors.",
		"founded":     "It was founded in {year} by {body}.; A market has been held there since {year}, when {person} was given leave to sell {goods}.; The oldest house was built in {year} by {person}.",
		"grew":        "After {event} of {later} the town was built again in stone.; It grew rich from {goods} and {goods}, and lost its walls in {later}.; In {later} {event} brought the trade in {goods} to an end.",
		"today":       "Today the town {know} its {trade}.; The school of {trade} was opened in {later} and is still at work.; Its fair, held in the second week of the harvest, draws visitors from all of {land}.",
		"nest":        "It builds a nest of {grows} twigs and lays {eggs} {hue} eggs.; The nest is a hole in {a grows} tree, in which it lays {eggs} eggs.; It nests on the ground and lays {eggs} eggs, which are {hue}.",
		"eggs":        "two; three; four; five; six",
		"rare":        "It has been rare since {event}.; In {later} about {percent} pairs were left.; It is a common bird and {often} seen in gardens.",
		"sounds":      "Its {count} strings are tuned in pairs and struck with a hammer of {stuff}.; It has {count} keys, and its sound is low and even.; The player holds it under one arm and blows through a pipe of {stuff}.",
		"count":       "four; six; eight; nine; twelve; sixteen",
		"wrote":       "wrote a concerto for it in; described it in a letter of; improved the {stuff} pipe in",
		"fell":        "By {later} it was {often} replaced by the organ.; It fell out of use after {event}.; Since {later} it has been taught again at the school of {near}.",
		"worked":      "A wheel of {stuff} drove {count} needles, so that one hand could do the work of {count}.; It was driven by water, and later by steam.; It needed {count} people and made {length} pieces a day.",
		"sold":        "{^body} bought {count} of them.; It was too dear to sell, and {person} stopped work on it in {later}.; Between {year} and {later} {length} were made.",
		"craft":       "painter; clockmaker; doctor; teacher; mapmaker; composer; printer; botanist; sailor; mason",
		"youth":       "learned the craft of {trade} from an uncle and left home; was sent to school in the {side} and came back; entered the service of {body}",
		"work":        "For {body} {me} drew the first map of the {side}.; Most of the work was lost in {event} of {later}.; The letters to {body}, of which {length} survive, were printed in {later}.; {me} travelled in the {side} for {count} years and brought home {goods} and {goods}.",
		"goods dish":  "barley; onions; honey; goat cheese; dried fish; apples; mushrooms; cabbage; smoked ham; beans; cream; walnuts",
		"cooked":      "It is cooked in a pot of {stuff} for {count} hours.; The parts are boiled, pressed and baked.; It is {often} fried in butter and turned {count} times.",
		"feast":       "It is {often} served after a funeral.; Children are given it on the first day of school.; No wedding in the {side} is held without it.",
		"slopes":      "The lower slopes are covered with {grows} and {grows}, and above them there is only {hue} rock.; The {side} face is steep and {often} covered with ice.; {^beast} live on its {side} side.",
		"hut":         "A hut was built below the top by {body} in {later}.; {^goods} was mined there until {event}.; In clear weather one can see as far as {near}.",
	} {
		proseWords[name] = phrases(list)
	}
}

// commandWords are the slots of spoken commands; intents are their patterns.
var commandWords = grammar{
	"please": {"please", "for me", "now", "if you can", "right away", "", "", "", "", ""},
	"number": words("two three four five six seven eight nine ten twelve fifteen twenty thirty forty"),
	"unit":   words("minutes minutes minutes seconds hours"),
	"room":   phrases("kitchen; bedroom; hall; bathroom; living room; garden; office; cellar; attic; garage"),
	"who":    words("anna ben carla daniel emma frank gina hana ivan julia kim leo maria noah olive paul"),
	"kin":    phrases("my mother; my father; my sister; my brother; my boss; my neighbour; the doctor; grandma; the plumber"),
	"day":    words("monday tuesday wednesday thursday friday saturday sunday"),
	"hour":   {"at {clock}"},
	"clock":  phrases("seven; eight in the morning; half past nine; noon; quarter to three; six in the evening; ten"),
	"level":  phrases("half; full; ten percent; thirty percent; fifty percent; the lowest; a bit less; a bit more"),
	"color":  words("warm white red green blue yellow orange purple"),
	"chore":  phrases("buy bread; water the plants; call the bank; pay the rent; take out the rubbish; feed the cat; charge the car; book a dentist; fold the laundry"),
	"item":   words("milk bread eggs butter apples rice onions pasta cheese honey flour tomatoes"),
	"clause": phrases("i am late; dinner is ready; i will call back; we are out of milk; the train is delayed; the keys are with {who}; the shop is closed"),
	"word":   phrases("{clause}; {clause}; see you soon; happy birthday; bring the keys; call me {hour}"),
	"event":  phrases("a meeting; the football match; lunch with {who}; the school play; a run; my dentist; band practice; a call with {kin}"),
	"device": phrases("heating; coffee machine; washing machine; front door; robot vacuum; television; fan; garden sprinkler; alarm"),

	"artist":  phrases("the velvet rivers; nora stone; blue harbour; the paper kites club; old tom and sons; lena marsh; the night trains; ada and the owls; silver pine; mister brass; the quiet nine; rosa delmar"),
	"song":    phrases("walking on frost; the last ferry; sugar and salt; ten green doors; midnight in the mill; a song for elsa; hold the line home; paper moonlight; seven winters; dust and gold; the long way round; little engine"),
	"album":   phrases("harbour lights; songs from the attic; the second summer; low tide; northbound; letters; fields of glass; open windows"),
	"genre":   words("jazz blues folk rock techno soul swing opera reggae country classical ambient"),
	"list":    phrases("morning run; sunday cooking; deep focus; road trip; rainy day; party mix; sleep well; old favourites"),
	"loud":    phrases("quietly; louder; at low volume; in the {room}; on the {room} speaker; on repeat; on shuffle; from the start"),
	"city":    phrases("lisbon; bergen; new haven; kyoto; cape town; lyon; dublin; quito; riga; boulder; perth; san remo"),
	"place":   phrases("{city}; {city}; {city}; the coast; the mountains; my street; the airport; the lake"),
	"when":    phrases("today; tomorrow; tonight; on {day}; this weekend; next week; this afternoon; in {number} hours; on {day} morning; at noon"),
	"sky":     words("rainy snowy stormy dry sunny cloudy windy foggy freezing warm humid icy"),
	"cuisine": words("italian thai greek indian mexican japanese turkish french korean lebanese"),
	"eatery":  phrases("restaurant; diner; bistro; cafe; steakhouse; pizza place; sushi bar; rooftop bar; tavern; noodle bar"),
	"party":   phrases("{number}; {number} people; me and {who}; {who} and {kin}; the whole family; a party of {number}"),
	"wish":    phrases("with a terrace; with parking; near {place}; by the window; that serves {cuisine} food; with a highchair; open late; close to the station"),
}

var intents = map[string][]string{
	"music": phrases("play {song} by {artist} {please}; play {song} {loud}; play some {genre} {loud}; play the album {album} by {artist}; i want to hear {song}; " +
		"i want to hear some {genre} by {artist}; put on {artist} {please}; put on my {list} playlist; start the playlist {list} {loud}; " +
		"add {song} to my {list} playlist; add this track by {artist} to {list}; skip this song; next track {please}; who sings {song}; " +
		"play the newest album by {artist}; turn on some {genre} music in the {room}; can you play {artist} {loud}; play {genre} from {album}; " +
		"what song is this; play me something by {artist}; shuffle my {list} playlist; i would like to listen to {artist} {please}"),
	"weather": phrases("what is the weather in {place} {when}; will it rain in {place} {when}; will it be {sky} {when}; is it going to be {sky} in {place}; " +
		"how warm will it be in {place} {when}; do i need an umbrella {when}; give me the forecast for {place} {when}; weather forecast for {when}; " +
		"how cold is it in {place} right now; is there a storm warning for {place}; when will it stop raining in {place}; " +
		"tell me if it will be {sky} near {place} {when}; what will the temperature be {when} in {place}; should i expect {sky} weather {when}; " +
		"how windy is it in {place}; will there be snow in {place} {when}; when does the sun set in {place}; is {place} {sky} this time of year"),
	"booking": phrases("book a table for {party} at {a cuisine} {eatery} {when}; book {a eatery} for {party} in {city}; reserve a table for {party} {when}; " +
		"i need a table for {party} at the {eatery} in {city} {when}; find {a cuisine} {eatery} {wish} for {party}; " +
		"make a reservation for {party} {hour} at {a eatery} {wish}; book {a eatery} {wish} {when}; can you get us {a cuisine} {eatery} in {city} for {party}; " +
		"i would like to book the {eatery} {wish}; table for {party} {when} {please}; cancel the table at the {eatery} {when}; " +
		"move my reservation to {clock}; reserve seats for {party} at the best {cuisine} {eatery} in {city}; we want to eat {cuisine} food in {city} {when}, book for {party}"),
	"timer": phrases("set a timer for {number} {unit} {please}; start {a number} minute timer; how long is left on the timer; stop the timer {please}; " +
		"wake me {hour} on {day}; set an alarm {hour}; add {number} {unit} to the timer; cancel the alarm {hour}; remind me in {number} {unit} to {chore}; " +
		"snooze for {number} minutes; is there a timer running; set a second timer for {number} {unit} for the {item}"),
	"lights": phrases("turn on the lights in the {room}; turn off the {room} lights {please}; dim the {room} to {level}; set the {room} light to {level}; " +
		"make the {room} {color}; switch the lamp in the {room} to {color}; is the light in the {room} on; all lights off {please}; " +
		"lights on in the {room} and the {room}; turn the {room} lights on {hour}; it is too dark in the {room}"),
	"message": phrases("send a message to {who} saying {word}; tell {kin} that {clause}; text {who} {word}; call {kin} {please}; call {who} on {day} {hour}; " +
		"read my new messages; did {who} write to me; answer {who} with {word}; ring {kin} back; leave a note for {kin} that {clause}"),
	"lists": phrases("add {item} to the shopping list; put {item} and {item} on my list; what is on the shopping list; remove {item} from the list; " +
		"do we need {item}; i ran out of {item}; make a new list called {list}; read me the list {please}; put {chore} on my to do list; clear the list"),
	"calendar": phrases("put {event} on {day} {hour}; what do i have on {day}; move {event} to {day}; remind me to {chore} on {day}; cancel {event} on {day}; " +
		"when is {event}; am i free on {day} {hour}; remind me {hour} to {chore}; add {event} to my calendar {hour}; who is coming to {event}"),
	"home": phrases("turn on the {device}; turn off the {device} {please}; start the {device} {hour}; is the {device} on; set the heating in the {room} to {number} degrees; " +
		"stop the {device} in {number} {unit}; lock the front door; open the blinds in the {room}; how much power does the {device} use"),
}

func init() {
	// A slot may come out empty; what is said has no blank at its end for it.
	for name, list := range intents {
		for i, text := range list {
			list[i] = strings.ReplaceAll(text, " {please}", "{please}")
		}
		intents[name] = list
	}
	for i, p := range commandWords["please"] {
		if p != "" {
			commandWords["please"][i] = " " + p
		}
	}
}
