// Package manifestfile reads a manifest from a YAML file, so strictly that a
// mistake in it cannot pass for a setting, and says of every fault on which line
// it is.
package manifestfile

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"loom.internal/pkg/manifest"
)

// maxSize of a file, in bytes: far beyond a manifest at its bounds.
const maxSize = 4 << 20

// File is a manifest and where in its file everything in it stands.
type File struct {
	Name     string
	Manifest manifest.Manifest

	lines map[string]int // of each path, such as "routes[0].model"
}

// Fault is one thing wrong with a file. Line 0 means the file as a whole; an empty
// Path, its YAML.
type Fault struct {
	File    string
	Line    int
	Path    string
	Message string
}

func (f Fault) String() string {
	s := f.File + ": "
	if f.Line > 0 {
		s = fmt.Sprintf("%s:%d: ", f.File, f.Line)
	}
	if f.Path != "" {
		s += f.Path + ": "
	}
	return s + f.Message
}

// Faults are all that is wrong with a file, in the order of its lines; as text, one
// a line.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads the file of that name. Each ${NAME} in a value is replaced by what
// lookup, such as os.LookupEnv, knows under NAME. The error is Faults when the file
// could be read.
func Load(name string, lookup func(string) (string, bool)) (*File, error) {
	data, err := os.ReadFile(name) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return Parse(name, data, lookup)
}

// Parse is Load for data that is there already; name is for the faults.
func Parse(name string, data []byte, lookup func(string) (string, bool)) (*File, error) {
	f := &File{Name: name, lines: make(map[string]int)}
	root, faults := document(name, data)
	if faults != nil {
		return nil, faults
	}
	d := decoder{file: name, lines: f.lines, lookup: lookup}
	if root != nil {
		d.value("", root, reflect.ValueOf(&f.Manifest).Elem())
	}
	// What could not be read would only be faulted once more, as missing.
	for _, fault := range f.Locate(f.Manifest.Validate()) {
		if d.read(fault.Path) {
			d.faults = append(d.faults, fault)
		}
	}
	if len(d.faults) > 0 {
		return nil, sorted(d.faults)
	}
	return f, nil
}

// Locate finds the lines of faults that were found in the manifest later, such as by
// the server. One about something that is not in the file gets the line of what it
// belongs to.
func (f *File) Locate(faults []manifest.Fault) Faults {
	located := make(Faults, len(faults))
	for i, fault := range faults {
		located[i] = Fault{File: f.Name, Line: f.line(fault.Path), Path: fault.Path, Message: fault.Message}
	}
	return sorted(located)
}

func (f *File) line(path string) int {
	for {
		if line, ok := f.lines[path]; ok {
			return line
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return 0
		}
		path = path[:i]
	}
}

func sorted(f Faults) Faults {
	slices.SortStableFunc(f, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return f
}

// document parses the one YAML document of a file; nil when it holds nothing.
func document(name string, data []byte) (*yaml.Node, Faults) {
	if len(data) > maxSize {
		return nil, Faults{{File: name, Message: fmt.Sprintf("has %d bytes, at most %d are read", len(data), maxSize)}}
	}
	var docs []yaml.Node
	if err := yaml.Load(data, &docs, yaml.WithAllDocuments()); err != nil {
		return nil, Faults{syntaxFault(name, err)}
	}
	if len(docs) > 1 {
		return nil, Faults{{File: name, Line: docs[1].Line, Message: "a second document starts here: a manifest is one"}}
	}
	if len(docs) == 0 || len(docs[0].Content) == 0 {
		return nil, nil
	}
	return docs[0].Content[0], nil
}

func syntaxFault(name string, err error) Fault {
	f := Fault{File: name, Message: err.Error()}
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		f.Line, f.Message = e.Mark.Line, "not YAML: "+e.Message
		if e.ContextMsg != "" {
			f.Message += ", " + e.ContextMsg
		}
		if strings.Contains(e.ContextMsg, "alias") {
			f.Message += ` (a value that starts with * needs quotes: "*")`
		}
	}
	return f
}
