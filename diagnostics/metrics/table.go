package metrics

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// Limits of one table. A day of 5,000 series at one sample a minute fits in
// them; what they hold in memory is 8 bytes a cell.
const (
	maxTableBytes = 256 << 20
	maxLineBytes  = 4 << 20 // a line is held whole, with 16 bytes more for each cell
	maxColumns    = 20_000
	maxRows       = 200_000
	maxCells      = 32_000_000
)

// Table is a wide CSV: one row a time, one column a series. Gaps are NaN.
type Table struct {
	Name    string   // what to call it in messages, its path
	Columns []string // without the time
	Times   []float64
	Values  [][]float64 // by column, then by row
}

// ReadTable reads a CSV with a column "time" (epoch seconds or RFC 3339) and
// one column per series. Rows may come in any order; of rows with the same time
// the last counts. Empty cells, NaN, inf and null are gaps. Errors are
// fault.Invalid or fault.TooLarge and say file:line:column.
func ReadTable(r io.Reader, name string) (Table, error) {
	in := newRows(r, name, maxTableBytes)
	header, err := in.header()
	if err != nil {
		return Table{}, err
	}
	t := Table{Name: name}
	timeAt := -1
	seen := make(map[string]bool, len(header))
	for i, cell := range header {
		word := strings.TrimSpace(cell)
		switch {
		case strings.EqualFold(word, "time") && timeAt < 0:
			timeAt = i
			continue
		case word != "" && seen[word]:
			return Table{}, in.wrong(i, "two columns are called %q", word).WithHint("give each series a name of its own, entity_metric")
		}
		seen[word] = true
		t.Columns = append(t.Columns, strings.Clone(word))
	}
	switch {
	case timeAt < 0 && len(header) == 1 && strings.ContainsAny(header[0], ";\t"):
		return Table{}, in.wrong(0, "the cells are not separated by commas").WithHint("write it as CSV with commas")
	case timeAt < 0:
		return Table{}, in.wrong(0, "there is no column \"time\"").WithHint("name the column of times \"time\": epoch seconds or RFC 3339")
	case len(t.Columns) > maxColumns:
		return Table{}, fault.New(fault.TooLarge, "%s has more than %d columns", name, maxColumns).WithHint("leave out series that do not matter")
	}
	if err := t.readRows(in, timeAt); err != nil {
		return Table{}, err
	}
	t.order()
	return t, nil
}

func (t *Table) readRows(in *rows, timeAt int) error {
	t.Values = make([][]float64, len(t.Columns))
	for {
		row, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(t.Times) >= maxRows || (len(t.Times)+1)*len(row) > maxCells {
			return fault.New(fault.TooLarge, "%s has more than %d rows or %d cells", t.Name, maxRows, maxCells).
				WithHint("cut it to the hours around the onset, or take a sample less often")
		}
		at, ok := parseTime(strings.TrimSpace(row[timeAt]))
		if !ok {
			return in.wrong(timeAt, "the time %q is not understood", row[timeAt]).WithHint("epoch seconds (not milliseconds) or RFC 3339, as 2026-03-01T12:00:00Z")
		}
		t.Times = append(t.Times, at)
		column := 0
		for i, cell := range row {
			if i == timeAt {
				continue
			}
			value, ok := parseValue(cell)
			if !ok {
				return in.wrong(i, "%q is not a number", cell).WithHint("leave the cell empty where there is no value")
			}
			t.Values[column] = append(t.Values[column], value)
			column++
		}
	}
}

// order sorts the rows by time and keeps the last of those with the same time.
func (t *Table) order() {
	inOrder := true
	for i := 1; i < len(t.Times); i++ {
		inOrder = inOrder && t.Times[i-1] < t.Times[i]
	}
	if inOrder {
		return
	}
	rows := make([]int, len(t.Times))
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(t.Times[a], t.Times[b]) })
	kept := rows[:0]
	for i, row := range rows {
		if i+1 < len(rows) && t.Times[rows[i+1]] == t.Times[row] {
			continue
		}
		kept = append(kept, row)
	}
	pick := func(values []float64) []float64 {
		out := make([]float64, len(kept))
		for i, row := range kept {
			out[i] = values[row]
		}
		return out
	}
	t.Times = pick(t.Times)
	for c, values := range t.Values {
		t.Values[c] = pick(values)
	}
}

// The years 1971 to 5138 in seconds; what lies above is in milliseconds.
const latestEpoch = 1e11

// ParseTime reads a time as the tables have it: epoch seconds or RFC 3339.
func ParseTime(text string) (time.Time, error) {
	seconds, ok := parseTime(strings.TrimSpace(text))
	if !ok {
		return time.Time{}, fault.New(fault.Invalid, "the time %q is not understood", text).
			WithHint("epoch seconds (not milliseconds) or RFC 3339, as 2026-03-01T12:00:00Z")
	}
	return moment(seconds), nil
}

func parseTime(cell string) (float64, bool) {
	if seconds, err := strconv.ParseFloat(cell, 64); err == nil {
		return seconds, math.Abs(seconds) < latestEpoch // also false for NaN
	}
	at, err := time.Parse(time.RFC3339Nano, cell)
	if err != nil {
		at, err = time.Parse("2006-01-02 15:04:05Z07:00", cell) // RFC 3339 allows a blank for the T
	}
	if err != nil || at.Year() < 1900 || at.Year() > 2200 {
		return 0, false
	}
	return float64(at.UnixNano()) / 1e9, true
}

// parseValue reads a number; a gap is NaN.
func parseValue(cell string) (float64, bool) {
	cell = strings.TrimSpace(cell)
	value, err := strconv.ParseFloat(cell, 64) // also understands NaN and Inf
	switch {
	case err == nil && math.IsInf(value, 0):
		return math.NaN(), true
	case err == nil:
		return value, true
	}
	switch strings.ToLower(cell) {
	case "", "-nan", "null", "none", "na", "n/a":
		return math.NaN(), true
	}
	return 0, false
}

// rows reads CSV records and knows where it is.
type rows struct {
	name    string
	csv     *csv.Reader
	bounded *bounded
}

func newRows(r io.Reader, name string, maxBytes int64) *rows {
	limits := &bounded{r: r, left: maxBytes}
	text := bufio.NewReader(limits)
	if mark, _ := text.Peek(3); string(mark) == "\xef\xbb\xbf" { // the byte order mark that spreadsheets write
		_, _ = text.Discard(3) // it was just seen
	}
	in := csv.NewReader(text)
	in.ReuseRecord = true
	return &rows{name: name, csv: in, bounded: limits}
}

// header returns the first record.
func (in *rows) header() ([]string, error) {
	record, err := in.next()
	if errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "%s:1:1: the file is empty", in.name).WithHint("the first line names the columns")
	}
	return slices.Clone(record), err
}

// next returns the next record, valid until the one after it, or io.EOF.
func (in *rows) next() ([]string, error) {
	record, err := in.csv.Read()
	if in.bounded.exceeded {
		return nil, fault.New(fault.TooLarge, "%s has more bytes, or a longer line, than are read", in.name).
			WithHint("cut it to the hours around the onset, or take a sample less often")
	}
	if err == nil {
		return record, nil
	}
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if broken, ok := errors.AsType[*csv.ParseError](err); ok {
		return nil, fault.New(fault.Invalid, "%s:%d:%d: %v", in.name, broken.Line, broken.Column, broken.Err).
			WithHint("each line has as many cells as the first; a cell with a comma or a quote stands in quotes")
	}
	return nil, fault.Wrap(fault.Internal, err, "read %s", in.name)
}

// wrong is an error about the cell i of the record last read.
func (in *rows) wrong(i int, format string, args ...any) *fault.Error {
	line, column := in.csv.FieldPos(i)
	f := fault.New(fault.Invalid, format, args...)
	f.Message = in.name + ":" + strconv.Itoa(line) + ":" + strconv.Itoa(column) + ": " + f.Message
	return f
}

// bounded ends a reader that gives too many bytes, or too many without a new
// line.
type bounded struct {
	r        io.Reader
	left     int64 // bytes in all
	line     int64 // bytes since the last new line
	exceeded bool
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if newline := bytes.LastIndexByte(p[:n], '\n'); newline >= 0 {
		b.line = int64(n - newline - 1)
	} else {
		b.line += int64(n)
	}
	if b.left < 0 || b.line > maxLineBytes {
		b.exceeded = true
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}
