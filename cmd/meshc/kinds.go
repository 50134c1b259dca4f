package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/plugins/builtin"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

// kindOf returns the policy kind that runs a filter.
func kindOf(f snapshot.Filter) (plugins.Kind, error) {
	for _, k := range builtin.Kinds {
		if k.Name == f.Kind {
			return k, nil
		}
	}
	return plugins.Kind{}, fmt.Errorf("this build has no policy kind %q", f.Kind)
}

// useOf is a filter of the snapshot as its kind sees it.
func useOf(f snapshot.Filter, tcp bool, blob string) plugins.Use {
	u := plugins.Use{Name: f.Name, TCP: tcp, Config: f.Config, Blob: blob, Clusters: f.Clusters.Slice()}
	if !f.Blob.IsZero() {
		u.Digest = f.Blob.String()
	}
	return u
}

// compilerKinds are the policy kinds as the compiler sees them.
func compilerKinds() []compiler.Kind {
	out := make([]compiler.Kind, len(builtin.Kinds))
	for i, k := range builtin.Kinds {
		out[i].Name = k.Name
		for _, p := range k.Policies {
			out[i].Policies = append(out[i].Policies, compiler.Policy{
				Document: p.Document, Side: compiler.Side(p.Side), HTTP: p.HTTP, TCP: p.TCP, Inbound: p.Inbound, Gateway: p.Gateway,
				Resolve: func(a compiler.Attachment) compiler.Resolved {
					r := p.Resolve(plugins.Attachment(a))
					to := compiler.Resolved{Config: r.Config, Calls: r.Calls}
					for _, w := range r.Wrong {
						to.Wrong = append(to.Wrong, compiler.Wrong(w))
					}
					return to
				},
			})
		}
	}
	return out
}

// checkFilter returns what is wrong with a filter; see compiler.Check.
func checkFilter(f snapshot.Filter, tcp bool, blob string) []string {
	k, err := kindOf(f)
	if err != nil {
		return []string{err.Error()}
	}
	if k.Check == nil {
		return nil
	}
	return k.Check(useOf(f, tcp, blob))
}

// envoyFilter returns what Envoy runs for a filter; see xds.Config.
func envoyFilter(f snapshot.Filter, tcp bool, blob string) (xds.Filter, error) {
	k, err := kindOf(f)
	if err != nil {
		return xds.Filter{}, err
	}
	if k.Envoy == nil {
		return xds.Filter{}, fmt.Errorf("policy kind %q is none that Envoy can run", f.Kind)
	}
	e, err := k.Envoy(useOf(f, tcp, blob))
	return xds.Filter(e), err
}

// openKinds are the policy kinds at work in a process that runs the built-in
// proxy. The zero openKinds has none.
type openKinds struct {
	makers map[string]plugins.Maker // by name of the kind
	opened []plugins.Maker          // in order
}

// open starts every kind and registers what it measures. It is called once,
// before the proxy gets its first snapshot.
func (o *openKinds) open(p *proxy.Proxy, stateDir string, board *status.Board, metrics *prometheus.Registry, log *slog.Logger) error {
	o.makers = map[string]plugins.Maker{}
	for _, k := range builtin.Kinds {
		if k.Open == nil {
			continue
		}
		m, err := k.Open(plugins.Process{
			Log: log, StateDir: stateDir, Workers: p.Workers(), Caller: p,
			Report: func(f plugins.Fault) {
				board.AddFault(k.Name, f.Use, status.Fault{Time: f.Time, Reason: f.Reason, Detail: f.Detail, Restart: f.Restart})
			},
		})
		if err != nil {
			return fmt.Errorf("policy kind %q: %w", k.Name, err)
		}
		o.makers[k.Name], o.opened = m, append(o.opened, m)
		if c := m.Metrics(); c != nil {
			if err := metrics.Register(c); err != nil {
				return fmt.Errorf("metrics of policy kind %q: %w", k.Name, err)
			}
		}
	}
	return nil
}

// newFilter makes the factory for a filter; see proxy.Config.
func (o *openKinds) newFilter(ctx context.Context, f snapshot.Filter, tcp bool, blob string) (filter.Factory, error) {
	m := o.makers[f.Kind]
	if m == nil {
		if _, err := kindOf(f); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("policy kind %q runs in no built-in proxy", f.Kind)
	}
	return m.New(ctx, useOf(f, tcp, blob))
}

// close ends the kinds, the last one first. The proxy has been shut down.
func (o *openKinds) close() {
	for i := len(o.opened) - 1; i >= 0; i-- {
		o.opened[i].Close()
	}
	o.opened = nil
}
