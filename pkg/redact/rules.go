package redact

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Bounds of what may be given as rules.
const (
	MaxPatterns      = 32
	MaxPatternLength = 512
	// MaxPatternSize bounds what a pattern compiles to, in steps of its automaton:
	// every byte of a text may cost that many. MaxSize is for all patterns together.
	MaxPatternSize = 1024
	MaxSize        = 4096
)

// Rules say what is redacted.
type Rules struct {
	Builtin  []string  `json:"builtin,omitempty"`
	Patterns []Pattern `json:"patterns,omitempty"`
}

// Pattern is a rule of an operator's own: what Regexp, in Go's syntax (RE2), matches
// is replaced by "[redacted:<name>]". Its ^, $ and \b see what stands between two
// redactions as a text of its own.
type Pattern struct {
	Name   string `json:"name"`
	Regexp string `json:"regexp"`
}

var patternName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// Fault says what is wrong with rules, and where, as a path below them.
type Fault struct{ Path, Message string }

func (f Fault) Error() string { return f.Path[1:] + ": " + f.Message }

// Validate lists every fault of r.
func (r Rules) Validate() []Fault {
	_, faults := r.compile()
	return faults
}

// Compile makes the redactor of rules. Without any it is nil, which redacts nothing.
func Compile(rules Rules) (*Redactor, error) {
	compiled, faults := rules.compile()
	if len(faults) > 0 {
		errs := make([]error, len(faults))
		for i, f := range faults {
			errs[i] = f
		}
		return nil, errors.Join(errs...)
	}
	if len(compiled) == 0 {
		return nil, nil
	}
	r := &Redactor{rules: compiled, marks: map[string]bool{mark(all): true}}
	for _, c := range compiled {
		r.marks[c.mark] = true
		r.numbers = r.numbers || c.numbers
	}
	return r, nil
}

func (r Rules) compile() (compiled []rule, faults []Fault) {
	fault := func(path, format string, args ...any) {
		faults = append(faults, Fault{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	known := builtins()
	var names []string
	for _, b := range known {
		names = append(names, b.name)
		if slices.Contains(r.Builtin, b.name) {
			compiled = append(compiled, b)
		}
	}
	for i, name := range r.Builtin {
		switch {
		case !slices.Contains(names, name):
			fault(fmt.Sprintf(".builtin[%d]", i), "%.40q is not known; there are %s", name, strings.Join(names, ", "))
		case slices.Contains(r.Builtin[:i], name):
			fault(fmt.Sprintf(".builtin[%d]", i), "%s is named twice", name)
		}
		if len(faults) > len(names) {
			break // a list of nonsense
		}
	}
	if len(r.Patterns) > MaxPatterns {
		fault(".patterns", "there are %d, at most %d are possible", len(r.Patterns), MaxPatterns)
		return nil, faults
	}
	names = append(names, all)
	total := 0
	for i, p := range r.Patterns {
		path := fmt.Sprintf(".patterns[%d]", i)
		switch {
		case !patternName.MatchString(p.Name):
			fault(path+".name", "want 1 to 32 of a-z, 0-9, _ and -, got %.40q", p.Name)
		case slices.Contains(names, p.Name):
			fault(path+".name", "%s is taken: choose a name of its own", p.Name)
		}
		names = append(names, p.Name)
		c, size, err := p.compile()
		if err != nil {
			fault(path+".regexp", "%v", err)
			continue
		}
		if total += size; total > MaxSize {
			fault(path+".regexp", "the patterns up to here take %d steps, at most %d are possible: make repetitions shorter", total, MaxSize)
			break
		}
		compiled = append(compiled, c)
	}
	return compiled, faults
}

func (p Pattern) compile() (rule, int, error) {
	switch {
	case p.Regexp == "":
		return rule{}, 0, errors.New("is empty: write what is to be redacted, in RE2's syntax")
	case len(p.Regexp) > MaxPatternLength:
		return rule{}, 0, fmt.Errorf("has %d bytes, at most %d are possible", len(p.Regexp), MaxPatternLength)
	}
	tree, err := syntax.Parse(p.Regexp, syntax.Perl)
	if err != nil {
		return rule{}, 0, fmt.Errorf("is not in RE2's syntax: %w", err)
	}
	size := steps(tree)
	switch {
	case size > MaxPatternSize:
		return rule{}, 0, fmt.Errorf("takes %d steps or more, at most %d are possible: make repetitions shorter", size, MaxPatternSize)
	case shortest(tree) == 0:
		return rule{}, 0, errors.New("can match nothing at all: let it ask for at least one character")
	}
	re, err := regexp.Compile(p.Regexp)
	if err != nil {
		return rule{}, 0, fmt.Errorf("is not in RE2's syntax: %w", err)
	}
	literal := []byte(contained(tree))
	find := func(s []byte, from int) (start, end int) {
		if !bytes.Contains(s[from:], literal) {
			return -1, -1
		}
		at := re.FindIndex(s[from:])
		if at == nil {
			return -1, -1
		}
		return from + at[0], from + at[1]
	}
	return rule{name: p.Name, mark: mark(p.Name), find: []finder{find}, least: shortest(tree), numbers: true, looksFar: true}, size, nil
}

// steps is about how many instructions re compiles to; it stops counting soon above
// MaxPatternSize.
func steps(re *syntax.Regexp) int {
	n := 1
	switch re.Op { //nolint:exhaustive // all others are one step and what is in them
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass:
		return 1 + len(re.Rune)/16
	case syntax.OpRepeat:
		return min(1+max(re.Min, re.Max, 1)*steps(re.Sub[0]), MaxPatternSize+1)
	}
	for _, sub := range re.Sub {
		n += steps(sub)
	}
	return min(n, MaxPatternSize+1)
}

// shortest is how many characters re matches at least.
func shortest(re *syntax.Regexp) int {
	switch re.Op { //nolint:exhaustive // all others match no characters
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpNoMatch:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return shortest(re.Sub[0])
	case syntax.OpRepeat:
		return min(re.Min*shortest(re.Sub[0]), MaxPatternSize)
	case syntax.OpConcat:
		n := 0
		for _, sub := range re.Sub {
			n += shortest(sub)
		}
		return n
	case syntax.OpAlternate:
		n := shortest(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, shortest(sub))
		}
		return n
	}
	return 0
}

// contained is a text that all that re matches contains, so that a text without it
// need not be searched; empty if there is none that is plain to see.
func contained(re *syntax.Regexp) string {
	switch re.Op { //nolint:exhaustive // of all others nothing is known
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, '\uFFFD') {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return contained(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return contained(re.Sub[0])
		}
	case syntax.OpConcat:
		longest := ""
		for _, sub := range re.Sub {
			if c := contained(sub); len(c) > len(longest) {
				longest = c
			}
		}
		return longest
	}
	return ""
}
