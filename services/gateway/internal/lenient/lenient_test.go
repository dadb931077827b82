package lenient_test

import (
	"strings"
	"testing"

	"loom.internal/services/gateway/internal/lenient"
)

func TestListPassesOverWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	for n, over := range map[int]bool{0: false, 128: false, 129: true, 1000: true} {
		var v struct {
			List lenient.List[lenient.Integer] `json:"list"`
			Next lenient.Str                   `json:"next"`
		}
		list := strings.TrimSuffix(strings.Repeat("7,", n), ",")
		if err := lenient.Unmarshal([]byte(`{"list":[`+list+`],"next":"x"}`), &v); err != nil {
			t.Fatalf("%d entries: %v", n, err)
		}
		if got, want := len(v.List.V), min(n, lenient.MaxEntries); got != want || v.List.Over != over || v.Next != "x" {
			t.Errorf("%d entries: got %d, over %v, next %q", n, got, v.List.Over, v.Next)
		}
	}
	var broken struct {
		List lenient.List[lenient.Integer] `json:"list"`
	}
	if err := lenient.Unmarshal([]byte(`{"list":[`+strings.Repeat("7,", 200)), &broken); err == nil {
		t.Error("a list without an end is no JSON")
	}
}
