package redact

import "bytes"

// privateKey finds a PEM block of a private key, of OpenSSH, OpenSSL or PGP. One that
// has no end, as in a text that was cut, ends with what can belong to it.
func privateKey(s []byte, from int) (start, end int) {
	const begin, dashes = "-----BEGIN ", "-----"
	for at := from; ; {
		next := bytes.Index(s[at:], []byte(begin))
		if next < 0 {
			return -1, -1
		}
		at += next
		label := at + len(begin)
		length := bytes.Index(s[label:min(len(s), label+64)], []byte(dashes))
		if length < 0 || !bytes.Contains(s[label:label+length], []byte("PRIVATE KEY")) {
			at = label
			continue
		}
		body := label + length + len(dashes)
		if next := bytes.Index(s[body:], []byte(dashes)); next >= 0 {
			last := body + next + len(dashes)
			if bytes.HasPrefix(s[last:], []byte("END ")) {
				if length := bytes.Index(s[last:min(len(s), last+64)], []byte(dashes)); length >= 0 {
					return at, last + length + len(dashes)
				}
			}
		}
		return at, run(s, body, func(c byte) bool {
			return isAlnum(c) || bytes.IndexByte([]byte("+/=\r\n\t\\"), c) >= 0
		})
	}
}

// jwt finds signed, unsigned and encrypted tokens: base64 of an object, a dot, and
// more base64.
func jwt(s []byte, from int) (start, end int) {
	part := func(c byte) bool { return isToken(c) || c == '.' }
	for at := from; ; {
		next := bytes.Index(s[at:], []byte("eyJ"))
		if next < 0 {
			return -1, -1
		}
		at += next
		if before(s, at, part) {
			at += len("eyJ")
			continue
		}
		header := run(s, at, isToken)
		if header-at < 10 || !after(s, header, func(c byte) bool { return c == '.' }) {
			at = header
			continue
		}
		end := run(s, header+1, isToken)
		if end-header < 10 {
			at = end
			continue
		}
		for range 3 { // the signature, or the parts of an encrypted one
			if after(s, end, func(c byte) bool { return c == '.' }) && after(s, end+1, isToken) {
				end = run(s, end+1, isToken)
			}
		}
		return at, end
	}
}

// bearer finds the token of an Authorization header; the scheme before it stays.
// English has the word too: a token has 16 characters and a digit.
func bearer(scheme string) finder {
	word := []byte(scheme)
	return func(s []byte, from int) (start, end int) {
		for at := from; ; {
			next := bytes.Index(s[at:], word)
			if next < 0 {
				return -1, -1
			}
			at += next
			space := at + len(word)
			if !before(s, at, func(c byte) bool { return c|0x20 == 'b' }) || before(s, at-1, isAlnum) {
				at = space
				continue
			}
			start := run(s, space, func(c byte) bool { return c == ' ' })
			if at = start; start == space {
				continue
			}
			end := run(s, start, func(c byte) bool { return isToken(c) || bytes.IndexByte([]byte("._~+/="), c) >= 0 })
			if end-start >= 16 && run(s[:end], start, func(c byte) bool { return !isDigit(c) }) < end {
				return start, end
			}
		}
	}
}

// apiKeys are those of the providers, Loom's own, and the ones most often leaked.
func apiKeys() []finder {
	upper := func(c byte) bool { return isUpper(c) || isDigit(c) }
	word := func(c byte) bool { return isAlnum(c) || c == '_' }
	return []finder{
		apiKey("sk-", isToken, 20, 0, isRandom), // OpenAI, Anthropic, DeepSeek and others
		apiKey("loom_sk_", isAlnum, 46, 46, nil),
		apiKey("loom_adm_", isAlnum, 46, 46, nil),
		apiKey("AKIA", upper, 16, 16, nil),
		apiKey("ASIA", upper, 16, 16, nil),
		apiKey("ghp_", isAlnum, 36, 0, nil),
		apiKey("gho_", isAlnum, 36, 0, nil),
		apiKey("ghu_", isAlnum, 36, 0, nil),
		apiKey("ghs_", isAlnum, 36, 0, nil),
		apiKey("ghr_", isAlnum, 36, 0, nil),
		apiKey("github_pat_", word, 40, 0, nil),
		apiKey("xox", isToken, 12, 0, isSlack),
		apiKey("AIza", isToken, 35, 35, nil),
	}
}

// apiKey finds a key by how it begins and what follows: at least so many bytes of a
// kind, at most so many if that is not 0, and such that holds, if given, is true.
func apiKey(begins string, kind func(byte) bool, least, most int, holds func([]byte) bool) finder {
	prefix := []byte(begins)
	return func(s []byte, from int) (start, end int) {
		for at := from; ; {
			next := bytes.Index(s[at:], prefix)
			if next < 0 {
				return -1, -1
			}
			at += next
			body := at + len(prefix)
			if before(s, at, func(c byte) bool { return isAlnum(c) || c == '_' }) {
				at = body
				continue
			}
			end := run(s, body, kind)
			if n := end - body; n >= least && (most == 0 || n <= most) && (holds == nil || holds(s[body:end])) {
				return at, end
			}
			at = end
		}
	}
}

// isRandom tells a key from words with hyphens between: it has a run of 16 letters
// and digits with a digit or a capital in it.
func isRandom(s []byte) bool {
	for at := 0; at < len(s); at++ {
		end := run(s, at, isAlnum)
		if end-at >= 16 && run(s[:end], at, func(c byte) bool { return !isDigit(c) && !isUpper(c) }) < end {
			return true
		}
		at = end
	}
	return false
}

// isSlack tells a token of Slack's (xoxb-…, xoxe.xoxp-… in part) from a word.
func isSlack(s []byte) bool {
	return isAlnum(s[0]) && s[1] == '-' && run(s, 2, func(c byte) bool { return !isDigit(c) }) < len(s)
}
