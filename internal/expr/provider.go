package expr

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// objectMark begins the type names of declared objects. No expression can write
// it, so nobody can construct one.
const objectMark = "@"

// provider tells the type checker the fields of declared objects, whose values
// are maps. It declares no getters, so that cel reads fields as map keys; the
// way Kubernetes types its unstructured objects.
type provider struct {
	types.Provider
	objects map[string][]Field // by type name
}

// objectsOf returns the fields of all declared objects by their type names.
func objectsOf(vars []Field) map[string][]Field {
	objects := map[string][]Field{}
	addObjects(objects, objectMark, vars)
	return objects
}

// addObjects names the types of nested objects by their path: @probe.disks.
func addObjects(objects map[string][]Field, prefix string, fields []Field) {
	for _, f := range fields {
		if len(f.Elem) > 0 {
			objects[prefix+f.Name] = f.Elem
			addObjects(objects, prefix+f.Name+".", f.Elem)
		}
	}
}

// typeOf returns the checker's type of the field that stands under the prefix.
func typeOf(prefix string, f Field) *types.Type {
	object := cel.ObjectType(prefix + f.Name)
	switch f.Type {
	case String:
		return cel.StringType
	case Int:
		return cel.IntType
	case Double:
		return cel.DoubleType
	case Bool:
		return cel.BoolType
	case Timestamp:
		return cel.TimestampType
	case Duration:
		return cel.DurationType
	case Map:
		return cel.MapType(cel.StringType, cel.StringType)
	case List:
		if len(f.Elem) == 0 {
			return cel.ListType(cel.StringType)
		}
		return cel.ListType(object)
	case Object:
		if len(f.Elem) == 0 {
			return cel.MapType(cel.StringType, cel.DynType)
		}
		return object
	}
	return nil
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.objects[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	fields, ok := p.objects[name]
	if !ok {
		return p.Provider.FindStructFieldNames(name)
	}
	return names(fields), true
}

// FindStructFieldType implements types.Provider.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	fields, ok := p.objects[name]
	if !ok {
		return p.Provider.FindStructFieldType(name, field)
	}
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == field })
	if i < 0 {
		return nil, false
	}
	return &types.FieldType{Type: typeOf(name+".", fields[i])}, true
}

// NewValue implements types.Provider.
func (p *provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if _, ok := p.objects[name]; ok {
		return types.NewErr("an object of inputs cannot be made")
	}
	return p.Provider.NewValue(name, fields)
}

func names(fields []Field) []string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.Name
	}
	return all
}
