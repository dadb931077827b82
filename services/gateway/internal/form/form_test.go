package form_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loom.internal/services/gateway/internal/form"
)

const contentType = "multipart/form-data; boundary=b"

func field(name, value string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

func file(name, filename, value string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"; filename=\"" + filename + "\"\r\nContent-Type: audio/wav\r\n\r\n" + value + "\r\n"
}

// part is a part as the standard library reads it.
type part struct{ Name, Filename, Header, Value string }

func read(contentType string, body []byte) (parts []part, err error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, err
	}
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		value, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{p.FormName(), p.FileName(), fmt.Sprint(p.Header), string(value)})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	body := []byte(field("user", "u") + file("file", "a b.wav", "RIFF\r\n--bound\n\x00") + field("model", "whisper-1") + field("stream", "true") + field("include[]", "x") + field("include[]", "é") + "--b--")
	f, fault := form.Parse(contentType, bytes.ReplaceAll(body, []byte("--bound"), []byte("-bound")), form.Options{})
	if fault != nil {
		t.Fatal(fault)
	}
	if f.Model != "whisper-1" || !f.Stream || f.User != "u" || len(f.Fields) != 6 {
		t.Errorf("got %+v", f)
	}
	if x := f.Fields[1]; !x.File || x.Filename != "a b.wav" || x.ContentType != "audio/wav" || string(x.Value) != "RIFF\r\n-bound\n\x00" {
		t.Errorf("file: got %+v", x)
	}
	want := `{"user":"u","file":{"filename":"a b.wav","content_type":"audio/wav","bytes":14,"sha256":"fd3d150f71821d95cb6a57f635c2030fb5710b25d862b7e820518d1d50c0006c"},"model":"whisper-1","stream":"true","include[]":["x","é"]}`
	if diff := cmp.Diff(want, string(f.Describe())); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
}

func TestDescribeIsBounded(t *testing.T) {
	t.Parallel()
	body := field("model", "m") + field("prompt", strings.Repeat("é", 50000)) + field("\xff", "1") + field("\xfe", "2") + "--b--"
	f, fault := form.Parse(contentType, []byte(body), form.Options{})
	if fault != nil {
		t.Fatal(fault)
	}
	var got map[string]any
	if err := json.Unmarshal(f.Describe(), &got); err != nil {
		t.Fatal(err)
	}
	if prompt, _ := got["prompt"].(string); len(prompt) > 66<<10 || !strings.HasSuffix(prompt, "é… [left out: 34464 bytes]") {
		t.Errorf("prompt of %d bytes ends in %q", len(prompt), prompt[len(prompt)-40:])
	}
	if odd, _ := got["\uFFFD"].([]any); len(odd) != 2 {
		t.Errorf("names that are not UTF-8: got %v", got["\uFFFD"])
	}
}

func TestBoundaries(t *testing.T) {
	t.Parallel()
	good := field("model", "m") + "--b--\r\n"
	for name, row := range map[string]struct{ kind, body, fault string }{
		"plain":                    {contentType, good, ""},
		"no final line end":        {contentType, strings.TrimSuffix(good, "\r\n"), ""},
		"preamble and epilogue":    {contentType, "hello\r\n" + good + "bye", ""},
		"blanks after a boundary":  {contentType, strings.ReplaceAll(strings.ReplaceAll(good, "--b\r\n", "--b \t\r\n"), "--b--", "--b-- "), ""},
		"quoted":                   {`Multipart/Form-Data; charset=utf-8; boundary="a b=c"`, strings.ReplaceAll(good, "--b", "--a b=c"), ""},
		"within a line":            {contentType, field("prompt", "x --b\r") + good, ""},
		"empty value":              {contentType, field("prompt", "") + good, ""},
		"other headers":            {contentType, strings.Replace(good, "Content-D", "X-Y: z\r\nContent-Transfer-Encoding: BINARY\r\ncontent-d", 1), ""},
		"JSON":                     {"application/json", good, "Content-Type must be"},
		"no type":                  {"", good, "Content-Type must be"},
		"other multipart":          {"multipart/mixed; boundary=b", good, "Content-Type must be"},
		"no boundary":              {"multipart/form-data", good, "names no boundary"},
		"long boundary":            {"multipart/form-data; boundary=" + strings.Repeat("b", 71), good, "1 to 70"},
		"odd boundary":             {`multipart/form-data; boundary="b<"`, good, "1 to 70"},
		"other boundary":           {"multipart/form-data; boundary=c", good, "is not in it"},
		"empty":                    {contentType, "", "is not in it"},
		"cut":                      {contentType, field("model", "m"), "last boundary is missing"},
		"cut in the last boundary": {contentType, field("model", "m") + "--b-", "goes on"},
		"line feeds":               {contentType, strings.ReplaceAll(good, "\r\n", "\n"), "goes on"},
		"a line feed before":       {contentType, field("prompt", "x\n--b") + good, "lines must end"},
		"a carriage return before": {contentType, field("prompt", "x\r--b") + good, "lines must end"},
		"goes on":                  {contentType, field("prompt", "x\r\n--bc") + good, "goes on"},
		"after the last":           {contentType, good + good, "follows the last"},
		"late":                     {contentType, strings.Repeat("x", 2000) + "\r\n" + good, "too late"},
		"no header":                {contentType, "--b\r\n" + good, "no header"},
		"header without end":       {contentType, "--b\r\nContent-Disposition: form-data\r\n" + good, "no end"},
		"long header":              {contentType, strings.Replace(good, "Content-D", "X: "+strings.Repeat("x", 9000)+"\r\nContent-D", 1), "over 8192"},
		"control in a header":      {contentType, strings.Replace(good, "model", "mo\vdel", 1), "a line that is none"},
		"folded header":            {contentType, strings.Replace(good, "form-data; ", "form-data;\r\n ", 1), "a line that is none"},
		"two dispositions":         {contentType, strings.Replace(good, "\r\n\r\n", "\r\nContent-Disposition: form-data; name=x\r\n\r\n", 1), "two Content-Dispositions"},
		"no name":                  {contentType, strings.Replace(good, "; name", "; nam", 1), "with a name"},
		"two names":                {contentType, strings.Replace(good, "; name", "; name=x; name", 1), "with a name"},
		"encoded name":             {contentType, strings.Replace(good, `name="model"`, `name*=utf-8''mod%65l`, 1), "name of a field is encoded"},
		"encoded value":            {contentType, strings.Replace(good, "\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1), "part is encoded"},
		"many fields":              {contentType, strings.Repeat(field("x", "y"), 64) + good, "more than 64"},
		"just not too many":        {contentType, strings.Repeat(field("x", "y"), 63) + good, ""},
		"no model":                 {contentType, field("x", "y") + "--b--", "must provide a model"},
		"no fields":                {contentType, "--b--", "must provide a model"},
		"two models":               {contentType, good[:len(good)-7] + good, "'model' more than once"},
		"model as a file":          {contentType, file("model", "m", "m") + "--b--", "not a file"},
		"empty model":              {contentType, field("model", "") + "--b--", "one line of 1 to 512"},
		"long model":               {contentType, field("model", strings.Repeat("m", 513)) + "--b--", "one line of 1 to 512"},
		"model of two lines":       {contentType, field("model", "m\r\nn") + "--b--", "one line of 1 to 512"},
	} {
		f, fault := form.Parse(row.kind, []byte(row.body), form.Options{})
		switch {
		case row.fault == "" && fault != nil:
			t.Errorf("%s: %v", name, fault)
		case row.fault == "" && f.Model != "m":
			t.Errorf("%s: model %q", name, f.Model)
		case row.fault != "" && (fault == nil || fault.Status != 400 || !strings.Contains(fault.Message, row.fault)):
			t.Errorf("%s: got %v, want %q", name, fault, row.fault)
		}
	}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		field("x", "1") + field("model", "mm") + field("y", "mm") + "--b--": field("x", "1") + field("model", "other") + field("y", "mm") + "--b--",
		"pre\r\n" + field("x", "1") + "--b--\r\nafter":                      "pre\r\n" + field("model", "other") + field("x", "1") + "--b--\r\nafter",
		"--b--\r\n": field("model", "other") + "--b--\r\n",
	} {
		f, fault := form.Parse(contentType, []byte(body), form.Options{ModelElsewhere: true})
		if fault != nil {
			t.Fatalf("%q: %v", body, fault)
		}
		if got := string(f.Rewrite("other")); got != want {
			t.Errorf("%q:\n got %q\nwant %q", body, got, want)
		}
		if got := string(f.Rewrite(f.Model)); got != body {
			t.Errorf("without a change: got %q", got)
		}
	}
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// forms draws forms that the standard library writes, and then frames them anew.
func forms(t *rapid.T) (contentType string, body []byte, hasModel bool) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	boundary := rapid.StringMatching(`[0-9A-Za-z'()+_,./:=?-]{0,20}[0-9A-Za-z]{12}`).Draw(t, "boundary")
	if err := w.SetBoundary(boundary); err != nil {
		t.Fatal(err)
	}
	value := rapid.OneOf(rapid.SampledFrom([]string{"", "\r\n", "--", "--" + boundary[1:], "\r\n--", "true", "\x00\xff", "\r\n\r\n", "x --" + boundary}), rapid.String())
	name := rapid.OneOf(rapid.SampledFrom([]string{"file", "image[]", "prompt", "model ", "Model", `a"b\c`, "é"}), rapid.StringN(1, 20, -1))
	n := rapid.IntRange(0, 6).Draw(t, "fields")
	modelAt := rapid.IntRange(-1, n).Draw(t, "model")
	for i := range n + 1 {
		if i == modelAt {
			_ = w.WriteField("model", rapid.StringMatching(`[a-z0-9./-]{1,20}`).Draw(t, "model"))
		}
		if i == n {
			break
		}
		field := name.Filter(func(s string) bool {
			return s != "model" && s != "stream" && s != "user" && !strings.ContainsFunc(s, control)
		}).Draw(t, "name")
		out, err := w.CreateFormField(field)
		if rapid.Bool().Draw(t, "file") {
			out, err = w.CreateFormFile(field, rapid.String().Filter(func(s string) bool { return !strings.ContainsFunc(s, control) }).Draw(t, "filename"))
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(out, value.Draw(t, "value"))
	}
	_ = w.Close()
	body = b.Bytes()
	if rapid.Bool().Draw(t, "cut") {
		body = bytes.TrimSuffix(body, []byte("\r\n"))
	} else {
		body = append(body, rapid.SampledFrom([]string{"", "epilogue", "\r\n\r\n"}).Draw(t, "epilogue")...)
	}
	body = append([]byte(rapid.SampledFrom([]string{"", "preamble\r\n", "\r\n"}).Draw(t, "preamble")), body...)
	contentType = rapid.SampledFrom([]string{`multipart/form-data; boundary="%s"`, `multipart/form-data;boundary="%s"; charset=utf-8`}).Draw(t, "type")
	return fmt.Sprintf(contentType, boundary), body, modelAt >= 0
}

// A form for another model is the same form but for the model, to the byte.
func TestRewriteChangesTheModelOnly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		contentType, body, hasModel := forms(t)
		before, err := read(contentType, body)
		if err != nil {
			t.Fatal(err)
		}
		f, fault := form.Parse(contentType, body, form.Options{ModelElsewhere: true})
		if fault != nil {
			t.Fatalf("%q: %v", body, fault)
		}
		check(t, f, before)
		if (f.Model != "") != hasModel {
			t.Fatalf("%q: got model %q", body, f.Model)
		}
		model := rapid.OneOf(rapid.StringMatching(`[^\x00-\x1f]{1,30}`), rapid.Just(strings.Repeat("z", max(1, len(f.Model))))).Draw(t, "to")
		after, err := read(contentType, f.Rewrite(model))
		if err != nil {
			t.Fatal(err)
		}
		want := make([]part, 0, len(before)+1)
		if !hasModel {
			want = append(want, part{"model", "", `map[Content-Disposition:[form-data; name="model"]]`, model})
		}
		for _, p := range before {
			if p.Name == "model" {
				p.Value = model
			}
			want = append(want, p)
		}
		if diff := cmp.Diff(want, after); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", body, diff)
		}
	})
}

// check compares a form with what the standard library reads of it.
func check(t interface{ Errorf(string, ...any) }, f *form.Form, want []part) {
	if len(f.Fields) != len(want) {
		t.Errorf("got %d fields, want %v", len(f.Fields), want)
		return
	}
	for i, x := range f.Fields {
		if x.Name != want[i].Name || string(x.Value) != want[i].Value {
			t.Errorf("field %d: got %s=%q, want %+v", i, x.Name, x.Value, want[i])
		}
	}
	if d := f.Describe(); !json.Valid(d) {
		t.Errorf("description: got %q", d)
	}
}

// FuzzForm checks that what is taken is what the standard library sees too, before and
// after a rewrite.
func FuzzForm(f *testing.F) {
	f.Add(contentType, []byte(field("model", "m")+file("file", "a.wav", "RIFF")+"--b--\r\n"))
	f.Add(contentType, []byte("pre\r\n"+strings.ReplaceAll(field("prompt", "x\r\n"), "--b\r", "--b \r")+field("model", "m")+"--b-- "))
	f.Add(`multipart/form-data; boundary="a b"`, []byte("--a b\r\nContent-Disposition: form-data; name=model; filename*=utf-8''%41\r\nX:y\r\n\r\n\r\n--a b--"))
	f.Add(contentType, []byte("--b\r\n\r\n--b\r\n--b--\n--b\n"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		parsed, fault := form.Parse(contentType, body, form.Options{ModelElsewhere: true})
		if fault != nil {
			if fault.Status != 400 || !json.Valid(fault.Body()) {
				t.Errorf("fault: %v", fault)
			}
			return
		}
		before, err := read(contentType, body)
		if err != nil {
			t.Fatalf("%q of %q is taken, and is no form: %v", body, contentType, err)
		}
		check(t, parsed, before)
		if got := parsed.Rewrite(""); !bytes.Equal(got, body) {
			t.Errorf("without a change: got %q, want %q", got, body)
		}
		again, fault := form.Parse(contentType, parsed.Rewrite("other"), form.Options{})
		if parsed.Model == "" && len(parsed.Fields) == 64 {
			return // no room for one more
		}
		if fault != nil {
			t.Fatalf("%q became %q: %v", body, parsed.Rewrite("other"), fault)
		}
		after, err := read(contentType, parsed.Rewrite("other"))
		if err != nil {
			t.Fatal(err)
		}
		check(t, again, after)
		fields := again.Fields
		if parsed.Model == "" {
			fields = fields[1:]
		}
		if again.Model != "other" || len(fields) != len(parsed.Fields) {
			t.Fatalf("%q became %q", body, parsed.Rewrite("other"))
		}
		for i, x := range fields {
			if x.Name != "model" && !cmp.Equal(x, parsed.Fields[i]) {
				t.Errorf("field %d: got %+v, want %+v", i, x, parsed.Fields[i])
			}
		}
	})
}
