package xds

import (
	"errors"
	"fmt"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// FilterFunc returns what Envoy runs for f. blob is the content of the file
// that f names. Equal arguments give equal messages.
type FilterFunc func(f snapshot.Filter, tcp bool, blob string) (Filter, error)

// Filter is what Envoy runs for a filter of the snapshot; see plugins.Envoy.
type Filter struct {
	// Filter is the typed_config of an HTTP filter, or of a network filter for TCP.
	Filter proto.Message
	// AccessLog is the typed_config of an access logger.
	AccessLog proto.Message
	// Tracing is the HttpConnectionManager's.
	Tracing proto.Message
}

// filterConfig is the configuration of a filter, as a resource where it has
// one of its own. It may hold megabytes, so there is one for all listeners,
// proxies and generations where it is the same.
type filterConfig struct {
	*resource
	from snapshot.Digest // of all that it is made from
	typ  string          // type URL of the kind's own message
	// accessLog and tracing stand in the listener; either may be nil.
	accessLog proto.Message
	tracing   *hcmv3.HttpConnectionManager_Tracing
}

// filterConfigs makes filterConfigs, each once.
type filterConfigs struct {
	snap  *snapshot.Snapshot
	make  FilterFunc
	known map[snapshot.Digest]*filterConfig // by what they are made from
}

// of returns the configuration of f.
func (c *filterConfigs) of(f snapshot.Filter, tcp bool) (*filterConfig, error) {
	if c.make == nil {
		return nil, fmt.Errorf("policy kind %q has no form in Envoy", f.Kind)
	}
	if tcp && f.PerRoute {
		return nil, errors.New("a connection has no route that a filter could be chosen by")
	}
	f.PerRoute = false // that is the listener's affair
	alike := f
	alike.Sources = snapshot.List[string]{}
	from := snapshot.DigestOf(struct {
		Filter snapshot.Filter
		TCP    bool
	}{alike, tcp})
	if known := c.known[from]; known != nil {
		return known, nil
	}
	var blob string
	if !f.Blob.IsZero() {
		b, ok := byName(c.snap.Blobs, f.Blob.String(), func(b snapshot.Blob) string { return b.Digest.String() })
		if !ok {
			return nil, fmt.Errorf("the snapshot lacks the file %s", f.Blob.Short())
		}
		blob = b.Data
	}
	config, err := c.make(f, tcp, blob)
	if err != nil {
		return nil, err
	}
	made := &filterConfig{from: from, accessLog: config.AccessLog}
	if config.Tracing != nil {
		tracing, ok := config.Tracing.(*hcmv3.HttpConnectionManager_Tracing)
		if !ok || tcp {
			return nil, fmt.Errorf("policy kind %q: %T is nothing that this listener could trace by", f.Kind, config.Tracing)
		}
		made.tracing = tracing
	}
	if config.Filter != nil {
		m, typ, err := envoy.Extension(f, tcp, config.Filter)
		if err != nil {
			return nil, err
		}
		if made.resource, err = encode(extension, m.Name, nil, m); err != nil {
			return nil, err
		}
		made.typ = typ
	} else if made.accessLog == nil && made.tracing == nil {
		return nil, fmt.Errorf("policy kind %q has no form in Envoy", f.Kind)
	}
	c.known[from] = made
	return made, nil
}

// filtersOf fills in what p's listener l has of filters.
func (p *part) filtersOf(l snapshot.Listener, configs *filterConfigs, fail func(snapshot.List[string], error) error) error {
	var errs []error
	for _, f := range l.Filters.All() {
		config, err := configs.of(f, l.Protocol == snapshot.TCP)
		if err != nil {
			sources := f.Sources
			if sources.Len() == 0 {
				sources = l.Sources
			}
			errs = append(errs, fail(sources, fmt.Errorf("filter %q: %w", f.Name, err)))
			continue
		}
		p.filters = append(p.filters, config)
		p.calls = append(p.calls, f.Clusters.Slice()...)
		var route envoy.RouteFilter
		if config.resource != nil {
			p.attached.Uses = append(p.attached.Uses, envoy.Use{Name: config.name, Type: config.typ, PerRoute: f.PerRoute})
			route.Extension = config.name
		}
		if config.accessLog != nil {
			p.attached.Logs = append(p.attached.Logs, envoy.Log{Name: f.Ref(), Config: config.accessLog, PerRoute: f.PerRoute})
		}
		if config.tracing != nil {
			if p.attached.Tracing != nil {
				errs = append(errs, fail(f.Sources, fmt.Errorf("filter %q: Envoy traces the requests of a listener in one way, and another filter has said how", f.Name)))
			}
			p.attached.Tracing, route.Tracing = config.tracing, true
		}
		if f.PerRoute {
			if p.perRoute == nil {
				p.perRoute = map[string]envoy.RouteFilter{}
			}
			p.perRoute[f.Ref()] = route
		}
	}
	return errors.Join(errs...)
}

// trial returns v's trial listener, or nil where there are no filters.
func (v *view) trial() (*resource, error) {
	if len(v.extensions) == 0 {
		return nil, nil
	}
	var http, tcp []envoy.Use
	var asks []reference
	seen := map[string]bool{}
	for _, p := range v.parts {
		for _, use := range p.attached.Uses {
			if seen[use.Name] {
				continue
			}
			seen[use.Name] = true
			asks = append(asks, reference{extension, use.Name})
			use.PerRoute = false
			if p.routes == nil {
				tcp = append(tcp, use)
			} else {
				http = append(http, use)
			}
		}
	}
	m, err := envoy.Trial(http, tcp)
	if err != nil {
		return nil, err
	}
	return encode(listener, m.Name, asks, m)
}
