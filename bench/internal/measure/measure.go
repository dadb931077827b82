// Package measure asks a dashboard what its pages ask, and takes the time.
package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	pageLimit   = 200  // traces of a page, the most there are
	lastPage    = 1000 // of the walk
	answerLimit = 2 * time.Minute
)

// Options of Run.
type Options struct {
	Dashboard string // base URL
	Key       string // of a tenant
	Times     int    // each question is asked
	Out       io.Writer
}

// question is a name and what is asked.
type question struct{ name, path string }

// result is what became of one question.
type result struct {
	took   []time.Duration // in ascending order
	status string          // of the first answer, if it is not 200
}

// errNoTraces is of a tenant that has nothing to open.
var errNoTraces = errors.New("the tenant has no traces in the last 30 days")

// Run asks each question some times, one after the other, and prints how long the
// answers took. A dashboard that has no such question yet answers 404, which is printed.
func Run(ctx context.Context, o Options) error {
	a := asker{o}
	questions, err := a.questions(ctx)
	if err != nil {
		return err
	}
	before := load()
	if err := o.line("asked "+strconv.Itoa(o.Times)+" times each", "p50", "p95", "max"); err != nil {
		return err
	}
	for _, q := range questions {
		r, err := a.measure(ctx, q)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		columns := []string{r.status}
		if r.status == "" {
			columns = []string{ms(at(r.took, .5)), ms(at(r.took, .95)), ms(at(r.took, 1))}
		}
		if err := o.line(q.name, columns...); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(o.Out, "\nload average %s before, %s after\n", before, load())
	return err
}

// line prints a line at once: a run takes long.
func (o Options) line(name string, columns ...string) error {
	var line strings.Builder
	_, _ = fmt.Fprintf(&line, "%-26s", name) // it takes everything
	for _, c := range columns {
		_, _ = fmt.Fprintf(&line, "%14s", c)
	}
	_, err := fmt.Fprintln(o.Out, line.String())
	return err
}

type asker struct{ Options }

// questions are those of every page; the list is walked to find its last page.
func (a asker) questions(ctx context.Context) ([]question, error) {
	now := time.Now().UTC().Truncate(time.Second)
	var all []question
	add := func(name, path string, q url.Values) { all = append(all, question{name, path + "?" + q.Encode()}) }
	for _, span := range []struct {
		name string
		days int
	}{{"24h", 1}, {"30d", 30}} {
		in := func(more ...string) url.Values {
			q := url.Values{"from": {now.AddDate(0, 0, -span.days).Format(time.RFC3339)}, "to": {now.Format(time.RFC3339)}}
			for i := 0; i < len(more); i += 2 {
				q.Set(more[i], more[i+1])
			}
			return q
		}
		add("summary "+span.name, "/api/v1/summary", in())
		add("cost by model "+span.name, "/api/v1/timeseries", in("metric", "cost", "by", "model"))
		add("latency "+span.name, "/api/v1/timeseries", in("metric", "latency"))
		add("requests by outcome "+span.name, "/api/v1/timeseries", in("metric", "requests", "by", "outcome"))
		add("facets "+span.name, "/api/v1/facets", in())
		add("costs "+span.name, "/api/v1/costs", in())
		add("costs by tag "+span.name, "/api/v1/costs", in("by", "tag:feature"))
		add("models "+span.name, "/api/v1/models", in())
	}
	list := url.Values{"from": {now.AddDate(0, 0, -30).Format(time.RFC3339)}, "to": {now.Format(time.RFC3339)}, "limit": {strconv.Itoa(pageLimit)}}
	add("list page 1", "/api/v1/traces", list)
	newest, n, cursor, err := a.walk(ctx, list)
	if err != nil {
		return nil, err
	}
	if cursor != "" {
		list.Set("cursor", cursor)
		add("list page "+strconv.Itoa(n), "/api/v1/traces", list)
	}
	return append(all, question{"trace detail", "/api/v1/traces/" + newest}), nil
}

// walk goes from page to page up to the last one wanted, or as far as there are any. It
// gives the newest trace, and the number of the page it came to with its cursor.
func (a asker) walk(ctx context.Context, q url.Values) (newest string, page int, cursor string, err error) {
	q = url.Values{"from": q["from"], "to": q["to"], "limit": q["limit"]}
	for page = 1; ; page++ {
		status, body, err := a.ask(ctx, "/api/v1/traces?"+q.Encode())
		if err != nil {
			return "", 0, "", err
		}
		var list struct {
			Items []struct {
				ID string `json:"id"`
			} `json:"items"`
			Next string `json:"next_cursor"`
		}
		if status != http.StatusOK {
			return "", 0, "", fmt.Errorf("list page %d: %d: %s", page, status, body)
		}
		if err := json.Unmarshal(body, &list); err != nil {
			return "", 0, "", fmt.Errorf("list page %d: %w", page, err)
		}
		if page == 1 {
			if len(list.Items) == 0 {
				return "", 0, "", errNoTraces
			}
			newest = list.Items[0].ID
		}
		if page == lastPage || list.Next == "" {
			return newest, page, cursor, nil
		}
		cursor = list.Next
		q.Set("cursor", cursor)
	}
}

// measure asks a question once before it takes the time: what a page shows is asked again
// and again.
func (a asker) measure(ctx context.Context, q question) (result, error) {
	var r result
	for i := -1; i < a.Times; i++ {
		began := time.Now()
		status, _, err := a.ask(ctx, q.path)
		if err != nil {
			return r, err
		}
		if status != http.StatusOK {
			r.status = strconv.Itoa(status) + " " + http.StatusText(status)
			return r, nil
		}
		if i >= 0 {
			r.took = append(r.took, time.Since(began))
		}
	}
	slices.Sort(r.took)
	return r, nil
}

// ask reads an answer to its end.
func (a asker) ask(ctx context.Context, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(a.Dashboard, "/")+path, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.Key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// at is the time that a share of those in order do not exceed.
func at(took []time.Duration, share float64) time.Duration {
	i := int(share*float64(len(took))+.999999) - 1
	return took[min(max(i, 0), len(took)-1)]
}

func ms(d time.Duration) string { return strconv.FormatFloat(d.Seconds()*1e3, 'f', 1, 64) + " ms" }

// load is what the kernel says of how busy the machine is.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}
