package devenv_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loom.internal/cmd/loom/internal/devenv"
)

func TestReadsWhatItWrote(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got, err := devenv.Read(dir); err != nil || got != (devenv.Env{}) {
		t.Fatalf("without a file: got %v, %v, want nothing", got, err)
	}
	for _, want := range []devenv.Env{
		{AdminKey: "loom_adm_x"},
		{BaseURL: "http://127.0.0.1:8080/v1", APIKey: "loom_sk_a", AdminKey: "loom_adm_b", DashboardURL: "http://127.0.0.1:8081"},
	} {
		if err := devenv.Write(dir, want); err != nil {
			t.Fatal(err)
		}
		got, err := devenv.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
	st, err := os.Stat(devenv.Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Mode().Perm(); got != 0o600 {
		t.Errorf("mode: got %v, want 0600", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".dev.env-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWriteFaults(t *testing.T) {
	t.Parallel()
	if err := devenv.Write(filepath.Join(t.TempDir(), "nowhere"), devenv.Env{}); err == nil {
		t.Error("no directory: got no error")
	}
	dir := t.TempDir()
	if err := os.Mkdir(devenv.Path(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := devenv.Write(dir, devenv.Env{}); err == nil {
		t.Error("a directory in its place: got no error")
	}
	if _, err := devenv.Read(dir); err == nil {
		t.Error("reading a directory: got no error")
	}
}
