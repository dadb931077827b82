package redact

import "bytes"

// groups are digits in groups with a single byte of separators between two: the
// digits, and after how many of them, and where in the text, each group ends.
type groups struct {
	n      int
	digits [20]byte
	count  [20]int
	end    [20]int
}

// read reads groups of at most most digits together, 19 or fewer; the one that goes
// beyond is left out.
func (g *groups) read(s []byte, at, most int, separators string) {
	g.n = 0
	for total := 0; ; {
		end := at
		for end < len(s) && isDigit(s[end]) {
			if total == most {
				return
			}
			g.digits[total] = s[end]
			total++
			end++
		}
		if end == at {
			return
		}
		g.count[g.n], g.end[g.n] = total, end
		g.n++
		if end == len(s) || bytes.IndexByte([]byte(separators), s[end]) < 0 {
			return
		}
		at = end + 1
	}
}

// creditCard finds numbers that an issuer can have given and whose check digit is
// right: 13 to 19 digits, in one piece or in groups with single spaces or dashes.
func creditCard(s []byte, from int) (start, end int) {
	var g groups
	for at := from; at < len(s); at++ {
		if !isDigit(s[at]) {
			continue
		}
		first := at
		at = run(s, at, isDigit)
		if s[first] < '2' || s[first] > '6' || before(s, first, func(c byte) bool { return isAlnum(c) || c == '_' }) || isFraction(s, first) {
			continue
		}
		g.read(s, first, 19, " -")
		for i := g.n - 1; i >= 0; i-- {
			digits, end := g.digits[:g.count[i]], g.end[i]
			if i > 0 && !cardGroups(g.count[:i+1]) || after(s, end, isAlnum) {
				continue
			}
			if issued(digits) && luhn(digits) {
				return first, end
			}
		}
	}
	return -1, -1
}

func isFraction(s []byte, at int) bool { return at > 1 && s[at-1] == '.' && isDigit(s[at-2]) }

// cardGroups says whether digits are grouped as cards print them: 4-4-4-4, 4-6-5,
// 4-6-4 and the like, so that a list of small numbers is no card.
func cardGroups(count []int) bool {
	for i := range count {
		size := count[i]
		if i > 0 {
			size -= count[i-1]
		}
		if i == 0 && size != 4 || i < len(count)-1 && size < 4 || size > 7 || size < 1 {
			return false
		}
	}
	return true
}

// issued says whether a number begins as those of the large schemes do, and is as
// long as theirs are.
func issued(digits []byte) bool {
	n := len(digits)
	if n < 13 {
		return false
	}
	four := int(digits[0]-'0')*1000 + int(digits[1]-'0')*100 + int(digits[2]-'0')*10 + int(digits[3]-'0')
	two, three := four/100, four/10
	switch {
	case digits[0] == '4': // Visa
		return n == 13 || n == 16 || n == 19
	case two == 34 || two == 37: // American Express
		return n == 15
	case two >= 51 && two <= 55 || four >= 2221 && four <= 2720: // Mastercard
		return n == 16
	case two == 36 || two == 38 || two == 39 || three >= 300 && three <= 305: // Diners
		return n == 14 || n == 16
	case four >= 3528 && four <= 3589: // JCB
		return n >= 16
	case four == 6011 || three >= 644 && three <= 659 || two == 62: // Discover, UnionPay
		return n >= 16
	case two == 50 || two >= 56 && two <= 58 || two == 63 || two == 67: // Maestro
		return n >= 16
	}
	return false
}

func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// ibanLengths of the countries in the registry of SWIFT.
var ibanLengths = map[string]int{
	"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
	"CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
	"FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
	"IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
	"LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
	"NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
	"SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26,
	"UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}

// iban finds account numbers of a country's length whose check digits are right, in
// one piece or with single spaces.
func iban(s []byte, from int) (start, end int) {
	for at := from; at+15 <= len(s); at++ {
		if !isUpper(s[at]) {
			continue
		}
		if !isUpper(s[at+1]) || !isDigit(s[at+2]) || !isDigit(s[at+3]) || before(s, at, isAlnum) {
			continue
		}
		length := ibanLengths[string(s[at:at+2])]
		var chars [34]byte
		n, end := 0, at
		for end < len(s) && n < length {
			switch c := s[end]; {
			case isDigit(c) || isUpper(c):
				chars[n] = c
				n++
			case c != ' ' || s[end-1] == ' ':
				length = 0
			}
			end++
		}
		if length > 0 && n == length && !after(s, end, isAlnum) && mod97(chars[:n]) == 1 {
			return at, end
		}
	}
	return -1, -1
}

func mod97(iban []byte) int {
	n := 0
	for i := range iban {
		c := iban[(i+4)%len(iban)]
		if isDigit(c) {
			n = (n*10 + int(c-'0')) % 97
		} else {
			n = (n*100 + int(c-'A') + 10) % 97
		}
	}
	return n
}

// socialSecurity finds numbers of the form 123-45-6789 that can have been given.
func socialSecurity(s []byte, from int) (start, end int) {
	part := func(c byte) bool { return isAlnum(c) || c == '-' || c == '_' }
	for at := from; ; {
		next := bytes.IndexByte(s[at:], '-')
		if next < 0 {
			return -1, -1
		}
		start, end := at+next-3, at+next+8
		at += next + 1
		if start < from || end > len(s) || s[end-5] != '-' || before(s, start, part) || after(s, end, part) {
			continue
		}
		area, group, serial := s[start:start+3], s[start+4:start+6], s[start+7:end]
		if run(area, 0, isDigit) < 3 || run(group, 0, isDigit) < 2 || run(serial, 0, isDigit) < 4 {
			continue
		}
		if string(area) != "000" && string(area) != "666" && area[0] != '9' && string(group) != "00" && string(serial) != "0000" {
			return start, end
		}
	}
}

// phone finds numbers with a plus and a country code, 8 to 15 digits, in one piece or
// in groups. Those of North America and of zone 7 have eleven.
func phone(s []byte, from int) (start, end int) {
	var g groups
	for at := from; ; {
		next := bytes.IndexByte(s[at:], '+')
		if next < 0 {
			return -1, -1
		}
		start := at + next
		at = start + 1
		if before(s, start, func(c byte) bool { return isAlnum(c) || c == '+' || c == '/' }) ||
			!after(s, at, func(c byte) bool { return c >= '1' && c <= '9' }) {
			continue
		}
		plain, places := dial(s, at)
		g.read(plain, 0, 15, " ")
		for i := g.n - 1; i >= 0; i-- {
			end := places[g.end[i]-1] + 1
			if n := g.count[i]; n < 8 || g.digits[0] == '7' && n != 11 || g.digits[0] == '1' && !northAmerican(g.digits[:n]) || after(s, end, isAlnum) {
				continue
			}
			return start, end
		}
	}
}

// dial copies a number as it is written by people, with one space for what stands
// between two groups, and says where each byte came from.
func dial(s []byte, at int) (plain []byte, places []int) {
	var text [32]byte
	var from [32]int
	n := 0
	for ; at < len(s) && n < len(text); n++ {
		if isDigit(s[at]) {
			text[n], from[n] = s[at], at
			at++
			continue
		}
		gap := run(s[:min(len(s), at+3)], at, func(c byte) bool { return bytes.IndexByte([]byte(" -.()"), c) >= 0 })
		if gap == at || !after(s, gap, isDigit) {
			break
		}
		text[n], from[n] = ' ', at
		at = gap
	}
	return text[:n], from[:n]
}

func northAmerican(digits []byte) bool {
	return len(digits) == 11 && digits[1] >= '2' && digits[4] >= '2'
}
