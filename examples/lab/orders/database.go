package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const listed = 20 // orders in a list

// order is what a customer wants.
type order struct {
	ID       int64     `json:"id"`
	Item     string    `json:"item"`
	Quantity int       `json:"quantity"`
	Placed   time.Time `json:"placed"`
}

func (o order) validate() error {
	switch {
	case o.Item == "" || len(o.Item) > 200:
		return errors.New("item: want 1 to 200 bytes")
	case o.Quantity < 1 || o.Quantity > 1000:
		return errors.New("quantity: want 1 to 1000")
	}
	return nil
}

// database keeps the orders. Safe for concurrent use.
type database struct{ pool *pgxpool.Pool }

// createTable makes the table where it is missing. Of two that try at once one
// may fail, and succeeds when it tries again.
func (d database) createTable(ctx context.Context) error {
	_, err := d.pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS orders (
		id bigserial PRIMARY KEY, item text NOT NULL, quantity integer NOT NULL, placed timestamptz NOT NULL DEFAULT now())`)
	return d.explain("create the table", err)
}

func (d database) ping(ctx context.Context) error { return d.explain("ping", d.pool.Ping(ctx)) }

// last returns the newest orders, the newest first.
func (d database) last(ctx context.Context) ([]order, error) {
	rows, err := d.pool.Query(ctx, "SELECT id, item, quantity, placed FROM orders ORDER BY id DESC LIMIT $1", listed)
	if err != nil {
		return nil, d.explain("list", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[order])
	return list, d.explain("list", err)
}

// place stores the order if placed, which is called with it inside the
// transaction, agrees.
func (d database) place(ctx context.Context, o order, placed func(order) error) error {
	return d.explain("place", pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, "INSERT INTO orders (item, quantity) VALUES ($1, $2) RETURNING id, placed", o.Item, o.Quantity).Scan(&o.ID, &o.Placed)
		if err != nil {
			return err
		}
		return placed(o)
	}))
}

// explain adds to a time-out what a full pool looks like from inside: otherwise
// it says only that time went by.
func (d database) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		s := d.pool.Stat()
		return fmt.Errorf("database: %s: %w (%d of %d connections of the pool in use)", what, err, s.AcquiredConns(), s.MaxConns())
	}
	return fmt.Errorf("database: %s: %w", what, err)
}
