package expr

// Function documents one function or macro of the language. Example is an
// expression that needs no input and is true.
type Function struct {
	Name      string
	Signature string
	Doc       string
	Example   string
}

// FunctionGroup is functions for one kind of values.
type FunctionGroup struct {
	Title     string
	Functions []Function
}

// FunctionGroups returns all functions of the language, ours first.
func FunctionGroups() []FunctionGroup {
	return []FunctionGroup{
		{"units, patterns and maps", unitFunctions()},
		{"every element of a list", loopFunctions()},
		{"conversions", conversions()},
		{"text", stringFunctions()},
		{"lists", listFunctions()},
		{"times", timeFunctions()},
		{"numbers", mathFunctions()},
	}
}

// Functions returns the functions of all groups.
func Functions() []Function {
	var all []Function
	for _, group := range FunctionGroups() {
		all = append(all, group.Functions...)
	}
	return all
}

func unitFunctions() []Function {
	return []Function{
		{"percent", "percent(number or string) double", "a share of a hundred, not below zero", `percent(90) == 90.0 && percent("90%") == 90.0`},
		{"bytesize", "bytesize(string) int", "bytes: KiB MiB GiB TiB count by 1024, KB MB GB TB by 1000", `bytesize("2GiB") == 2147483648`},
		{"bytetext", "bytetext(int) string", "a number of bytes for people: 2147483648 is 2.0 GiB", `bytetext(2147483648) == "2.0 GiB"`},
		{"duration", "duration(string) duration", "a span of time, in h, m, s, ms", `duration("5m") == duration("300s")`},
		{"glob", "glob(pattern, string) bool", "matches the whole string: * any run, ? one character, [a-z] one of a set", `glob("orders-*.log", "orders-2026.log")`},
		{"get", "map.get(key, default) string", "the value of the key, or the default if there is none", `{"env": "prod"}.get("zone", "none") == "none"`},
	}
}

func loopFunctions() []Function {
	return []Function{
		{"has", "has(object.field) bool", "whether an optional field is there; hypothesis.has(\"id\") asks for evidence", `has({"a": 1}.a)`},
		{"all", "list.all(x, condition) bool", "whether the condition holds for every element", `[1, 2].all(x, x > 0)`},
		{"exists", "list.exists(x, condition) bool", "whether the condition holds for an element", `[1, 2].exists(x, x > 1)`},
		{"exists_one", "list.exists_one(x, condition) bool", "whether the condition holds for exactly one element", `[1, 2].exists_one(x, x > 1)`},
		{"filter", "list.filter(x, condition) list", "the elements for which the condition holds", `[1, 2, 3].filter(x, x > 1) == [2, 3]`},
		{"map", "list.map(x, expression) list", "the expression for each element", `[1, 2].map(x, x * 2) == [2, 4]`},
	}
}

func conversions() []Function {
	return []Function{
		{"bool", "bool(string) bool", "reads true or false", `bool("true")`},
		{"double", "double(number or string) double", "a number with a fraction", `double(2) / 4.0 == 0.5`},
		{"int", "int(number or string) int", "a whole number, the fraction cut off", `int("42") == 42 && int(2.9) == 2`},
		{"string", "string(value) string", "the value as text", `string(42) == "42"`},
		{"timestamp", "timestamp(string) timestamp", "reads RFC 3339", `timestamp("2026-01-02T03:04:05Z").getFullYear() == 2026`},
	}
}

func stringFunctions() []Function {
	return []Function{
		{"size", "size(string, list or map) int", "characters, elements or keys", `size("abc") == 3 && [1].size() == 1`},
		{"contains", "string.contains(string) bool", "whether the other is a part of it", `"No space left".contains("space")`},
		{"startsWith", "string.startsWith(string) bool", "whether it begins with the other", `"/var/log".startsWith("/var")`},
		{"endsWith", "string.endsWith(string) bool", "whether it ends with the other", `"a.log".endsWith(".log")`},
		{"matches", "string.matches(regexp) bool", "whether an RE2 expression matches a part of it", `"error 28".matches("error [0-9]+$")`},
		{"charAt", "string.charAt(index) string", "the character at the index, from 0", `"abc".charAt(1) == "b"`},
		{"indexOf", "string.indexOf(string[, from]) int", "where the other begins, or -1", `"abcb".indexOf("b") == 1`},
		{"lastIndexOf", "string.lastIndexOf(string[, from]) int", "where the other begins for the last time, or -1", `"abcb".lastIndexOf("b") == 3`},
		{"lowerAscii", "string.lowerAscii() string", "A to Z in lower case", `"ERROR".lowerAscii() == "error"`},
		{"upperAscii", "string.upperAscii() string", "a to z in upper case", `"error".upperAscii() == "ERROR"`},
		{"replace", "string.replace(old, new[, times]) string", "old replaced by new", `"a-b".replace("-", "_") == "a_b"`},
		{"split", "string.split(separator[, parts]) list", "the parts between separators", `"a,b".split(",") == ["a", "b"]`},
		{"join", "list.join([separator]) string", "the strings put together", `["a", "b"].join(" ") == "a b"`},
		{"substring", "string.substring(from[, to]) string", "a part by indexes, from 0, to not included", `"abcd".substring(1, 3) == "bc"`},
		{"trim", "string.trim() string", "without white space around it", `" a ".trim() == "a"`},
		{"reverse", "string or list.reverse()", "from the end to the beginning", `"abc".reverse() == "cba" && [1, 2].reverse() == [2, 1]`},
		{"format", "string.format(list) string", "%s %d %f filled in", `"%s has %d".format(["db1", 3]) == "db1 has 3"`},
		{"strings.quote", "strings.quote(string) string", "in double quotes, with escapes", `strings.quote("a b") == "\"a b\""`},
	}
}

func listFunctions() []Function {
	return []Function{
		{"slice", "list.slice(from, to) list", "a part by indexes, from 0, to not included", `[1, 2, 3].slice(1, 3) == [2, 3]`},
		{"flatten", "list.flatten([levels]) list", "lists in the list taken apart", `[[1], [2]].flatten() == [1, 2]`},
		{"sort", "list.sort() list", "in rising order", `[2, 1].sort() == [1, 2]`},
		{"sortBy", "list.sortBy(x, key) list", "in rising order of the key", `["bb", "a"].sortBy(x, size(x)) == ["a", "bb"]`},
		{"distinct", "list.distinct() list", "each element once", `[1, 1, 2].distinct() == [1, 2]`},
		{"lists.range", "lists.range(n) list", "0 to n-1", `lists.range(3) == [0, 1, 2]`},
		{"hasOnly", "list.hasOnly(list) bool", "whether all its elements are in the other", `[1, 1].hasOnly([1, 2])`},
		{"hasAny", "list.hasAny(list) bool", "whether an element is in both", `[1, 2].hasAny([2, 3])`},
		{"hasAll", "list.hasAll(list) bool", "whether it has all elements of the other", `[1, 2, 3].hasAll([1, 2])`},
		{"hasExactly", "list.hasExactly(list) bool", "whether both have the same elements", `[1, 2].hasExactly([2, 1])`},
	}
}

func timeFunctions() []Function {
	const at = `timestamp("2026-01-02T03:04:05.006Z")`
	zone := "; with a zone as the argument: \"Europe/Berlin\", else UTC"
	return []Function{
		{"getFullYear", "timestamp.getFullYear() int", "the year" + zone, at + `.getFullYear() == 2026`},
		{"getMonth", "timestamp.getMonth() int", "the month, from 0" + zone, at + `.getMonth() == 0`},
		{"getDate", "timestamp.getDate() int", "the day of the month, from 1" + zone, at + `.getDate() == 2`},
		{"getDayOfMonth", "timestamp.getDayOfMonth() int", "the day of the month, from 0" + zone, at + `.getDayOfMonth() == 1`},
		{"getDayOfWeek", "timestamp.getDayOfWeek() int", "the day of the week, Sunday is 0" + zone, at + `.getDayOfWeek() == 5`},
		{"getDayOfYear", "timestamp.getDayOfYear() int", "the day of the year, from 0" + zone, at + `.getDayOfYear() == 1`},
		{"getHours", "timestamp or duration.getHours() int", "the hour, or the whole hours of a duration" + zone, at + `.getHours() == 3`},
		{"getMinutes", "timestamp or duration.getMinutes() int", "the minute, or the whole minutes of a duration" + zone, at + `.getMinutes() == 4`},
		{"getSeconds", "timestamp or duration.getSeconds() int", "the second, or the whole seconds of a duration" + zone, at + `.getSeconds() == 5`},
		{"getMilliseconds", "timestamp or duration.getMilliseconds() int", "the milliseconds of the second" + zone, at + `.getMilliseconds() == 6`},
	}
}

func mathFunctions() []Function {
	return []Function{
		{"math.greatest", "math.greatest(number, ...) number", "the greatest", `math.greatest(1, 2) == 2`},
		{"math.least", "math.least(number, ...) number", "the least", `math.least(1, 2) == 1`},
		{"math.abs", "math.abs(number) number", "without its sign", `math.abs(-1) == 1`},
		{"math.sign", "math.sign(number) number", "-1, 0 or 1", `math.sign(-5) == -1`},
		{"math.ceil", "math.ceil(double) double", "the next whole number above", `math.ceil(1.2) == 2.0`},
		{"math.floor", "math.floor(double) double", "the next whole number below", `math.floor(1.8) == 1.0`},
		{"math.round", "math.round(double) double", "the nearest whole number", `math.round(1.5) == 2.0`},
		{"math.trunc", "math.trunc(double) double", "without the fraction", `math.trunc(-1.8) == -1.0`},
		{"math.sqrt", "math.sqrt(number) double", "the square root", `math.sqrt(9) == 3.0`},
		{"math.isNaN", "math.isNaN(double) bool", "whether it is no number", `!math.isNaN(1.0)`},
		{"math.isInf", "math.isInf(double) bool", "whether it is infinite", `!math.isInf(1.0)`},
		{"math.isFinite", "math.isFinite(double) bool", "whether it is a number and finite", `math.isFinite(1.0)`},
		{"math.bitAnd", "math.bitAnd(int, int) int", "the bits of both", `math.bitAnd(6, 3) == 2`},
		{"math.bitOr", "math.bitOr(int, int) int", "the bits of either", `math.bitOr(6, 3) == 7`},
		{"math.bitXor", "math.bitXor(int, int) int", "the bits of one of them", `math.bitXor(6, 3) == 5`},
		{"math.bitNot", "math.bitNot(int) int", "the other bits", `math.bitNot(0) == -1`},
		{"math.bitShiftLeft", "math.bitShiftLeft(int, by) int", "bits moved to the left", `math.bitShiftLeft(1, 4) == 16`},
		{"math.bitShiftRight", "math.bitShiftRight(int, by) int", "bits moved to the right", `math.bitShiftRight(16, 4) == 1`},
	}
}
