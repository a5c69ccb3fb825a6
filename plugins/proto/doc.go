// Package pluginpb is the generated wire between an agent and a plugin
// process. Nobody but package plugins uses it: authors and hosts meet there,
// in plain Go types.
package pluginpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative plugin.proto
