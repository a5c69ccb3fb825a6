package company

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// settleLimit bounds the wait for a company without alerts.
const settleLimit = 90 * time.Second

// settle waits until the company does its work.
func (c *Company) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	var problem error
	for {
		now := c.Trouble(ctx)
		if now == nil {
			return nil
		}
		if ctx.Err() == nil { // else it only says that the time was over
			problem = now
		}
		select {
		case <-ctx.Done():
			return problem
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Trouble says what is not as it should be in a company that nobody broke; nil
// when all is well.
func (c *Company) Trouble(ctx context.Context) error {
	var errs []error
	for _, look := range []func(context.Context) error{c.agentsAway, c.targetsDown, c.alertsFiring, c.ordersRefused} {
		errs = append(errs, look(ctx))
	}
	return errors.Join(errs...)
}

func (c *Company) agentsAway(ctx context.Context) error {
	if c.secondlineOff {
		return nil
	}
	text, err := c.Secondline(ctx, "agents", "list", "-o", "json")
	if err != nil {
		return err
	}
	var list struct {
		Agents []struct {
			ID        string `json:"id"`
			Connected bool   `json:"connected"`
		} `json:"agents"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return fmt.Errorf("read the list of agents: %w", err)
	}
	connected := map[string]bool{}
	for _, a := range list.Agents {
		connected[a.ID] = a.Connected
	}
	var away []string
	for _, r := range roles() {
		if r.agent && !connected[r.host] {
			away = append(away, r.host)
		}
	}
	if len(away) > 0 {
		return fmt.Errorf("agents not connected: %s", strings.Join(away, ", "))
	}
	return nil
}

func (c *Company) targetsDown(ctx context.Context) error {
	var answer struct {
		Data struct {
			Active []struct {
				Labels map[string]string `json:"labels"`
				Health string            `json:"health"`
				Error  string            `json:"lastError"`
			} `json:"activeTargets"`
		} `json:"data"`
	}
	if err := c.get(ctx, "http://"+address(mon)+":9090/api/v1/targets?state=active", &answer); err != nil {
		return err
	}
	if len(answer.Data.Active) == 0 {
		return errors.New("no targets of Prometheus yet")
	}
	var down []string
	for _, t := range answer.Data.Active {
		if t.Health != "up" {
			down = append(down, strings.TrimSpace(t.Labels["job"]+" "+t.Labels["instance"]+" "+t.Error))
		}
	}
	if len(down) > 0 {
		return fmt.Errorf("not reached by Prometheus: %s", strings.Join(down, "; "))
	}
	return nil
}

// Alert is what Prometheus says is wrong.
type Alert struct {
	State       string            `json:"state"` // pending, firing
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	ActiveAt    time.Time         `json:"activeAt"`
}

// host is where the alert is about.
func (a Alert) host() string {
	host, _, _ := strings.Cut(a.Labels["instance"], ":")
	return host
}

// Alerts returns the alerts of Prometheus, pending ones too.
func (c *Company) Alerts(ctx context.Context) ([]Alert, error) {
	var answer struct {
		Data struct {
			Alerts []Alert `json:"alerts"`
		} `json:"data"`
	}
	err := c.get(ctx, "http://"+address(mon)+":9090/api/v1/alerts", &answer)
	return answer.Data.Alerts, err
}

func (c *Company) alertsFiring(ctx context.Context) error {
	alerts, err := c.Alerts(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, a := range alerts {
		names = append(names, a.State+" "+a.Labels["alertname"]+" "+a.Labels["instance"]+a.Labels["mountpoint"]+a.Labels["name"])
	}
	if len(names) > 0 {
		return fmt.Errorf("alerts: %s", strings.Join(names, "; "))
	}
	return nil
}

func (c *Company) ordersRefused(ctx context.Context) error {
	m, err := c.Lab.Host(mon)
	if err != nil {
		return err
	}
	text, err := m.Run(ctx, "curl", "-sS", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", "https://orders."+domain+"/orders")
	if err == nil && text != "200" {
		err = fmt.Errorf("https://orders.%s/orders answers %s", domain, text)
	}
	return err
}

// get reads JSON from an address inside the lab.
func (c *Company) get(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if strings.HasPrefix(url, ControllerURL()) {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.500s", url, resp.Status, text)
	}
	return json.Unmarshal(text, into)
}
