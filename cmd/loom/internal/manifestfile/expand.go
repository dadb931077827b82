package manifestfile

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces each ${NAME} in a value; $${ stands for ${ itself. A variable that
// is not set, or empty, is a fault: a secret that quietly became nothing would show
// only much later. What comes from a variable is not expanded again.
func (d *decoder) expand(path string, n *yaml.Node) (string, bool) {
	var b strings.Builder
	ok := true
	for rest := n.Value; ; {
		i := strings.Index(rest, "${")
		if i < 0 {
			b.WriteString(rest)
			return b.String(), ok
		}
		if i > 0 && rest[i-1] == '$' {
			b.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		b.WriteString(rest[:i])
		name, after, closed := strings.Cut(rest[i+2:], "}")
		if !closed || !variableName.MatchString(name) {
			d.refuse(path, n, "after ${ must come a variable's name and }; to mean ${ itself, write $${")
			return "", false
		}
		value, set := d.lookup(name)
		switch {
		case !set:
			d.refuse(path, n, "the environment has no variable %s", name)
			ok = false
		case value == "":
			d.refuse(path, n, "the environment variable %s is empty", name)
			ok = false
		}
		b.WriteString(value)
		rest = after
	}
}
