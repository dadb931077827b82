package redact

// builtins are the rules that can be named. Each searches for a byte or a few that
// its matches must have, looks about there, and goes on behind: they take time in
// proportion to the text.
func builtins() []rule {
	rules := []rule{
		{name: "private_key", find: []finder{privateKey}},
		{name: "jwt", find: []finder{jwt}},
		{name: "api_key", find: apiKeys()},
		{name: "bearer_token", find: []finder{bearer("earer"), bearer("EARER")}},
		{name: "email", find: []finder{email}},
		{name: "iban", find: []finder{iban}},
		{name: "credit_card", find: []finder{creditCard}, numbers: true},
		{name: "us_ssn", find: []finder{socialSecurity}},
		{name: "phone", find: []finder{phone}},
		{name: "ip_address", find: []finder{ipv6, ipv4}},
	}
	for i := range rules {
		rules[i].mark = mark(rules[i].name)
		rules[i].least = len("a@b.co")
	}
	return rules
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isAlnum(c byte) bool { return isDigit(c) || isLetter(c) }

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// isToken is for base64 of the URL alphabet, and most keys.
func isToken(c byte) bool { return isAlnum(c) || c == '-' || c == '_' }

// before and after say whether the byte that stands before or after a place is one
// of a kind.
func before(s []byte, at int, kind func(byte) bool) bool { return at > 0 && kind(s[at-1]) }

func after(s []byte, at int, kind func(byte) bool) bool { return at < len(s) && kind(s[at]) }

// run is where the bytes of a kind that begin at a place end.
func run(s []byte, at int, kind func(byte) bool) int {
	for at < len(s) && kind(s[at]) {
		at++
	}
	return at
}
