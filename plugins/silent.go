package plugins

import "context"

// Silent returns a target that answers nothing until the caller gives up, with
// which a harness sees whether a probe keeps its time.
func Silent() Host { return silent{} }

// silent is what Silent returns.
type silent struct{}

func (silent) Target() string { return "silent" }

func (silent) Run(ctx context.Context, _ Command) (Result, error) {
	<-ctx.Done()
	return Result{}, ctx.Err()
}

func (silent) ReadFile(ctx context.Context, _ string, _ int) (data []byte, truncated bool, err error) {
	<-ctx.Done()
	return nil, false, ctx.Err()
}

func (silent) Stat(ctx context.Context, _ string) (FileInfo, error) {
	<-ctx.Done()
	return FileInfo{}, ctx.Err()
}

func (silent) Statfs(ctx context.Context, _ string) (FSInfo, error) {
	<-ctx.Done()
	return FSInfo{}, ctx.Err()
}

func (silent) ReadDir(ctx context.Context, _ string, _ int) (entries []FileInfo, truncated bool, err error) {
	<-ctx.Done()
	return nil, false, ctx.Err()
}
