package metrics_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics/metrics"
)

// petShopArchive is the data set: from the environment, or beside the
// repository. It is test input that is not part of the project.
func petShopArchive() (string, error) {
	archive := os.Getenv("SECONDLINE_PETSHOP")
	if archive == "" {
		archive = filepath.Join("..", "..", "..", "shared", "data", "petshop.tar.gz")
	}
	_, err := os.Stat(archive)
	return archive, err
}

// petShopIssue is a case of PetShop (Hardt et al., CLeaR 2024, arXiv 2311.04806).
type petShopIssue struct {
	split, part, cause string    // split is traffic and alerted metric
	alerted            time.Time // when the alert came
	input              metrics.Input
}

func unpack(t testing.TB, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "./")] = data
	}
}

// plainName makes a name of PetShop an entity of ours, which ends at the first
// underscore.
func plainName(name string) string { return strings.ReplaceAll(name, "_", "-") }

// petShopHeaders are the lines above the values: entity, metric, statistic, and
// the name of the time.
const petShopHeaders = 4

// wideCSV makes a metrics.csv of PetShop one of ours, with all metrics or one.
func wideCSV(t testing.TB, data []byte, only string) []byte {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	keep := []int{0}
	header := []string{"time"}
	for i := 1; i < len(rows[0]); i++ {
		if only == "" || rows[1][i] == only {
			keep = append(keep, i)
			header = append(header, plainName(rows[0][i])+"_"+rows[1][i]+"_"+rows[2][i])
		}
	}
	w.Write(header)
	for _, row := range rows[petShopHeaders:] {
		var line []string
		for _, i := range keep {
			line = append(line, row[i])
		}
		w.Write(line)
	}
	w.Flush()
	return out.Bytes()
}

func readTable(t testing.TB, name string, data []byte) metrics.Table {
	t.Helper()
	out, err := metrics.ReadTable(bytes.NewReader(data), name)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// petShop reads all issues as a user would hand them in: a wide CSV, the graph
// as it is, and as observers what is named the remote end or the client's view of
// something. With onlyAlerted the tables have the metric of the alert alone.
func petShop(t testing.TB, archive string, onlyAlerted bool) []petShopIssue {
	t.Helper()
	files := unpack(t, archive)
	normals := map[string]metrics.Table{} // the same for all issues
	var out []petShopIssue
	for _, path := range slices.Sorted(maps.Keys(files)) {
		words := strings.Split(path, "/") // dataset/low_traffic/test/issue_1/target.json
		if len(words) != 5 || words[4] != "target.json" {
			continue
		}
		var target struct {
			Target struct {
				Metric    string
				Timestamp int64
			}
			Cause struct{ Node string } `json:"root_cause"`
		}
		if err := json.Unmarshal(files[path], &target); err != nil {
			t.Fatal(err)
		}
		only := ""
		if onlyAlerted {
			only = target.Target.Metric
		}
		top, issue := strings.Join(words[:2], "/"), strings.Join(words[:4], "/")
		if _, ok := normals[top+only]; !ok {
			normals[top+only] = readTable(t, "normal.csv", wideCSV(t, files[top+"/noissue/metrics.csv"], only))
		}
		in := metrics.Input{Normal: normals[top+only], Anomalous: readTable(t, "anomalous.csv", wideCSV(t, files[issue+"/metrics.csv"], only)), Kinds: metrics.Kinds{}}
		var err error
		if in.Graph, err = metrics.ReadGraph(strings.NewReader(plainName(string(files[top+"/graph.csv"]))), "graph.csv"); err != nil {
			t.Fatal(err)
		}
		for _, column := range in.Normal.Columns {
			entity, _, _ := strings.Cut(column, "_")
			if strings.HasSuffix(entity, "-remote") || strings.HasSuffix(entity, "-client") {
				in.Kinds[entity] = "observer"
			}
		}
		out = append(out, petShopIssue{
			split: strings.TrimSuffix(words[1], "_traffic") + " " + target.Target.Metric, part: words[2],
			cause: plainName(target.Cause.Node), alerted: time.Unix(target.Target.Timestamp, 0), input: in,
		})
	}
	return out
}
