package traffic

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// script is what is said in the sessions of an app.
type script struct {
	system string
	topics []topic
	facts  []string // what a prompt is filled up with
	more   []string // what an answer is filled up with
	json   bool     // answers are JSON
}

// topic is a question and its answer, which a tool may have to be asked for. Words in
// braces stand for what differs from session to session.
type topic struct{ ask, tool, args, result, answer string }

// step is one answer of a session: of which topic, and whether it is the call of its tool.
type step struct {
	topic
	calls bool
}

// steps are the answers of a session up to that of a turn.
func (s *script) steps(seed uint64, turn int) []step {
	all := make([]step, 0, turn+2)
	for i := seed; len(all) <= turn; i++ {
		t := s.topics[i%uint64(len(s.topics))]
		if t.tool != "" {
			all = append(all, step{t, true})
		}
		all = append(all, step{t, false})
	}
	return all[:turn+1]
}

// tool names the tool that the answer of a turn calls; "" if it calls none.
func (s *script) tool(seed uint64, turn int) string {
	all := s.steps(seed, turn)
	if last := all[turn]; last.calls {
		return last.tool
	}
	return ""
}

func (s *script) callsTool(seed uint64, turn int) bool { return s.tool(seed, turn) != "" }

// message is one of a conversation.
type message struct {
	role string // user, assistant or tool
	text string
	call string // id of the call, of an assistant that calls a tool and of the tool
	step step
}

// conversation is what has been said in a session up to the answer of a turn, which is
// the last message.
func (s *script) conversation(seed uint64, turn int) []message {
	fill := values(seed)
	var all []message
	steps := s.steps(seed, turn)
	for i, st := range steps {
		id := "call_" + strconv.FormatUint(seed>>20+uint64(i), 36)
		switch {
		case st.calls:
			all = append(all, message{role: "user", text: fill.Replace(st.ask)},
				message{role: "assistant", text: fill.Replace(st.args), call: id, step: st})
			if i < len(steps)-1 {
				all = append(all, message{role: "tool", text: fill.Replace(st.result), call: id, step: st})
			}
		case st.tool != "":
			all = append(all, message{role: "assistant", text: fill.Replace(st.answer), step: st})
		default:
			all = append(all, message{role: "user", text: fill.Replace(st.ask)},
				message{role: "assistant", text: fill.Replace(st.answer), step: st})
		}
	}
	return all
}

// values are what the words in braces stand for in a session.
func values(seed uint64) *strings.Replacer {
	rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // to be foreseen
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	number := func(from, to int) string { return strconv.Itoa(from + rng.IntN(to-from)) }
	return strings.NewReplacer(
		"{order}", "NW-"+number(100000, 999999),
		"{product}", pick("the oak desk", "a pair of trail shoes", "the espresso machine", "two wool blankets", "the bike trailer", "a 27 inch monitor"),
		"{city}", pick("Lisbon", "Rotterdam", "Graz", "Kraków", "Zürich", "Aarhus", "São Paulo", "Osaka"),
		"{name}", pick("Ana", "Jonas", "Priya", "Mateo", "Ingrid", "Yusuf", "Chloé", "Dmitri"),
		"{amount}", number(12, 940)+"."+number(10, 99),
		"{day}", pick("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
		"{n}", number(2, 40),
		"{ms}", number(120, 4800),
		"{host}", pick("db", "cache", "queue", "edge", "auth")+"-"+number(1, 12),
		"{func}", pick("parseHeader", "retryAfter", "mergeRanges", "flushBatch", "decodeCursor"),
		"{pct}", number(3, 46),
	)
}

// filled is text with sentences after it until it is about n bytes long.
func filled(text string, sentences []string, seed uint64, n int) string {
	n = min(n, maxProse)
	if len(text) >= n || len(sentences) == 0 {
		return text
	}
	var b strings.Builder
	b.Grow(n + 200)
	b.WriteString(text)
	rng, fill := rand.New(rand.NewPCG(seed, 2)), values(seed) //nolint:gosec // to be foreseen
	for b.Len() < n {
		b.WriteByte(' ')
		if rng.IntN(5) == 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(fill.Replace(sentences[rng.IntN(len(sentences))]))
	}
	return b.String()
}

// maxProse bounds what is written to fill a prompt or an answer, in bytes.
const maxProse = 48 << 10

var support = &script{
	system: "You are the support assistant of Northwind Traders. Answer in the customer's language, in at most three short paragraphs. " +
		"Look orders up before you speak of them. Never promise a refund that a tool has not confirmed.",
	topics: []topic{
		{
			ask: "Hi, where is my order {order}? It should have been in {city} on {day}.", tool: "lookup_order",
			args:   `{"order_id":"{order}","include":["shipments","events"]}`,
			result: `{"order_id":"{order}","status":"in_transit","carrier":"PostNL","last_event":{"at":"2026-11-18T06:42:00Z","city":"{city}","text":"Arrived at sorting centre"},"eta_days":{n}}`,
			answer: "Thanks for waiting, {name}. Your order {order} has reached the sorting centre in {city}; the carrier expects to deliver it within {n} days.",
		},
		{ask: "Can I still change the delivery address?", answer: "Yes, until the parcel is handed to the local courier. Tell me the new address and I will check that it can be served."},
		{
			ask: "I want to send {product} back, it is not what I expected.", tool: "start_return",
			args:   `{"order_id":"{order}","reason":"not_as_expected","items":[{"sku":"SKU-{n}","quantity":1}]}`,
			result: `{"return_id":"R-{n}{n}","label_url":"https://example.com/labels/{n}.pdf","refund":{"amount":"{amount}","currency":"EUR","days":5}}`,
			answer: "I have opened the return for {product}. The label is on its way to your inbox, and {amount} € will be back on your card five days after the parcel arrives.",
		},
		{ask: "And how long do refunds usually take?", answer: "Five working days from the moment the warehouse has checked the parcel. Card issuers may need another two."},
		{
			ask: "Is {product} available in the shop in {city}?", tool: "check_stock",
			args: `{"query":"{product}","store":"{city}"}`, result: `{"store":"{city}","available":{n},"reserved":2,"next_delivery":"{day}"}`,
			answer: "There are {n} left in {city}, two of them reserved. Shall I put one aside for you until {day}?",
		},
		{ask: "Great, thank you so much! 🙏", answer: "You are welcome, {name}! Is there anything else I can do?"},
	},
	facts: []string{
		"Parcels to {city} leave the warehouse on {day} evening.", "Orders above {amount} € are delivered without charge.",
		"Returns are accepted within 30 days, furniture within 14.", "A gift card cannot be paid out in cash.",
		"If a parcel is late by more than {n} days, offer to send it again.", "Speak of dates as weekdays where they are less than a week away.",
	},
	more: []string{
		"You can follow the parcel from your account under “Orders”.", "If nothing has moved by {day}, write to me again and I will open a search with the carrier.",
		"I have noted this on your order, so that my colleagues can see it too.", "For {product} the same conditions hold as for everything else in the shop.",
	},
}

var operations = &script{
	system: "You are an operations agent. Work through the runbook step by step, call one tool at a time, and stop when the check is green. Report numbers with units.",
	topics: []topic{
		{
			ask: "ALERT {host}: p99 latency {ms} ms for 10 minutes. Find the cause.", tool: "query_metrics",
			args:   `{"query":"histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{instance=\"{host}\"}[5m])))","range":"1h"}`,
			result: `{"result":[{"instance":"{host}","values":[[1764000000,"0.{n}"],[1764000300,"1.{n}"],[1764000600,"4.{n}"]]}]}`,
			answer: "The latency of {host} rose within ten minutes. Its cause is upstream: I look at the connections next.",
		},
		{
			ask: "Continue with the next step of the runbook.", tool: "list_connections",
			args: `{"host":"{host}","state":"idle in transaction","limit":20}`, result: `{"count":{n},"oldest_s":{ms},"application":"reporting"}`,
			answer: "{n} connections of `reporting` are idle in a transaction, the oldest for {ms} s. They hold locks that others wait for.",
		},
		{
			ask: "Proceed.", tool: "terminate_connections",
			args: `{"host":"{host}","application":"reporting","older_than_s":300,"dry_run":false}`, result: `{"terminated":{n},"errors":[]}`,
			answer: "{n} connections were ended. p99 is back at {n} ms. The check is green; I close the incident.",
		},
	},
	facts: []string{
		"{host} serves {pct} % of all reads.", "Step: drain the host before it is restarted.", "Page a human when two steps in a row change nothing.",
		"Deployments happen on {day}; look at the last one first.",
	},
	more: []string{"Nothing else in the dashboards of {host} is out of the ordinary.", "I will look at it again in {n} minutes.", "The error budget of this month is used to {pct} %."},
}

var extraction = &script{
	system: "Extract the fields of the schema from the text. Answer with JSON only.", json: true,
	topics: []topic{
		{
			ask:    "Ship to: {name} de Vries, Keizersgracht {n}, 1015 CJ {city}. Leave at the neighbour's if nobody opens.",
			answer: `{"name":"{name} de Vries","street":"Keizersgracht","house_number":"{n}","postal_code":"1015 CJ","city":"{city}","instructions":"leave with neighbour","confidence":0.97}`,
		},
		{
			ask:    "Order {order}: 3 cards tried, shipping to {city}, billing address elsewhere, amount {amount} EUR, first order of this account.",
			answer: `{"risk":"medium","score":0.{pct},"signals":["several_cards","address_mismatch","new_account"],"action":"review"}`,
		},
		{
			ask:    "Ticket: \"The app logs me out every {n} minutes since the update on {day}. I am on Android 16.\"",
			answer: `{"category":"login","priority":"p2","platform":"android","regression":true,"duplicate_of":null,"language":"en"}`,
		},
		{
			ask:    "Cart: {product}, gift wrapping, voucher WINTER{n}.",
			answer: `{"items":[{"title":"{product}","quantity":1,"gift":true}],"voucher":"WINTER{n}","total":"{amount}","currency":"EUR"}`,
		},
	},
	facts: []string{`Field "city": as written, no translation.`, "Leave out what is not in the text; never guess.", "Example: “2 × {product}” has quantity 2.", "Scores are between 0 and 1."},
}

var ranking = &script{
	system: "Rank the candidates by how well they answer the query. Answer with a JSON array of ids, the best first.", json: true,
	topics: []topic{
		{ask: "query: waterproof shoes for {city} winters\n[1] {product}\n[2] rubber boots, lined\n[3] sandals\n[4] gaiters\n[5] wool socks", answer: `{"ranking":[2,1,4,5,3]}`},
		{ask: "query: gift for a new flat under {amount}\n[1] {product}\n[2] door mat\n[3] plant, {n} cm\n[4] gift card", answer: `{"ranking":[3,2,4,1]}`},
		{ask: "query: {product} spare part\n[1] cable\n[2] {product}\n[3] manual (PDF)\n[4] set of screws M{n}", answer: `{"ranking":[4,1,3,2]}`},
	},
	facts: []string{"[{n}] {product}, {amount} €, rated 4.{n} by {ms} buyers", "[{n}] set of {n}, ships from {city}", "[{n}] refurbished, one year of warranty"},
}

var indexing = &script{
	topics: []topic{{ask: "{product}. Delivered to {city} within {n} days. {amount} €."}},
	facts:  []string{"Made of oiled wood and steel.", "Weighs {n} kg.", "Fits through doors of {n} cm and more.", "Rated by {ms} buyers.", "Comes in {n} colours."},
}

var code = &script{
	system: "You review changes of Go code. Name defects before matters of taste, with the line, and propose a change as a diff. Say so when nothing is wrong.",
	topics: []topic{
		{
			ask:    "```diff\n@@ -{n},7 +{n},9 @@ func {func}(b []byte) (int, error) {\n-\tif len(b) == 0 {\n+\tif b == nil {\n \t\treturn 0, io.EOF\n \t}\n+\tdefer mu.Unlock()\n```\nIs this safe?",
			answer: "No. `b == nil` is false for an empty slice that is not nil, so `{func}` now reads past its end.\n\n```diff\n-\tif b == nil {\n+\tif len(b) == 0 {\n```\n\nThe `defer` unlocks a mutex that nobody has locked on this path.",
		},
		{
			ask:    "Why does the test of `{func}` fail only under -race?",
			answer: "Two goroutines append to the same slice: the test starts {n} of them and shares `out` without a lock. Give each its own part and join them after `Wait`.",
		},
		{ask: "Write a table test for it.", answer: "```go\nfunc Test{func}(t *testing.T) {\n\tfor name, tt := range map[string]struct{ in string; want int }{\n\t\t\"empty\": {\"\", 0},\n\t\t\"one\":   {\"a\", {n}},\n\t} {\n\t\tt.Run(name, func(t *testing.T) {\n\t\t\tif got := {func}(tt.in); got != tt.want {\n\t\t\t\tt.Errorf(\"got %d, want %d\", got, tt.want)\n\t\t\t}\n\t\t})\n\t}\n}\n```"},
	},
	facts: []string{
		"func {func}(ctx context.Context, in []byte) error {\n\treturn nil\n}\n", "// {func} is called with the lock held.\n", "\tif err != nil {\n\t\treturn fmt.Errorf(\"read {host}: %w\", err)\n\t}\n",
		"const limit = {ms}\n", "\tdefer func() { _ = f.Close() }()\n",
	},
	more: []string{
		"The error in line {n} is dropped.", "`{func}` allocates {n} times a call; a buffer of the caller's would do.", "Name the constant: nobody knows what {ms} stands for.",
		"A comment should say why the limit is {ms}.", "The rest is fine.",
	},
}

var prose = &script{
	system: "You answer from the documents below and from nothing else. Quote the section you rely on. Where they are silent, say so.",
	topics: []topic{
		{ask: "Summarise section {n} in five sentences, for someone who was not there.", answer: "Section {n} is about the plan for {city}. The costs rose by {pct} % against the year before, mostly for transport."},
		{ask: "Which figures changed since {day}, and why?", answer: "| figure | before | now |\n|---|---|---|\n| orders | {n} | {ms} |\n| returns | {pct} % | 4 % |\n\nThe returns fell because {product} is described better (section {n})."},
		{ask: "Translate the abstract into French.", answer: "Ce rapport décrit les résultats de {city} pour la semaine passée. Les coûts ont augmenté de {pct} %."},
		{ask: "What would you test next, and what would refute it?", answer: "1. Repeat the run at {n} °C with the second batch.\n2. Leave out {product} as a control.\n\nIf the yield stays above {pct} %, the hypothesis is refuted."},
	},
	facts: []string{
		"§{n}. The warehouse in {city} handles {ms} parcels a day.", "Costs of energy rose by {pct} % within a year.", "The trial of {day} was broken off after {n} minutes.",
		"Annex: measured at {n} °C, {ms} samples.", "The parties agree that {city} is the place of jurisdiction.",
	},
	more: []string{
		"The document says nothing of the years before.", "Section {n} gives the reason: {pct} % of the parcels went by road.", "For {city} the figures are estimates.",
		"Nothing in the annex contradicts this.", "The difference of {amount} € is explained in a footnote.",
	},
}
