package redact

import (
	"bytes"
	"net/netip"
)

// email finds addresses whose domain has a dot and ends in letters. Of one with
// letters beyond ASCII before the @ it finds what follows the last of them: in some
// scripts no space stands between an address and the text.
func email(s []byte, from int) (start, end int) {
	local := func(c byte) bool { return isAlnum(c) || bytes.IndexByte([]byte(".%'+_-"), c) >= 0 }
	domain := func(c byte) bool { return isAlnum(c) || c == '-' || c == '.' }
	for at := from; ; {
		next := bytes.IndexByte(s[at:], '@')
		if next < 0 {
			return -1, -1
		}
		at += next
		start := at
		for start > from && at-start < 64 && local(s[start-1]) {
			start--
		}
		for start < at && !isAlnum(s[start]) && s[start] != '_' {
			start++ // a quote and the like that stands before
		}
		if at++; start == at-1 || !after(s, at, isAlnum) {
			continue
		}
		host := s[at:run(s[:min(len(s), at+255)], at, domain)]
		if dots := bytes.Index(host, []byte("..")); dots >= 0 {
			host = host[:dots]
		}
		for {
			dot := bytes.LastIndexByte(host, '.')
			if dot < 0 {
				break
			}
			top := bytes.TrimRight(host[dot+1:], "-")
			if len(top) >= 2 && (run(top, 0, isLetter) == len(top) || bytes.HasPrefix(top, []byte("xn--"))) {
				return start, at + dot + 1 + len(top)
			}
			host = host[:dot]
		}
	}
}

// ipv4 finds four numbers up to 255 with dots between. A version of four numbers
// cannot be told from one.
func ipv4(s []byte, from int) (start, end int) {
	for at := from; ; {
		next := bytes.IndexByte(s[at:], '.')
		if next < 0 {
			return -1, -1
		}
		at += next
		start := at
		for start > from && at-start < 4 && isDigit(s[start-1]) {
			start--
		}
		at++
		if start == at-1 || at == len(s) || !isDigit(s[at]) || before(s, start, func(c byte) bool { return isAlnum(c) || c == '.' || c == '_' }) {
			continue
		}
		end := run(s[:min(len(s), start+16)], start, func(c byte) bool { return isDigit(c) || c == '.' })
		if s[end-1] == '.' {
			end-- // of a sentence
		}
		if after(s, end, func(c byte) bool { return isAlnum(c) || c == '_' }) || after(s, end, func(c byte) bool { return c == '.' }) && after(s, end+1, isDigit) {
			continue
		}
		if _, err := netip.ParseAddr(string(s[start:end])); err == nil {
			return start, end
		}
	}
}

// ipv6 finds addresses of eight groups, and shorter ones that begin with a group of
// three digits or more and have a decimal digit: a::b is a name in some languages,
// and 1::2 every other element of a list.
func ipv6(s []byte, from int) (start, end int) {
	part := func(c byte) bool { return isHex(c) || c == ':' || c == '.' }
	done := from
	for at := from; ; {
		next := bytes.IndexByte(s[at:], ':')
		if next < 0 {
			return -1, -1
		}
		at += next
		start := at
		for start > done && part(s[start-1]) {
			start--
		}
		end := run(s, at, part)
		at, done = end, end
		if end-start > 46 || before(s, start, func(c byte) bool { return isAlnum(c) || c == '_' }) || after(s, end, func(c byte) bool { return isAlnum(c) || c == '_' }) {
			continue
		}
		for range 2 { // what ends a sentence may stand behind
			if isIPv6(s[start:end]) {
				return start, end
			}
			if last := s[end-1]; end-1 > start && (last == ':' || last == '.') {
				end--
			}
		}
	}
}

func isIPv6(s []byte) bool {
	switch {
	case !bytes.Contains(s, []byte("::")):
		if bytes.Count(s, []byte(":")) < 6 { // six, and an IPv4 address
			return false
		}
	case bytes.IndexByte(s, ':') < 3 || run(s, 0, func(c byte) bool { return !isDigit(c) }) == len(s):
		return false
	}
	_, err := netip.ParseAddr(string(s))
	return err == nil
}
