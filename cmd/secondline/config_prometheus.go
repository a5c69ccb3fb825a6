package main

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/internal/fault"
)

type prometheusConfig struct {
	URL       string `yaml:"url,required"`
	TokenFile string `yaml:"token_file"`
}

// prometheusServers returns nil for none.
func prometheusServers(list []prometheusConfig) (*prometheus.Servers, error) {
	if len(list) == 0 {
		return nil, nil //nolint:nilnil // nil has no servers
	}
	var errs []error
	var clients []*prometheus.Client
	seen := map[string]bool{}
	for _, p := range list {
		c, err := prometheus.New(prometheus.Options{URL: p.URL, TokenFile: p.TokenFile})
		switch {
		case err != nil:
			errs = append(errs, err)
		case seen[c.Name()]:
			errs = append(errs, fault.New(fault.Invalid, "prometheus: %s is there twice", c.Name()).WithField("prometheus.url"))
		default:
			seen[c.Name()] = true
			clients = append(clients, c)
		}
	}
	return prometheus.NewServers(clients...), errors.Join(errs...)
}

// prometheusURLs is a flag for servers without a token; several are divided by
// commas, as a variable of the environment has them.
type prometheusURLs []prometheusConfig

var _ pflag.Value = (*prometheusURLs)(nil)

func (p *prometheusURLs) String() string {
	var urls []string
	for _, one := range *p {
		urls = append(urls, one.URL)
	}
	return strings.Join(urls, ",")
}

func (p *prometheusURLs) Type() string { return "URL" }

func (p *prometheusURLs) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		*p = append(*p, prometheusConfig{URL: strings.TrimSpace(one)})
	}
	return nil
}
