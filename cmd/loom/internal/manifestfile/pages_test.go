package manifestfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"loom.internal/cmd/loom/internal/manifestfile"
	"loom.internal/pkg/catalog"
)

func page(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func anything(string) (string, bool) { return "set", true }

// Every example of the page on providers can be applied as it stands there.
func TestExamplesOfTheProvidersPage(t *testing.T) {
	t.Parallel()
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page(t, "docs/providers.md"), -1)
	kinds := make(map[catalog.Kind]bool)
	for i, block := range blocks {
		f, err := manifestfile.Parse(fmt.Sprintf("example %d", i+1), []byte(block[1]), anything)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range f.Manifest.Providers {
			kinds[p.Kind] = true
		}
	}
	for _, kind := range catalog.Kinds() {
		if !kinds[kind] {
			t.Errorf("no example of kind %s", kind)
		}
	}
}

// The page on providers lists the presets as they are.
func TestPresetsOfTheProvidersPage(t *testing.T) {
	t.Parallel()
	text := page(t, "docs/providers.md")
	for _, p := range catalog.Presets() {
		base, usage, secret := "give your own", "no", "if it wants one"
		if p.BaseURL != "" {
			base = "`" + p.BaseURL + "`"
		}
		if p.IncludeUsage {
			usage = "yes"
		}
		if p.NeedsSecret {
			secret = "needed"
		}
		row := fmt.Sprintf("| `%s` | %s | %s | %s | `%s` |\n", p.Name, base, usage, secret, strings.Join(p.Endpoints, "` `"))
		if !strings.Contains(text, row) {
			t.Errorf("the page lacks the row\n%s", row)
		}
	}
}

// The example is a good manifest, as it is and with all that is commented out in it.
func TestTheExample(t *testing.T) {
	t.Parallel()
	text := page(t, "examples/loom.yaml")
	var whole []string
	inside := false
	for line := range strings.Lines(text) {
		rest, comment := strings.CutPrefix(line, "  # ")
		inside = comment && (strings.HasPrefix(rest, "- name: ") || strings.HasPrefix(rest, "- model: ") || inside && strings.HasPrefix(rest, "  "))
		if inside {
			line = "  " + rest
		}
		whole = append(whole, line)
	}
	few, err := manifestfile.Parse("loom.yaml", []byte(text), anything)
	if err != nil {
		t.Fatal(err)
	}
	all, err := manifestfile.Parse("loom.yaml", []byte(strings.Join(whole, "")), anything)
	if err != nil {
		t.Fatal(err)
	}
	kinds := make(map[catalog.Kind]bool)
	for _, p := range all.Manifest.Providers {
		kinds[p.Kind] = true
	}
	if len(kinds) != len(catalog.Kinds()) || len(all.Manifest.Routes) <= len(few.Manifest.Routes) {
		t.Errorf("got providers of kinds %v and %d routes of %d", kinds, len(all.Manifest.Routes), len(few.Manifest.Routes))
	}
}
