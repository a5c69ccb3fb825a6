package normal_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/controller/intake/normal"
	"github.com/secondline-ops/secondline/internal/fault"
)

func TestDecodeRefusesClearly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, want string }{
		"nothing":           {"", "empty"},
		"space":             {" \n\t", "empty"},
		"text":              {"hello", "line 1, byte 1"},
		"html":              {"<html>", "line 1, byte 1"},
		"cut":               {"{\"a\":\n[1,2", "line 2"},
		"two documents":     {"{}{}", "follows"},
		"trailing comma":    {`{"a":1,}`, "key"},
		"list comma":        {`[1,]`, "value"},
		"no comma":          {`[1 2]`, "comma"},
		"no colon":          {`{"a" 1}`, "colon"},
		"bare key":          {`{a:1}`, "key"},
		"open string":       {`{"a":"b`, "no end"},
		"string to the end": {`"a\`, "no end"},
		"open escape":       {`"a\"`, "no end"},
		"wrong escape":      {`"\q"`, "escape"},
		"short unicode":     {`"\u12"`, "escape"},
		"NaN":               {`NaN`, "value"},
		"leading zero":      {`01`, "value"},
		"plus":              {`+1`, "value"},
		"no digits":         {`-`, "value"},
		"no exponent":       {`1e+`, "value"},
		"deep":              {strings.Repeat("[", 66) + strings.Repeat("]", 66), "64 levels"},
		"very deep":         {strings.Repeat(`{"a":`, 1<<20), "64 levels"},
		"very many":         {"[" + strings.Repeat("1,", 1<<20) + "1]", "400,000"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := normal.Decode([]byte(tt.body))
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
}

func TestDecodeIsLenient(t *testing.T) {
	t.Parallel()
	v, err := normal.Decode([]byte("\xef\xbb\xbf {\"s\":\"a\\u00e4\\ud83d\\udd25\\ud800x\\n\", \"n\":5615590933959184469, \"f\":-1.50e+3, \"t\":true," +
		"\"no\":null, \"bad\":\"a\xffb\", \"raw\":\"line\nbreak\", \"same\":1, \"same\":2, \"nul\":\"\\u0000\", \"l\":[1,\"x\",{}], \"o\":{\"k\":\"v\"}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"s": "aä🔥\ufffdx\n", "n": "5615590933959184469", "f": "-1.50e+3", "t": "true", "no": "", "bad": "a\ufffdb",
		"raw": "line\nbreak", "same": "2", "nul": "\x00", "l": "", "o": "", "missing": "",
	} {
		if got := v.Get(name).Text(); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	list, ok := v.Get("l").List()
	if !ok || len(list) != 3 || list[1].Text() != "x" {
		t.Errorf("the list is %v", list)
	}
	if _, ok := v.Get("o").List(); ok {
		t.Error("an object is a list")
	}
	if got := v.Get("o").Get("k").Text(); got != "v" {
		t.Errorf("a member of a member is %q", got)
	}
	if got := v.First("missing", "no", "l", "t"); got != "true" {
		t.Errorf("the first is %q", got)
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		`"2026-03-01T12:00:00Z"`: want, `"2026-03-01T14:00:00+02:00"`: want, `1772366400`: want, `1772366400000`: want, `"1772366400"`: want,
		`"0001-01-01T00:00:00Z"`: {}, `"9999-12-31T23:59:59-23:00"`: {}, `""`: {}, `"soon"`: {}, `null`: {}, `{}`: {}, `0`: time.Unix(0, 0).UTC(), `-99999999999999`: {},
		`999999999999999999`: {}, `9999999999999999999999`: {}, `1e3`: {},
	} {
		v, err := normal.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Time(); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

// FuzzDecodeAgreesWithStandardLibrary: what encoding/json reads is read here to
// the same texts, but for bounds; what is read here and not there has a raw
// control character.
func FuzzDecodeAgreesWithStandardLibrary(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e-3,"x\n\u00e4\ud83d\udd25",null,true,{"b":""}]}`, `[]`, `"\ud800"`, `-0`, `1E5`, "\"\xff\"", `{"a":1,"a":2}`, `[[[[]]]]`, ` {} `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := normal.Decode(body)
		d := json.NewDecoder(strings.NewReader(strings.TrimPrefix(string(body), "\ufeff")))
		d.UseNumber()
		var want any
		wantErr := d.Decode(&want)
		if wantErr == nil && strings.TrimSpace(strings.TrimPrefix(string(body), "\ufeff")[d.InputOffset():]) != "" {
			return
		}
		switch {
		case err != nil && !fault.Is(err, fault.Invalid):
			t.Fatalf("refused as %v", err)
		case err == nil && wantErr == nil && utf8.Valid(body):
			compare(t, v, want)
		case err != nil && wantErr == nil && !strings.Contains(err.Error(), "levels") && !strings.Contains(err.Error(), "400,000"):
			t.Fatalf("%q is refused: %v", body, err)
		case err == nil && wantErr != nil && strings.IndexFunc(string(body), func(r rune) bool { return r < ' ' }) < 0 && utf8.Valid(body):
			t.Fatalf("%q is read, the standard library says %v", body, wantErr)
		}
	})
}

func compare(t *testing.T, got normal.Value, want any) {
	t.Helper()
	switch want := want.(type) {
	case string:
		if got.Text() != want {
			t.Fatalf("text %q, want %q", got.Text(), want)
		}
	case json.Number:
		if got.Text() != want.String() {
			t.Fatalf("number %q, want %q", got.Text(), want)
		}
	case []any:
		list, ok := got.List()
		if !ok || len(list) != len(want) {
			t.Fatalf("list %v, want %v", list, want)
		}
		for i := range want {
			compare(t, list[i], want[i])
		}
	case map[string]any:
		for name, value := range want {
			compare(t, got.Get(name), value)
		}
	case nil:
		if got.Text() != "" {
			t.Fatalf("null is %q", got.Text())
		}
	}
}
