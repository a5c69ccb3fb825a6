package metrics

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

const (
	maxGraphBytes = 64 << 20 // an adjacency matrix of 4,000 entities
	maxEdges      = 1_000_000
)

// Graph says what depends on what: Graph[caller] are its dependencies, in order
// and each once.
type Graph map[string][]string

// ReadGraph reads who depends on whom, in either of two forms. A list has the
// header "from,to" and a line for each edge: from (the caller) depends on to. A
// matrix has the entities as its header, after an empty first cell, and as the
// first cell of each line; a cell that is not 0 says that the entity of its line
// depends on that of its column. Errors are fault.Invalid or fault.TooLarge and
// say file:line:column.
func ReadGraph(r io.Reader, name string) (Graph, error) {
	in := newRows(r, name, maxGraphBytes)
	header, err := in.header()
	if err != nil {
		return nil, err
	}
	trim(header)
	g := Graph{}
	read := g.readMatrixRow
	switch {
	case len(header) == 2 && strings.EqualFold(header[0], "from") && strings.EqualFold(header[1], "to"):
		read = g.readEdge
	case header[0] != "":
		return nil, in.wrong(0, "neither a list of edges nor a matrix").
			WithHint("a list has the header from,to; a matrix has an empty first cell and then the entities")
	}
	edges := 0
	err = in.each(func(row []string) error {
		added, err := read(in, header, row)
		if edges += added; edges > maxEdges {
			return fault.New(fault.TooLarge, "%s has more than %d edges", name, maxEdges)
		}
		return err
	})
	for from, to := range g {
		slices.Sort(to)
		g[from] = slices.Compact(to)
	}
	return g, err
}

func (g Graph) readEdge(in *rows, _, row []string) (int, error) {
	for i, cell := range row {
		if cell == "" {
			return 0, in.wrong(i, "the entity has no name").WithHint("each line is from,to: from depends on to")
		}
	}
	g.add(row[0], row[1])
	return 1, nil
}

func (g Graph) readMatrixRow(in *rows, header, row []string) (int, error) {
	if !slices.Contains(header[1:], row[0]) {
		return 0, in.wrong(0, "the matrix has no column %q", row[0]).WithHint("its lines and its columns are the same entities")
	}
	added := 0
	for i, cell := range row[1:] {
		weight, ok := parseValue(cell)
		if !ok {
			return 0, in.wrong(i+1, "%q is not a number", cell).WithHint("1 where the entity of the line depends on that of the column, else 0")
		}
		if weight != 0 && weight == weight { // a gap is no edge
			g.add(row[0], header[i+1])
			added++
		}
	}
	return added, nil
}

// add drops an edge to oneself: nothing is explained by itself.
func (g Graph) add(from, to string) {
	if from != to {
		g[strings.Clone(from)] = append(g[strings.Clone(from)], strings.Clone(to))
	}
}

// Kinds says what kind an entity is, as in the inventory.
type Kinds map[string]string

// ReadKinds reads lines of entity,kind under that header. Errors are as those
// of ReadGraph.
func ReadKinds(r io.Reader, name string) (Kinds, error) {
	in := newRows(r, name, maxGraphBytes)
	header, err := in.header()
	if err != nil {
		return nil, err
	}
	trim(header)
	if len(header) != 2 || !strings.EqualFold(header[0], "entity") || !strings.EqualFold(header[1], "kind") {
		return nil, in.wrong(0, "the header is not entity,kind").WithHint("each line is the name of an entity and its kind, as lb1,load_balancer")
	}
	kinds := Kinds{}
	err = in.each(func(row []string) error {
		if before, twice := kinds[row[0]]; twice && before != row[1] {
			return in.wrong(0, "%q is both %s and %s", row[0], before, row[1]).WithHint("give each entity one kind")
		}
		kinds[strings.Clone(row[0])] = strings.Clone(row[1])
		return nil
	})
	return kinds, err
}

// observes reports whether entities of the kind show the symptoms of what stands
// behind them. Kinds are written as people do: load_balancer, Load-Balancer.
func observes(kind string) bool {
	word := strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(kind))
	return slices.Contains([]string{
		"observer", "loadbalancer", "lb", "proxy", "reverseproxy",
		"exporter", "client", "clientview", "clientside", "view", "probe", "monitor",
	}, word)
}

// each calls do with every record after the header, its cells without blanks
// around them.
func (in *rows) each(do func([]string) error) error {
	for {
		row, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		trim(row)
		if err := do(row); err != nil {
			return err
		}
	}
}

func trim(cells []string) {
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
}
