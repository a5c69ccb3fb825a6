package metrics_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/diagnostics/metrics"
	"github.com/secondline-ops/secondline/internal/fault"
)

func TestReadGraphTakesAListAndAMatrix(t *testing.T) {
	t.Parallel()
	want := metrics.Graph{"web": {"app"}, "app": {"cache", "db"}}
	for name, text := range map[string]string{
		"list":          "from,to\nweb,app\napp,db\napp,cache\n",
		"twice":         "from,to\nweb,app\napp,db\napp,cache\napp, db\n",
		"oneself":       "From,To\nweb,app\nweb,web\napp,db\napp,cache\n",
		"matrix":        ",web,app,db,cache\nweb,0,1,0,0\napp,0.0,0.0,1.0,0.5\ndb,0,0,0,0\ncache,0,0,0,0\n",
		"matrix, gaps":  ",web,app,db,cache\nweb,,1,,\napp,,NaN,1,1\n",
		"other columns": ",cache,db,app,web\napp,1,1,0,0\nweb,0,0,1,1\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := metrics.ReadGraph(strings.NewReader(text), "g.csv")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestReadKinds(t *testing.T) {
	t.Parallel()
	got, err := metrics.ReadKinds(strings.NewReader("entity,kind\nlb1, Load-Balancer\nweb,host\nweb,host\n"), "k.csv")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(metrics.Kinds{"lb1": "Load-Balancer", "web": "host"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestGraphAndKindsSayWhereAndWhatToDo(t *testing.T) {
	t.Parallel()
	graph := func(text string) error { _, err := metrics.ReadGraph(strings.NewReader(text), "f.csv"); return err }
	kinds := func(text string) error { _, err := metrics.ReadKinds(strings.NewReader(text), "f.csv"); return err }
	for name, c := range map[string]struct {
		read          func(string) error
		text, message string
	}{
		"empty":             {graph, "", "f.csv:1:1: the file is empty"},
		"neither":           {graph, "a,b,c\n", "f.csv:1:1: neither a list of edges nor a matrix"},
		"other words":       {graph, "caller,callee\na,b\n", "f.csv:1:1: neither"},
		"no name":           {graph, "from,to\na,\n", "f.csv:2:3: the entity has no name"},
		"three cells":       {graph, "from,to\na,b,c\n", "f.csv:2:1: wrong number of fields"},
		"not in the matrix": {graph, ",a,b\nc,0,1\n", `f.csv:2:1: the matrix has no column "c"`},
		"no weight":         {graph, ",a,b\na,0,yes\n", `f.csv:2:5: "yes" is not a number`},
		"no header":         {kinds, "lb1,lb\n", "f.csv:1:1: the header is not entity,kind"},
		"two kinds":         {kinds, "entity,kind\na,lb\nb,lb\na,host\n", `f.csv:4:1: "a" is both lb and host`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, ok := errors.AsType[*fault.Error](c.read(c.text))
			if !ok || f.Kind != fault.Invalid || f.Hint == "" || !strings.HasPrefix(f.Message, c.message) {
				t.Errorf("got %v, want %q and a hint", f, c.message)
			}
		})
	}
}

func FuzzReadGraph(f *testing.F) {
	for _, seed := range []string{"from,to\na,b\n", ",a,b\na,0,1\nb,0,0\n", "x", "from,to\na\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := metrics.ReadGraph(strings.NewReader(text), "g.csv")
		if err != nil {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge {
				t.Fatalf("%v is of kind %s", err, kind)
			}
			return
		}
		for from, list := range g {
			for i, to := range list {
				if from == to || i > 0 && list[i-1] >= to {
					t.Fatalf("%q depends on %q", from, list)
				}
			}
		}
	})
}

func FuzzReadKinds(f *testing.F) {
	f.Add("entity,kind\na,lb\n")
	f.Add("entity,kind\na,\"l\nb\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := metrics.ReadKinds(strings.NewReader(text), "k.csv"); err != nil {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge {
				t.Fatalf("%v is of kind %s", err, kind)
			}
		}
	})
}
