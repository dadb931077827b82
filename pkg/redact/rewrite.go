package redact

import (
	"bytes"
	"cmp"
	"slices"
)

// Bounds of the work that one text makes.
const (
	// maxPasses is how often a text is searched. One pass finds nearly all, a second
	// one what only the marks of the first make a match, or that there is nothing.
	maxPasses = 8
	// maxLooks bounds the bytes that an operator's pattern may look at in a text: each
	// of its matches may have looked at all of the rest.
	maxLooks = 1 << 30
	// maxMatches of a rule in a text.
	maxMatches = 1 << 16
)

// grown is the length that a text may have once it is redacted: marks may be longer
// than what they replace.
func grown(length int) int { return 2*length + 64<<10 }

// finder finds the first match in s from a place on; start is negative if there is
// none. What stands before that place it may look at.
type finder func(s []byte, from int) (start, end int)

type rule struct {
	name     string
	mark     string
	find     []finder
	least    int  // no match is shorter
	numbers  bool // it can match a JSON number
	looksFar bool // it may look at all that is left of a text for one match
}

const markStart = "[redacted:"

// all is the name in the mark of what is redacted as a whole since it went beyond
// some bound.
const all = "all"

func mark(name string) string { return markStart + name + "]" }

// markAt is the length of the mark that s begins with, 0 if it begins with none.
func (r *Redactor) markAt(s []byte) int {
	if !bytes.HasPrefix(s, []byte(markStart)) {
		return 0
	}
	s = s[:min(len(s), len(markStart)+33)]
	if end := bytes.IndexByte(s, ']'); end > 0 && r.marks[string(s[:end+1])] {
		return end + 1
	}
	return 0
}

// match is what a rule found, in the original text.
type match struct {
	start, end int
	rule       int
}

// rewrite redacts text. If quoted, text is what stands between the quotes of a JSON
// string, and so is what comes back.
func (r *Redactor) rewrite(text []byte, quoted bool) (out []byte, changed bool) {
	out = text
	for range maxPasses {
		found, ok := r.search(out, quoted)
		if !ok {
			break
		}
		if len(found) == 0 {
			return out, changed
		}
		out, changed = r.replace(out, found), true
		if len(out) > grown(len(text)) {
			break
		}
	}
	return []byte(mark(all)), true
}

// search finds what is to be cut out of text. Of the levels of escapes the deepest
// that has a match counts, the others have their turn when the text is searched
// again: so a match does not take part of an escape that stands before it. It is not
// ok if there are too many matches.
func (r *Redactor) search(text []byte, quoted bool) (found []match, ok bool) {
	base := &view{text: text}
	if quoted {
		if u := base.unescaped(); u != nil {
			base = u
		}
	}
	if deep := base.unescaped(); deep != nil && (!quoted || base.of != nil) {
		if found, ok = r.searchView(deep); len(found) > 0 || !ok {
			return found, ok
		}
	}
	return r.searchView(base)
}

// searchView searches what stands between the marks in v.
func (r *Redactor) searchView(v *view) (found []match, ok bool) {
	s, begin := v.text, 0
	for at := 0; ; {
		next := bytes.Index(s[at:], []byte(markStart))
		if next < 0 {
			return r.searchPlain(v, begin, len(s), found)
		}
		at += next
		length := r.markAt(s[at:])
		if length == 0 {
			at += len(markStart)
			continue
		}
		if found, ok = r.searchPlain(v, begin, at, found); !ok {
			return nil, false
		}
		at += length
		begin = at
	}
}

// searchPlain searches v from begin to end, as a text of its own.
func (r *Redactor) searchPlain(v *view, begin, end int, found []match) (_ []match, ok bool) {
	s := v.text[begin:end]
	if len(s) == 0 {
		return found, true
	}
	for i := range r.rules {
		if len(s) < r.rules[i].least {
			continue
		}
		matches, looks := 0, 0
		for _, find := range r.rules[i].find {
			for at := 0; at < len(s); {
				if r.rules[i].looksFar {
					if looks += len(s) - at; matches > 0 && looks > maxLooks {
						return nil, false
					}
				}
				from, to := find(s, at)
				if from < 0 {
					break
				}
				if matches++; matches > maxMatches {
					return nil, false
				}
				found = append(found, match{start: v.original(begin + from), end: v.original(begin + to), rule: i})
				at = to
			}
		}
	}
	return found, true
}

// replace puts marks where matches are. Those that overlap become one, under the
// name of the longest.
func (r *Redactor) replace(text []byte, found []match) []byte {
	slices.SortFunc(found, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end), cmp.Compare(a.rule, b.rule))
	})
	out := make([]byte, 0, len(text))
	done := 0
	for i := 0; i < len(found); {
		longest, end := found[i], found[i].end
		start := longest.start
		for i++; i < len(found) && found[i].start < end; i++ {
			end = max(end, found[i].end)
			if m := found[i]; m.end-m.start > longest.end-longest.start {
				longest = m
			}
		}
		out = append(append(out, text[done:start]...), r.rules[longest.rule].mark...)
		done = end
	}
	return append(out, text[done:]...)
}
