package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Bounds of one commit. Updates run one after the other while everyone waits,
// so there are few of them; bodies cost only their bytes.
const (
	maxUpdatesPerCommit = 64
	maxAppendsPerCommit = 256
	maxBytesPerCommit   = 8 << 20
	maxBytesQueued      = 64 << 20
)

// DefaultQueueWait is how long a body waits for the writer before its sender is
// told to come again. Senders give up after 10 s (Alertmanager's default for a
// webhook) and then cannot know whether it was taken.
const DefaultQueueWait = 5 * time.Second

// querier is what statements run on: a transaction or a pool of readers.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// lane is the group-commit writer: one goroutine that takes what has queued up,
// runs it in one transaction, commits, and then answers everyone. After a
// failed commit everyone in it gets the error.
type lane struct {
	db      *sql.DB
	appends chan *appendOp
	updates chan *updateOp
	bytes   atomic.Int64 // in appends
	wait    time.Duration
	quit    chan struct{}
	done    chan struct{}

	mu     sync.RWMutex // guards below; held for reading while something is queued
	closed bool
}

// appendOp is a body to be stored.
type appendOp struct {
	body   store.Body
	taken  atomic.Bool // by the writer, or given up by the caller
	err    error       // its own, whatever becomes of the commit
	answer chan error  // buffered: the writer never waits for a caller that left
}

// updateOp is a function to be run inside the commit. It runs on its caller's
// goroutine, which gets the transaction handed over for its turn: so a panic
// or a runtime.Goexit in it is the caller's, and the writer goes on.
type updateOp struct {
	taken  atomic.Bool // by the writer, or given up by the caller
	turn   chan querier
	ended  chan error
	err    error
	answer chan error
}

var errUnfinished = errors.New("the update function did not return")

func startLane(db *sql.DB, limit int, wait time.Duration) *lane {
	l := &lane{
		db:      db,
		wait:    wait,
		appends: make(chan *appendOp, limit),
		updates: make(chan *updateOp, limit),
		quit:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	go l.run()
	return l
}

// close lets what is queued finish, and waits for it. It may be called twice.
func (l *lane) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.quit)
	}
	l.mu.Unlock()
	<-l.done
}

func overloaded() error {
	return fault.New(fault.Overloaded, "the write queue of the store is full").
		WithHint("send it again in a few seconds")
}

func closedStore() error { return fault.New(fault.Transient, "the store is closed") }

func tooSlow() error {
	return fault.New(fault.Overloaded, "the writer of the store did not come to it in time; nothing was stored").
		WithHint("send it again in a few seconds")
}

// append stores the body. Once the writer has it the answer is waited for,
// whatever happens to ctx: it says whether the body is durable. The wait for
// the writer is bounded.
func (l *lane) append(ctx context.Context, b store.Body) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	op := &appendOp{body: b, answer: make(chan error, 1)}
	if err := l.queueAppend(op); err != nil {
		return err
	}
	patience := time.NewTimer(l.wait)
	defer patience.Stop()
	select {
	case err := <-op.answer:
		return err
	case <-patience.C:
	}
	if op.taken.CompareAndSwap(false, true) {
		return tooSlow()
	}
	return <-op.answer
}

func (l *lane) queueAppend(op *appendOp) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return closedStore()
	}
	size := int64(len(op.body.Data))
	if l.bytes.Add(size) > maxBytesQueued {
		l.bytes.Add(-size)
		return overloaded()
	}
	select {
	case l.appends <- op:
		return nil
	default:
		l.bytes.Add(-size)
		return overloaded()
	}
}

// update runs fn inside the next commit. It returns ctx's error when ctx ends
// before fn's turn has come; after that the answer is waited for.
func (l *lane) update(ctx context.Context, fn func(q querier) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	op := &updateOp{turn: make(chan querier), ended: make(chan error, 1), answer: make(chan error, 1)}
	if err := l.queueUpdate(op); err != nil {
		return err
	}
	select {
	case q := <-op.turn:
		op.run(fn, q)
		return <-op.answer
	case err := <-op.answer:
		return err
	case <-ctx.Done():
	}
	if op.taken.CompareAndSwap(false, true) {
		return ctx.Err()
	}
	select { // the writer was faster
	case <-op.turn:
		op.ended <- ctx.Err()
		return <-op.answer
	case err := <-op.answer:
		return err
	}
}

func (l *lane) queueUpdate(op *updateOp) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return closedStore()
	}
	select {
	case l.updates <- op:
		return nil
	default:
		return overloaded()
	}
}

func (op *updateOp) run(fn func(q querier) error, q querier) {
	err := errUnfinished
	defer func() { op.ended <- err }()
	err = fn(q)
}

// batch is what one commit answers.
type batch struct {
	appends []*appendOp
	updates []*updateOp
}

func (l *lane) run() {
	defer close(l.done)
	for {
		b := l.next()
		if len(b.appends)+len(b.updates) == 0 {
			return
		}
		l.commit(b)
	}
}

// next waits for work and takes what there is, within the bounds of a commit.
// It returns nothing when the lane is closed and empty.
func (l *lane) next() batch {
	var b batch
	size := 0
	add := func(op *appendOp) {
		b.appends = append(b.appends, op)
		size += len(op.body.Data)
		l.bytes.Add(-int64(len(op.body.Data)))
	}
	select {
	case op := <-l.appends:
		add(op)
	case op := <-l.updates:
		b.updates = append(b.updates, op)
	case <-l.quit:
	}
	for len(b.updates) < maxUpdatesPerCommit {
		select {
		case op := <-l.updates:
			b.updates = append(b.updates, op)
			continue
		default:
		}
		break
	}
	for len(b.appends) < maxAppendsPerCommit && size < maxBytesPerCommit {
		select {
		case op := <-l.appends:
			add(op)
			continue
		default:
		}
		break
	}
	return b
}

// commit runs the batch and answers it. The context of a caller must not reach
// the engine here: an interrupt in the middle would undo the others' work.
func (l *lane) commit(b batch) {
	ctx := context.Background()
	b.appends = slices.DeleteFunc(b.appends, func(op *appendOp) bool { return !op.taken.CompareAndSwap(false, true) }) // its caller gave up
	err := func() error {
		tx, err := l.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := b.apply(ctx, tx); err != nil {
			_ = tx.Rollback() // the engine may have undone it already; err says why
			return err
		}
		return tx.Commit()
	}()
	for _, op := range b.appends {
		op.answer <- cmpErr(op.err, err)
	}
	for _, op := range b.updates {
		op.answer <- cmpErr(op.err, err)
	}
}

func cmpErr(own, common error) error {
	if own != nil {
		return own
	}
	return common
}

// apply returns an error only when the transaction as a whole is lost; what
// concerns one operation is kept with it.
func (b batch) apply(ctx context.Context, tx *sql.Tx) error {
	if err := insertBodies(ctx, tx, b.appends); err != nil {
		return err
	}
	for _, op := range b.updates {
		if !op.taken.CompareAndSwap(false, true) {
			continue // its caller gave up
		}
		if err := op.apply(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

func (op *updateOp) apply(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT turn"); err != nil {
		return err
	}
	op.turn <- tx
	op.err = <-op.ended
	if op.err != nil {
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO turn"); err != nil {
			// A full disk makes SQLite undo the whole transaction by itself
			// (lang_transaction.html, "Response To Errors").
			return errors.Join(op.err, err)
		}
	}
	_, err := tx.ExecContext(ctx, "RELEASE turn")
	return err
}
