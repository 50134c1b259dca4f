package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// filters makes the filters of all listeners of b.gen.
func (b *builder) filters(ctx context.Context, next snapshot.Snapshot) error {
	type use struct {
		kind, name string
		tcp        bool
	}
	failed := map[use]bool{} // what is wrong with a use is wrong at each listener
	var errs []error
	for i, l := range b.gen.listeners {
		list := b.lists[i]
		made := make([]filter.Factory, list.Len())
		tcp := l.protocol != snapshot.HTTP
		for j, f := range list.All() {
			if failed[use{f.Kind, f.Name, tcp}] {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if made[j], err = b.filter(ctx, f, tcp, next.Blobs); err != nil {
				failed[use{f.Kind, f.Name, tcp}] = true
				errs = append(errs, l.refused(f, err, next.Origins))
			}
		}
		l.arrange(list, made)
	}
	return errors.Join(errs...)
}

// filter makes the factory for one use of a kind.
func (b *builder) filter(ctx context.Context, f snapshot.Filter, tcp bool, blobs snapshot.List[snapshot.Blob]) (filter.Factory, error) {
	if b.cfg.NewFilter == nil {
		return nil, errors.New("this process has no filters")
	}
	blob := ""
	if !f.Blob.IsZero() {
		i, ok := sort.Find(blobs.Len(), func(i int) int {
			digest := blobs.At(i).Digest
			return bytes.Compare(f.Blob[:], digest[:])
		})
		if !ok {
			return nil, fmt.Errorf("the snapshot lacks the file %s that it runs", f.Blob.Short())
		}
		blob = blobs.At(i).Data
	}
	factory, err := b.cfg.NewFilter(ctx, f, tcp, blob)
	if err != nil {
		return nil, err
	}
	b.gen.factories = append(b.gen.factories, factory)
	if m := f.Match; !tcp && (m.PathPrefix != "" || m.Methods.Len() > 0) {
		return filter.When(factory, matches(m)), nil
	}
	return factory, nil
}

// matches returns m as a function of the request headers.
func matches(m snapshot.FilterMatch) func(*filter.Headers) bool {
	prefix, methods := m.PathPrefix, m.Methods.Slice()
	return func(h *filter.Headers) bool {
		return strings.HasPrefix(h.Value(":path"), prefix) &&
			(len(methods) == 0 || slices.Contains(methods, h.Value(":method")))
	}
}

// arrange says which of the filters in list, made by the factories in made, run where.
func (l *listener) arrange(list snapshot.List[snapshot.Filter], made []filter.Factory) {
	perRoute := false
	if list.Len() == 1 {
		l.sole = list.At(0).Name
	}
	for i, f := range list.All() {
		if f.PerRoute {
			perRoute = true
		} else {
			l.factories = append(l.factories, made[i])
		}
	}
	if !perRoute {
		return
	}
	l.byRoute = map[string][]filter.Factory{}
	for _, vh := range l.hosts {
		for _, r := range vh.routes {
			if _, done := l.byRoute[r.filters]; done || r.filters == "" {
				continue
			}
			var chosen []filter.Factory
			for i, f := range list.All() {
				if !f.PerRoute || has(r.filters, f.Ref()) {
					chosen = append(chosen, made[i])
				}
			}
			l.byRoute[r.filters] = chosen
		}
	}
}

// filterNames returns a route's filters as route.filters has them.
func filterNames(list snapshot.List[string]) string {
	var b strings.Builder
	for _, name := range list.All() {
		b.WriteString(name + "\x00")
	}
	return b.String()
}

// has reports whether name is one of filters, as filterNames has them.
func has(filters, name string) bool {
	return strings.HasPrefix(filters, name+"\x00") || strings.Contains(filters, "\x00"+name+"\x00")
}

// refused says where the filter was written that err is about.
func (l *listener) refused(f snapshot.Filter, err error, origins snapshot.List[snapshot.Origin]) error {
	if f.Name != "" {
		err = fmt.Errorf("filter %s %s: %w", f.Kind, f.Name, err)
	} else {
		err = fmt.Errorf("filter %s: %w", f.Kind, err)
	}
	if place := placeOf(f.Sources, origins); place != "" {
		return fmt.Errorf("%s: %w", place, err)
	}
	return l.fault(err, origins)
}
