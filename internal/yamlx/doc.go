// Package yamlx is the one place that reads YAML. It gives every mistake a
// position, reports all mistakes of a document at once, and refuses what people
// and YAML read differently (yes/no, 017, duplicate and merge keys, tags). Size,
// depth and the expansion of aliases are bounded. It does not write YAML.
package yamlx
