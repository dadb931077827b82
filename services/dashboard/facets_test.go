package dashboard_test

import (
	"fmt"
	"testing"
	"time"
)

type facets struct {
	Total  int64
	Facets []struct {
		Dim    string
		More   bool
		Values []struct {
			Value, Label string
			Requests     int64
		}
	}
}

// Of each dimension the most frequent values are shown, of tags the most frequent names,
// and of keys their names.
func TestFacetsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := time.Now().Add(-26 * time.Hour)
	for i := range 52 {
		r.insert(t, r.trace(at, func(s *seeded) {
			s.model = fmt.Sprintf("m%02d", i)
			s.tags = map[string]string{"no:filter": "can name it"}
			for name := range min(i+1, 12) { // t00 is most frequent, t11 least
				s.tags[fmt.Sprintf("t%02d", name)] = fmt.Sprint(i % 3)
			}
		}))
	}
	var got facets
	r.get(t, r.acme, "/api/v1/facets?range=7d", &got)
	if got.Total != 52 || len(got.Facets) != 4+10 {
		t.Fatalf("%d requests, %d facets, want 52 and 14", got.Total, len(got.Facets))
	}
	if f := got.Facets[0]; f.Dim != "model" || !f.More || len(f.Values) != 50 || f.Values[0].Value != "m00" {
		t.Errorf("models: got %+v", f)
	}
	if f := got.Facets[2]; f.Dim != "key" || f.More || len(f.Values) != 1 || f.Values[0].Value != r.keyID || f.Values[0].Label != "all" {
		t.Errorf("keys: got %+v", f)
	}
	if first, last := got.Facets[4], got.Facets[13]; first.Dim != "tag:t00" || last.Dim != "tag:t09" || first.Values[0].Requests != 18 {
		t.Errorf("tags: got %+v to %+v", first, last)
	}
	// A tag that is asked for is there, frequent or not.
	r.get(t, r.acme, "/api/v1/facets?range=7d&tag=t11:1&tag=rare:x", &got)
	if got.Total != 0 || len(got.Facets) != 4+2 || got.Facets[4].Dim != "tag:rare" || len(got.Facets[4].Values) != 0 {
		t.Errorf("got %+v", got)
	}
}
