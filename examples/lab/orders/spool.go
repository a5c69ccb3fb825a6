package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const receiptAge = 60 * time.Second // then its order is long printed

// spool is the folder where the receipts of new orders lie until a printer, which
// the lab has none of, would have taken them.
type spool struct{ folder string }

// write writes the receipt of an order; a second time does no harm.
func (s spool) write(id int64, receipt []byte) error {
	if err := os.WriteFile(s.path(id), receipt, 0o640); err != nil {
		// A receipt that was cut short is worth nothing and takes the room of others.
		return fmt.Errorf("spool a receipt: %w", errors.Join(err, s.remove(id)))
	}
	return nil
}

// remove takes back the receipt of an order that came to nothing.
func (s spool) remove(id int64) error {
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (s spool) path(id int64) string {
	return filepath.Join(s.folder, fmt.Sprintf("order-%d.json", id))
}

// clean removes the receipts that are old by now and returns their number.
// Other files are not its own.
func (s spool) clean(now time.Time) (int, error) {
	entries, err := os.ReadDir(s.folder)
	errs := []error{err}
	removed := 0
	for _, e := range entries {
		if own, _ := filepath.Match("order-*.json", e.Name()); !own {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil && now.Sub(info.ModTime()) > receiptAge {
			if err = os.Remove(filepath.Join(s.folder, e.Name())); err == nil {
				removed++
			}
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("clean the spool: %w", err)
	}
	return removed, nil
}
