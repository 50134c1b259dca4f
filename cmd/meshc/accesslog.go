package main

import (
	"context"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/plugins/accesslog"
)

// accessLogs tells the receiver of Envoys' access logs where it may write. As a
// consumer of snapshots it stands before the xDS server, of which Envoys learn.
type accessLogs struct{ *accesslog.Receiver }

// Name is part of publish.Consumer.
func (accessLogs) Name() string { return "access logs" }

// Prepare is part of publish.Consumer.
func (a accessLogs) Prepare(_ context.Context, next snapshot.Snapshot) (commit, abort func(), err error) {
	var configs []string
	for _, p := range next.Proxies.All() {
		for _, l := range p.Listeners.All() {
			for _, f := range l.Filters.All() {
				if f.Kind == accesslog.Name {
					configs = append(configs, f.Config)
				}
			}
		}
	}
	return func() { a.Allow(configs) }, func() {}, nil
}
