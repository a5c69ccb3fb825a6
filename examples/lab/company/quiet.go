package company

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ShutSecondlineOff stops the controller and every agent, so that another tool
// has the hosts for itself. A host that is renewed boots with its agent, so that
// it is called again then. Trouble does not miss the agents from now on.
func (c *Company) ShutSecondlineOff(ctx context.Context) error {
	c.secondlineOff = true
	errs := []error{c.StopController(ctx)}
	var mu sync.Mutex
	var wait sync.WaitGroup
	for _, r := range roles() {
		if !r.agent {
			continue
		}
		wait.Go(func() {
			err := c.stop(ctx, r.host, "secondline-agent.service")
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// StopController stops the controller until its host is renewed: agents start
// nothing by themselves.
func (c *Company) StopController(ctx context.Context) error {
	return c.stop(ctx, Monitor, "secondline-controller.service")
}

func (c *Company) stop(ctx context.Context, host, unit string) error {
	h, err := c.Lab.Host(host)
	if err != nil {
		return err
	}
	if _, err := h.Run(ctx, "systemctl", "stop", unit); err != nil {
		return fmt.Errorf("shut Secondline off: %w", err)
	}
	return nil
}
