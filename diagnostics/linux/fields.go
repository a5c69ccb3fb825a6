package linux

import (
	"math"

	"github.com/secondline-ops/secondline/internal/expr"
)

// Short forms for declaring what probes read and yield.

func str(name, doc string) expr.Field {
	return expr.Field{Name: name, Type: expr.String, Doc: doc}
}

func integer(name, doc string) expr.Field {
	return expr.Field{Name: name, Type: expr.Int, Doc: doc}
}

// size is a number of bytes.
func size(name, doc string) expr.Field {
	return expr.Field{Name: name, Type: expr.Int, Unit: expr.Bytes, Doc: doc}
}

func double(name, doc string) expr.Field {
	return expr.Field{Name: name, Type: expr.Double, Doc: doc}
}

func boolean(name, doc string) expr.Field {
	return expr.Field{Name: name, Type: expr.Bool, Doc: doc}
}

func timestamp(name, doc string) expr.Field {
	return expr.Field{Name: name, Type: expr.Timestamp, Doc: doc}
}

func list(name, doc string, elem ...expr.Field) expr.Field {
	return expr.Field{Name: name, Type: expr.List, Doc: doc, Elem: elem}
}

func optional(f expr.Field) expr.Field {
	f.Optional = true
	return f
}

func required(f expr.Field) expr.Field {
	f.Required = true
	return f
}

func mountInput(doc string) []expr.Field { return []expr.Field{required(str(argMount, doc))} }

func pathInput(doc string) []expr.Field { return []expr.Field{required(str(argPath, doc))} }

func unitInput() []expr.Field {
	return []expr.Field{required(str(argUnit, "name of the unit; .service is added where the type is left out"))}
}

// toInt is v as the int of expressions. A count that does not fit was a lie
// anyway; it is cut rather than made negative.
func toInt(v uint64) int64 {
	return int64(min(v, math.MaxInt64))
}

// times returns a*b without overflow.
func times(a, b uint64) uint64 {
	if b != 0 && a > math.MaxInt64/b {
		return math.MaxInt64
	}
	return a * b
}

// percent is part of whole in percent, 0 of nothing.
func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}
