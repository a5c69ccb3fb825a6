package expr

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// evidenceField is the field of an object, a Map from evidence id to Truth, that
// gives the object its has("id").
const evidenceField = "evidence"

// ownFunctions declares what cel does not bring.
func ownFunctions() []cel.EnvOption {
	labels := cel.MapType(cel.StringType, cel.StringType)
	return []cel.EnvOption{
		cel.Function("percent",
			cel.Overload("percent_int", []*cel.Type{cel.IntType}, cel.DoubleType, cel.UnaryBinding(percentNumber)),
			cel.Overload("percent_double", []*cel.Type{cel.DoubleType}, cel.DoubleType, cel.UnaryBinding(percentNumber)),
			cel.Overload("percent_string", []*cel.Type{cel.StringType}, cel.DoubleType, cel.UnaryBinding(func(v ref.Val) ref.Val {
				f, err := percentOf(string(v.(types.String)))
				return orError(types.Double(f), err)
			}))),
		cel.Function("bytesize",
			cel.Overload("bytesize_string", []*cel.Type{cel.StringType}, cel.IntType, cel.UnaryBinding(func(v ref.Val) ref.Val {
				i, err := byteSize(string(v.(types.String)))
				return orError(types.Int(i), err)
			}))),
		cel.Function("bytetext",
			cel.Overload("bytetext_int", []*cel.Type{cel.IntType}, cel.StringType, cel.UnaryBinding(func(v ref.Val) ref.Val {
				return types.String(ByteText(int64(v.(types.Int))))
			}))),
		cel.Function("glob",
			cel.Overload("glob_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
				cel.BinaryBinding(func(pattern, s ref.Val) ref.Val {
					ok, err := glob(string(pattern.(types.String)), string(s.(types.String)))
					return orError(types.Bool(ok), err)
				}))),
		cel.Function("get",
			cel.MemberOverload("map_get_string_string", []*cel.Type{labels, cel.StringType, cel.StringType}, cel.StringType,
				cel.FunctionBinding(func(args ...ref.Val) ref.Val {
					if v, found := args[0].(traits.Mapper).Find(args[1]); found {
						return v
					}
					return args[2]
				}))),
	}
}

func orError(v ref.Val, err error) ref.Val {
	if err != nil {
		return types.NewErrFromString(err.Error())
	}
	return v
}

func percentNumber(v ref.Val) ref.Val {
	f, ok := v.ConvertToType(types.DoubleType).(types.Double)
	if !ok {
		return types.NewErrFromString("percent is no number")
	}
	return orError(f, checkPercent(float64(f)))
}

// withEvidence returns the type names of the objects with a Map named evidence,
// such as the hypothesis, sorted.
func withEvidence(objects map[string][]Field) []string {
	var found []string
	for name, fields := range objects {
		if slices.ContainsFunc(fields, func(f Field) bool { return f.Name == evidenceField && f.Type == Map }) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// evidenceFunctions declares has("id") on the objects.
func evidenceFunctions(objects []string) []cel.EnvOption {
	var overloads []cel.FunctionOpt
	for _, name := range objects {
		overloads = append(overloads, cel.MemberOverload("has_evidence_"+name,
			[]*cel.Type{cel.ObjectType(name), cel.StringType}, cel.BoolType))
	}
	if len(overloads) == 0 {
		return nil
	}
	// One binding for all: objects are maps when they are evaluated.
	overloads = append(overloads, cel.SingletonBinaryBinding(hasEvidence))
	return []cel.EnvOption{cel.Function("has", overloads...)}
}

func hasEvidence(object, id ref.Val) ref.Val {
	fields, ok := object.(traits.Mapper)
	if !ok {
		return types.NewErr("no evidence")
	}
	evidence, found := fields.Find(types.String(evidenceField))
	if !found {
		return types.NewErr("no evidence was looked at")
	}
	truths, ok := evidence.(traits.Mapper)
	if !ok {
		return types.NewErr("no evidence was looked at")
	}
	truth, found := truths.Find(id)
	if !found {
		return types.NewErr("evidence %v was not looked at", id.Value())
	}
	switch truth {
	case types.String(True):
		return types.True
	case types.String(False):
		return types.False
	}
	return types.NewErr("evidence %v cannot tell", id.Value())
}

// costOfOwn makes glob cost what it may take.
func costOfOwn() []cost.TrackerOption {
	return []cost.TrackerOption{
		cost.OverloadTracker("glob_string_string", func(args []ref.Val, _ ref.Val) *uint64 {
			pattern, _ := args[0].(types.String)
			s, _ := args[1].(types.String)
			// A step is about a tenth of an operation, as for cel's own string functions.
			steps := (uint64(len(pattern))+1)*(uint64(len(s))+1)/10 + 1
			return &steps
		}),
	}
}

// checkLiterals evaluates the unit functions on constants, so that a typing
// mistake is found at load.
func checkLiterals(src string, tree *ast.AST) error {
	var found *Error
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if found != nil || x.Kind() != ast.CallKind || len(x.AsCall().Args()) == 0 {
			return
		}
		argument := x.AsCall().Args()[0]
		if argument.Kind() != ast.LiteralKind {
			return
		}
		if err := checkLiteral(x.AsCall().FunctionName(), argument.AsLiteral()); err != nil {
			at := tree.SourceInfo().GetStartLocation(argument.ID())
			found = errorAt(src, at.Line(), at.Column()+1, err.Error())
		}
	}))
	if found != nil {
		return found
	}
	return nil
}

func checkLiteral(function string, literal ref.Val) error {
	s, isString := literal.(types.String)
	switch {
	case function == "bytesize" && isString:
		_, err := byteSize(string(s))
		return err
	case function == "glob" && isString:
		_, err := parseGlob(string(s))
		return err
	case function == "percent" && isString:
		_, err := percentOf(string(s))
		return err
	case function == "percent":
		if err, bad := percentNumber(literal).(*types.Err); bad {
			return err
		}
	}
	return nil
}
